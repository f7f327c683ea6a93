"""What the memories of a cube have become of each other: the links that memories carry, read backwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from actors.memory.item import Memory
from actors.memory.links import UNLINKED, Absorption

History = Mapping[str, Sequence[tuple[int, Memory]]]
"""By memory, what it was after each of its events: (cube version, memory), oldest first."""

ENTRY_BYTES = 8
"""A memory in the list of another."""
LIST_BYTES = 250
"""The list itself, and its place in a table."""


@dataclass(slots=True)
class Relations:
    """A projection of the history: derived from it, never stored. Lists only grow, in order of version; whether a tie
    holds at a version is what the memory itself says there. So a thousand absorbed memories are a thousand entries.
    """

    absorbed: dict[str, list[str]] = field(default_factory=dict)
    """By memory, those that were ever merged into it."""
    derived: dict[str, list[str]] = field(default_factory=dict)
    """By memory, those that were ever recorded as derived from it."""
    contradicted: dict[str, list[str]] = field(default_factory=dict)
    """By memory, those that were ever linked as contradicting it."""
    repeats: dict[str, int] = field(default_factory=dict)
    """By memory, how many duplicates are merged into it now, and into those."""

    @property
    def held_bytes(self) -> int:
        tables = (self.absorbed, self.derived, self.contradicted)
        return sum(LIST_BYTES + ENTRY_BYTES * len(ids) for table in tables for ids in table.values())

    @classmethod
    def of(cls, history: History) -> Relations:
        relations = cls()
        changes = [
            (version, memory_id, place)
            for memory_id, revisions in history.items()
            for place, (version, memory) in enumerate(revisions)
            if memory.links is not UNLINKED or memory.derived_from
        ]
        for _, memory_id, place in sorted(changes):
            relations._extend(history[memory_id], place)
        relations._recount(history)
        return relations

    def follow(self, history: History, memory_ids: Sequence[str]) -> int:
        """Take the newest change of memories in, all that one event changed; the bytes that it took."""
        taken, moved = 0, []
        for memory_id in memory_ids:
            revisions = history[memory_id]
            after = revisions[-1][1]
            before = revisions[-2][1] if len(revisions) > 1 else None
            old, new = UNLINKED if before is None else before.links, after.links
            if new is UNLINKED and old is UNLINKED and not after.derived_from:
                continue
            if (old.into, old.absorption) != (new.into, new.absorption):
                moved.append((memory_id, before, after))
            taken += self._extend(revisions, len(revisions) - 1)
        if len(memory_ids) > 1 and moved:  # half of them moved, they may tie memories in a circle
            self._recount(history)
            return taken
        for memory_id, before, after in moved:
            self._count(memory_id, before, -1, history, self.repeats)
            self._count(memory_id, after, 1, history, self.repeats)
        return taken

    def forget(self, history: History, memory_id: str) -> int:
        """Take a memory that is about to leave the history out of the counts, and out of the lists of those that it
        named; the bytes that they took.
        """
        revisions = history[memory_id]
        self._count(memory_id, revisions[-1][1], -1, history, self.repeats)
        self.repeats.pop(memory_id, None)
        freed = 0
        for _, memory in revisions:
            freed += _remove(self.absorbed, memory.links.into, memory_id)
            freed += sum(_remove(self.contradicted, other, memory_id) for other in memory.links.contradicts)
            freed += sum(_remove(self.derived, source, memory_id) for source in _sources_of(memory))
        return freed

    def _recount(self, history: History) -> None:
        self.repeats = {}
        for memory_id, revisions in history.items():
            memory = revisions[-1][1]
            if memory.links is not UNLINKED:
                self._count(memory_id, memory, 1, history, {})

    def _extend(self, revisions: Sequence[tuple[int, Memory]], place: int) -> int:
        """Put one revision of a memory into the lists of those that it names for the first time."""
        after = revisions[place][1]
        links, taken = after.links, 0
        if links.into and not any(memory.links.into == links.into for _, memory in revisions[:place]):
            taken += _append(self.absorbed, links.into, after.id)
        before = revisions[place - 1][1] if place else None
        for other in links.contradicts:
            if before is None or other not in before.links.contradicts:
                taken += _append(self.contradicted, other, after.id)
        known = set() if before is None else _sources_of(before)
        for source_id in _sources_of(after) - known:
            taken += _append(self.derived, source_id, after.id)
        return taken

    def _count(
        self, memory_id: str, memory: Memory | None, sign: int, history: History, within: Mapping[str, int]
    ) -> None:
        """Add a memory, and `within` it what is merged into it, to all that it is a duplicate of; or take it away."""
        number, passed = sign * (1 + within.get(memory_id, 0)), {memory_id}
        while memory is not None and memory.links.absorption is Absorption.DUPLICATE:
            target = memory.links.into
            if target not in history or target in passed:  # it was erased
                return
            passed.add(target)
            total = self.repeats.get(target, 0) + number
            if total:
                self.repeats[target] = total
            else:
                self.repeats.pop(target, None)
            memory = history[target][-1][1]

    def copy(self) -> Relations:
        """A copy that later changes do not reach."""
        return Relations(_copied(self.absorbed), _copied(self.derived), _copied(self.contradicted), dict(self.repeats))


def walk(starts: Iterable[str], following: Mapping[str, Sequence[str]]) -> Iterator[tuple[int, str]]:
    """(distance, memory) of everything that is reached from `starts`, nearest first, each once, the starts left out."""
    level, seen, distance = list(starts), set(starts), 0
    while level:
        distance += 1
        found = []
        for memory_id in level:
            for other in following.get(memory_id, ()):
                if other not in seen:
                    seen.add(other)
                    found.append(other)
                    yield distance, other
        level = found


def _sources_of(memory: Memory) -> set[str]:
    """The memories of its own cube that a memory is derived from."""
    return {source.memory_id for source in memory.derived_from if source.cube_id == memory.cube_id}


def _copied(table: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {of: list(ids) for of, ids in table.items()}


def _append(table: dict[str, list[str]], of: str, memory_id: str) -> int:
    held = table.get(of)
    if held is None:
        table[of] = [memory_id]
        return LIST_BYTES + ENTRY_BYTES
    held.append(memory_id)
    return ENTRY_BYTES


def _remove(table: dict[str, list[str]], of: str, memory_id: str) -> int:
    held = table.get(of, [])
    try:
        held.remove(memory_id)
    except ValueError:
        return 0
    if held:
        return ENTRY_BYTES
    del table[of]
    return LIST_BYTES + ENTRY_BYTES
