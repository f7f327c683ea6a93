"""When a memory says exactly what another one says: the same words, by the same speaker, of the same kind."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State
from actors.memory.relative_dates import resolve

Find = Callable[[str], Memory | None]

Identity = tuple[str, ...]

Change = tuple[Memory | None, Memory]
"""A memory before and after an event, None for one that was not there."""

HOLDER_BYTES = 90
"""A memory's entry in the table of identities."""


def normalised(text: str) -> str:
    """The text without what makes no difference: form of characters, case, blanks."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(folded.casefold().split())


def identity_of(memory: Memory) -> Identity:
    """What two memories must have in common to be repeats of each other.

    Session, reference and time may differ: they are what makes a repeat another source. But "yesterday" said on two
    days means two days, and tags, metadata and the interval of validity are part of what is said: a filter for them
    must not lose what it would have found.
    """
    more = ""
    if memory.tags or memory.metadata or memory.valid_from_us is not None or memory.valid_to_us is not None:
        more = json.dumps(
            [sorted(memory.tags), memory.metadata, memory.valid_from_us, memory.valid_to_us], sort_keys=True
        )
    return (_said(memory.text, memory.occurred_at_us), memory.type, memory.role, memory.speaker, more)


@lru_cache(maxsize=1024)
def _said(text: str, at_us: int | None) -> str:
    """The normalised text, with the date behind each relative one. An add asks three times for the same."""
    said = normalised(text)
    if at_us is not None and any(word in said for word in _RELATIVE_WORDS):
        return resolve(said, at_us)
    return said


_RELATIVE_WORDS = ("day", "night", "tomorrow", "ago", "month", "year")
"""Every relative date holds one of these, which is found sooner."""


def may_absorb(memory: Memory) -> bool:
    """Whether repeats of it are absorbed: it is in retrieval, and not frozen, which would let nothing change it."""
    return memory.state is State.ACTIVATED and memory.form is Form.PLAINTEXT


@dataclass(slots=True)
class Repeats:
    """By identity, the memories that absorb repeats, oldest first. A table in memory, made when a cube is first
    written to; it holds hashes, so what it proposes is compared again.
    """

    _holders: dict[int, str | list[str]] = field(default_factory=dict)
    _later: list[Change] = field(default_factory=list)
    """Changes that nobody has asked about yet."""

    @classmethod
    def of(cls, memories: Iterable[Memory]) -> Repeats:
        repeats = cls()
        for memory in memories:
            repeats.follow(None, memory)
        return repeats

    def __len__(self) -> int:
        return len(self._holders)

    def holders(self, identity: Identity) -> Iterator[str]:
        self._catch_up()
        held = self._holders.get(hash(identity))
        if held is not None:
            yield from [held] if isinstance(held, str) else held

    def follow(self, before: Memory | None, after: Memory) -> None:
        """Take a change of a memory in."""
        self._catch_up()
        self._take(before, after)

    def follow_later(self, changes: Iterable[Change]) -> None:
        """Take changes in, each of another memory, when the table is next asked: many take long, and whoever makes so
        many has no use for it.
        """
        self._later.extend(changes)

    def _catch_up(self) -> None:
        later, self._later = self._later, []
        for before, after in later:
            self._take(before, after)

    def _take(self, before: Memory | None, after: Memory) -> None:
        was = None if before is None or not may_absorb(before) else identity_of(before)
        now = identity_of(after) if may_absorb(after) else None
        if was == now:
            return
        if was is not None:
            self._release(hash(was), after.id)
        if now is not None:
            self._claim(hash(now), after.id)

    def forget(self, memory: Memory) -> None:
        """The memory was erased."""
        self._catch_up()
        if may_absorb(memory):
            self._release(hash(identity_of(memory)), memory.id)

    def _claim(self, key: int, memory_id: str) -> None:
        held = self._holders.get(key)
        if held is None:
            self._holders[key] = memory_id
        else:
            self._holders[key] = [*([held] if isinstance(held, str) else held), memory_id]

    def _release(self, key: int, memory_id: str) -> None:
        held = self._holders.get(key)
        left = [] if held is None or isinstance(held, str) else [other for other in held if other != memory_id]
        if left:
            self._holders[key] = left
        else:
            self._holders.pop(key, None)


def first_repeated(identity: Identity, candidates: Iterable[str], find: Find) -> Memory | None:
    """Of the candidates, the first memory that has this identity and absorbs repeats; None when there is none."""
    for memory_id in candidates:
        memory = find(memory_id)
        if memory is not None and may_absorb(memory) and identity_of(memory) == identity:
            return memory
    return None
