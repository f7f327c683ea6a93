"""What is different between two versions of a cube, memory by memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

from actors.memory.item import Memory
from actors.memory.rollback import History, same_content

_COUNTERS = frozenset({"id", "cube_id", "version", "recorded_at_us"})
CONTENT = tuple(f.name for f in fields(Memory) if f.name not in _COUNTERS)
"""The fields that make two moments of a memory different; version and record time follow from them."""


class Change(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    """Its content, and its state maybe too."""
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
        found = _difference(_at(revisions, first), _at(revisions, second))
        if found is not None:
            yield place, found


def _difference(before: Memory | None, after: Memory | None) -> Difference | None:
    if before is None:
        return None if after is None else Difference(Change.ADDED, None, after)
    if after is None:
        return Difference(Change.REMOVED, before, None)
    if not same_content(before, after):
        return Difference(Change.CHANGED, before, after)
    return None if before.state is after.state else Difference(Change.MOVED, before, after)


def _at(revisions: Sequence[tuple[int, Memory]], version: int) -> Memory | None:
    place = bisect_right(revisions, version, key=lambda revision: revision[0])
    return revisions[place - 1][1] if place else None
