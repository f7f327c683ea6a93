"""How the system shard's state comes back: its newest snapshot, then the events behind it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from actors.errors import Corrupted
from actors.memory.events import Event, EventType
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
    behind = list(journal.read(after=position))
    for event in behind:
        state.apply(event)
    forget_erased_cubes(journal, snapshots, state, behind)
    return state


def forget_erased_cubes(journal: Journal, snapshots: Snapshots, state: SystemState, events: Sequence[Event]) -> bool:
    """Rid the catalogue's files of the cubes whose tombstones are among `events`, which no snapshot holds yet; False
    when there are none. In the writer's sequence; repeated by the next opening when it was cut off.
    """
    gone = {event.payload()["id"] for event in events if event.type is EventType.CUBE_ERASED}
    if not gone:
        return False
    naming = (EventType.CUBE_REGISTERED, EventType.CUBE_ARCHIVED)
    positions = [
        event.position
        for event in journal.read_cube(SYSTEM_CUBE_ID)
        if event.type in naming and event.content is not None and event.payload()["id"] in gone
    ]
    journal.empty(positions)
    stored = json.dumps(state.to_snapshot()).encode()
    snapshots.write(journal.position, [(SYSTEM_CUBE_ID, stored)], {SYSTEM_CUBE_ID})
    return True


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
