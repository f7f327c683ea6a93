"""How the system shard's state comes back: its newest snapshot, then the events behind it."""

from __future__ import annotations

import json
import logging

from actors.errors import Corrupted
from actors.memory.identity import SYSTEM_CUBE_ID
from actors.memory.ports import Journal, Snapshots
from actors.memory.system import SystemState

log = logging.getLogger(__name__)


def recovered(journal: Journal, snapshots: Snapshots) -> SystemState:
    """The state as of the journal's last event. A snapshot that cannot be trusted is reported and passed over."""
    state, position = _from_snapshot(snapshots)
    if position > journal.position:
        log.error("the system snapshot is ahead of its journal (%d > %d): folding anew", position, journal.position)
        snapshots.discard()
        state, position = SystemState(), 0
    for event in journal.read(after=position):
        state.apply(event)
    return state


def _from_snapshot(snapshots: Snapshots) -> tuple[SystemState, int]:
    try:
        stored = snapshots.read(SYSTEM_CUBE_ID)
        if stored is not None:
            return SystemState.from_snapshot(json.loads(stored)), snapshots.position
    except Corrupted as error:
        log.error("%s; the system state is folded from the journal instead", error)
    except (ValueError, KeyError, TypeError) as error:
        log.error("the system snapshot does not decode (%r): the state is folded from the journal instead", error)
    return SystemState(), 0
