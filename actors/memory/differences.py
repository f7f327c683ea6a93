"""What is different between two versions of a cube, memory by memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum

from actors.memory.item import Memory
from actors.memory.rollback import History, at, same_content

_COUNTERS = frozenset({"id", "cube_id", "version", "recorded_at_us", "reason", "sources", "screening"})
CONTENT = tuple(f.name for f in fields(Memory) if f.name not in _COUNTERS)
"""The fields that make two moments of a memory different: version, record time and reason go with them."""


class Change(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    """Its content or what it is said to contradict, and its state maybe too."""
    MOVED = "moved"
    """From one state to another, with the same content."""
    REMOVED = "removed"
    """It is not there at the second version, which is then the earlier one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """`before` is the memory at the first version, `after` at the second; None where it is not there."""

    change: Change
    before: Memory | None
    after: Memory | None

    @property
    def fields(self) -> tuple[str, ...]:
        """What differs, in a memory that is there at both."""
        if self.before is None or self.after is None:
            return ()
        return tuple(name for name in CONTENT if getattr(self.before, name) != getattr(self.after, name))


def differences(history: History, first: int, second: int) -> Iterator[tuple[int, Difference]]:
    """(place in the history, difference) of every memory that differs between two versions, in order of record."""
    later = max(first, second)
    earlier = min(first, second)
    for place, revisions in enumerate(history.values()):
        if revisions[0][0] > later or revisions[-1][0] <= earlier:
            continue
        found = _difference(at(revisions, first), at(revisions, second))
        if found is not None:
            yield place, found


def _difference(before: Memory | None, after: Memory | None) -> Difference | None:
    if before is None:
        return None if after is None else Difference(Change.ADDED, None, after)
    if after is None:
        return Difference(Change.REMOVED, before, None)
    if not same_content(before, after):
        return Difference(Change.CHANGED, before, after)
    if before.state is not after.state or before.links.into != after.links.into:
        return Difference(Change.MOVED, before, after)
    return None if before.links == after.links else Difference(Change.CHANGED, before, after)
