"""What going back to an earlier version makes of a cube's memories.

A rollback is one event; what it does follows from the history before it, so the fold works it out. Each memory gets the
content and the state that it had, what was not there is archived, and what is frozen now stays as it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter

from actors.memory.item import Memory
from actors.memory.lifecycle import State

History = Mapping[str, Sequence[tuple[int, Memory]]]
"""Per memory, (cube version, memory) pairs, oldest first."""


_MOMENTARY = frozenset({"id", "cube_id", "version", "recorded_at_us", "state"})
_content = attrgetter(*(f.name for f in fields(Memory) if f.name not in _MOMENTARY))


@dataclass(frozen=True, slots=True)
class Restored:
    """A memory that differs from what it was: `after` is what the rollback makes of it, `before` itself when it is
    frozen.
    """

    before: Memory
    after: Memory

    @property
    def kept(self) -> bool:
        return self.after is self.before


def same_content(one: Memory, other: Memory) -> bool:
    """Whether two moments of a memory differ in nothing but state, version, record time and the cube they are in."""
    return one is other or _content(one) == _content(other)


def restored(history: History, to: int, at_us: int) -> Iterator[Restored]:
    """What a rollback to version `to`, recorded at `at_us`, does: the memories that it changes, and the frozen ones
    that it would change. In order of first record.
    """
    for revisions in history.values():
        if revisions[-1][0] <= to:
            continue
        now = revisions[-1][1]
        place = bisect_right(revisions, to, key=lambda revision: revision[0])
        after = _gone_back(now, revisions[place - 1][1] if place else None, at_us)
        if after is not now:
            yield Restored(now, now if now.state is State.FROZEN else after)


def _gone_back(now: Memory, then: Memory | None, at_us: int) -> Memory:
    """The memory as it was; itself when it is so already."""
    state = State.ARCHIVED if then is None else then.state
    if then is None or same_content(now, then):
        return now if now.state is state else replace(now, state=state)
    return replace(then, cube_id=now.cube_id, version=now.version + 1, recorded_at_us=at_us)
