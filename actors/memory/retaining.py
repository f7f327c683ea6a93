"""The command of retention: archive what is due. Erasing is an erasure like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.events import EventType
from actors.memory.lifecycle import State
from actors.memory.retention import Due, RetentionRules, Step, due


@dataclass(frozen=True, slots=True)
class Retained:
    """What retention did to a cube in one go, `held` left alone because it is frozen, or something derived from it is.
    With `more`, there is more to do.
    """

    cube_id: str
    archived: tuple[Due, ...] = ()
    erased: tuple[Due, ...] = ()
    derived: tuple[str, ...] = ()
    held: tuple[Due, ...] = ()
    more: bool = False


def all_due(draft: CubeDraft, now_us: int) -> list[Due]:
    """What is due at a time by the cube's policy, in order of first record. Changes nothing."""
    rules = RetentionRules.of(draft.policy)
    return list(due(draft.revisions().values(), draft.times(), rules, now_us))


def archive_due(draft: CubeDraft, origin: Origin, limit: int) -> Sequence[Due]:
    """Record that what is due to be archived is, `limit` memories at most. Answers everything that was due."""
    found = all_due(draft, origin.at_us)
    for item in islice((item for item in found if item.step is Step.ARCHIVE), limit):
        memory = draft.find(item.memory_id)
        if memory is not None:
            payload = {"from": memory.state.value, "to": State.ARCHIVED.value, "reason": item.reason}
            draft.emit(origin, EventType.MEMORY_TRANSITIONED, payload, memory.id, memory.version)
    return found
