"""What going back to an earlier version makes of a cube's memories.

A rollback is one event; what it does to a memory follows from that memory's history, and from the event, which names
the memories that are kept as they are. So the fold works it out, also when others were erased since. Each memory gets
the content, the state and the ties that it had, what was not there is archived, and what is frozen now stays as it is,
with what is merged into it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import NamedTuple

from actors.memory.events import Event
from actors.memory.item import Memory, copied, owned
from actors.memory.lifecycle import State
from actors.memory.merging import held_by

History = Mapping[str, Sequence[tuple[int, Memory]]]
"""Per memory, (cube version, memory) pairs, oldest first."""


_MOMENTARY = frozenset(
    {"id", "cube_id", "version", "recorded_at_us", "state", "links", "reason", "sources", "screening"}
)
_content = attrgetter(*(f.name for f in fields(Memory) if f.name not in _MOMENTARY))


class Restored(NamedTuple):
    """A memory that differs from what it was: `after` is what the rollback makes of it, `before` itself when it is
    held.
    """

    before: Memory
    after: Memory

    @property
    def kept(self) -> bool:
        return self.after is self.before


def same_content(one: Memory, other: Memory) -> bool:
    """Whether two moments of a memory say the same: they differ at most in state, ties to others, the reason for them,
    version, record time and the cube they are in.
    """
    return one is other or _content(one) == _content(owned(other, one.cube_id))


Changed = list[tuple[Memory | None, Memory]]
"""What an event made of memories: (before, after), None for one that was not there."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a command found that the rollback with this hash does. The hash stands for every event before it, too: a
    fold that comes to this event finds the same, so it need not look again.
    """

    hash: bytes
    changed: Changed


def rolled_back(history: History, event: Event) -> Changed:
    """What a rollback that was recorded makes of the memories that it changes."""
    payload = event.payload()
    kept = frozenset(payload.get("kept", ()))
    found = _restored(
        history, payload["to"], event.recorded_at_us, payload.get("reason", ""), lambda now, then: now.id in kept
    )
    return changes_of(found, event.cube_id)


def changes_of(found: Iterable[Restored], cube_id: str) -> Changed:
    """The changes among what was found, as ones of the cube."""
    return [(each.before, owned(each.after, cube_id)) for each in found if not each.kept]


def restored(history: History, to: int, at_us: int, reason: str = "") -> Iterator[Restored]:
    """What a rollback to version `to`, recorded at `at_us`, does: the memories that it changes, and the held ones that
    it would change. In order of first record.
    """
    return _restored(history, to, at_us, reason, _Held(history, to).keeps)


Keeps = Callable[[Memory, Memory | None], bool]
"""Whether a rollback leaves a memory as it is now; the other one is what it was then."""


def _restored(history: History, to: int, at_us: int, reason: str, keeps: Keeps) -> Iterator[Restored]:
    for revisions in history.values():
        if revisions[-1][0] <= to:
            continue
        now, then = revisions[-1][1], at(revisions, to)
        after = _gone_back(now, then, at_us, reason)
        if after is not now:
            yield Restored(now, now if keeps(now, then) else after)


def at(revisions: Sequence[tuple[int, Memory]], version: int) -> Memory | None:
    """The memory as it was at a cube version, None when it was not there."""
    if revisions[0][0] > version:
        return None
    place = bisect_right(revisions, version, key=lambda revision: revision[0])
    return revisions[place - 1][1] if place else None


class _Held:
    """The memories that a rollback leaves as they are: frozen ones, those merged into them, and those that it would
    merge into any of these.
    """

    def __init__(self, history: History, to: int) -> None:
        self._history = history
        self._to = to
        self._known: dict[str, bool] = {}

    def keeps(self, now: Memory, then: Memory | None) -> bool:
        free = now.state is not State.FROZEN and now.state is not State.MERGED
        if free and (then is None or not then.links.into):  # nearly every memory
            return False
        return self._keeps(now.id)

    def _keeps(self, memory_id: str) -> bool:
        path: dict[str, None] = {}
        while memory_id and memory_id not in self._known and memory_id not in path:
            path[memory_id] = None
            now = self._find(memory_id)
            if now is None or now.state is State.FROZEN or held_by(now, self._find) is not None:
                self._known[memory_id] = True  # or it was erased: nothing is merged into it any more
                break
            then = at(self._history[memory_id], self._to)
            memory_id = "" if then is None else then.links.into
        kept = self._known.get(memory_id, False)
        self._known.update(dict.fromkeys(path, kept))
        return kept

    def _find(self, memory_id: str) -> Memory | None:
        revisions = self._history.get(memory_id)
        return revisions[-1][1] if revisions else None


def _gone_back(now: Memory, then: Memory | None, at_us: int, reason: str) -> Memory:
    """The memory as it was; itself when it is so already."""
    if then is None:
        if now.state is State.ARCHIVED:
            return now
        return copied(now, state=State.ARCHIVED, links=now.links.released(), reason=reason)
    if same_content(now, then):
        if now.state is then.state and now.links == then.links:
            return now
        return copied(now, state=then.state, links=then.links, reason=reason)
    return copied(owned(then, now.cube_id), version=now.version + 1, recorded_at_us=at_us, reason=reason)
