"""What a cube holds, as a plain model: dictionaries, and the rules in the order in which they are told to people.

It knows nothing of events, rows or snapshots. A rule that refuses raises the error that the real one must raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from actors.errors import FrozenMemory, InvalidRequest, NothingMerged, TransitionRefused
from actors.memory.lifecycle import State
from actors.memory.links import Absorption

MOVES = {
    State.GENERATED: {State.ACTIVATED, State.ARCHIVED},
    State.ACTIVATED: {State.ARCHIVED, State.FROZEN},
    State.MERGED: {State.ACTIVATED},
    State.ARCHIVED: {State.ACTIVATED, State.FROZEN},
    State.FROZEN: {State.ACTIVATED, State.ARCHIVED},
}


@dataclass(frozen=True)
class Seen:
    """A memory as the model sees it."""

    text: str
    speaker: str
    state: State = State.ACTIVATED
    version: int = 1
    into: str = ""
    kind: Absorption | None = None
    contradicts: frozenset[str] = frozenset()


@dataclass
class PlainModel:
    now: dict[str, Seen] = field(default_factory=dict)
    past: list[dict[str, Seen]] = field(default_factory=lambda: [{}, {}])
    """By version of the cube; the first event makes the cube."""

    def _record(self, memory_id: str, seen: Seen) -> None:
        self.now = {**self.now, memory_id: seen}
        self.past.append(self.now)

    def repeated(self, text: str, speaker: str) -> set[str]:
        """The memories that absorb a repeat of a text."""
        said = " ".join(text.casefold().split())
        return {
            memory_id
            for memory_id, seen in self.now.items()
            if seen.state is State.ACTIVATED
            and (" ".join(seen.text.casefold().split()), seen.speaker) == (said, speaker)
        }

    def add(self, memory_id: str, seen: Seen) -> None:
        self._record(memory_id, seen)

    def absorbed(self, memory_id: str) -> list[str]:
        return [other for other, seen in self.now.items() if seen.into == memory_id]

    def sources(self, memory_id: str) -> int:
        duplicates = [o for o in self.absorbed(memory_id) if self.now[o].kind is Absorption.DUPLICATE]
        return 1 + sum(self.sources(other) for other in duplicates)

    def change(self, memory_id: str, text: str) -> None:
        seen = self.now[memory_id]
        if seen.state is State.FROZEN:
            raise FrozenMemory("frozen")
        if seen.state is State.MERGED:
            raise TransitionRefused("merged")
        if text != seen.text:
            self._record(memory_id, replace(seen, text=text, version=seen.version + 1))

    def move(self, memory_id: str, to: State) -> None:
        seen = self.now[memory_id]
        if to not in MOVES[seen.state]:
            raise TransitionRefused("not in the table")
        if seen.state is State.MERGED:
            self.split(memory_id)
        else:
            self._record(memory_id, replace(seen, state=to))

    def merge(self, memory_id: str, into: str, kind: Absorption) -> None:
        if memory_id == into:
            raise InvalidRequest("itself")
        seen = self.now[memory_id]
        if (seen.into, seen.kind) == (into, kind):
            return
        for one in (seen, self.now[into]):
            if one.state is State.FROZEN:
                raise FrozenMemory("frozen")
            if one.state is not State.ACTIVATED:
                raise TransitionRefused("not activated")
        self._record(memory_id, replace(seen, state=State.MERGED, into=into, kind=kind))

    def split(self, memory_id: str) -> None:
        seen = self.now[memory_id]
        if seen.state is State.MERGED:
            root = memory_id
            while self.now[root].state is State.MERGED:
                root = self.now[root].into
            if self.now[root].state is State.FROZEN:
                raise FrozenMemory("held")
            self._release(memory_id)
            return
        absorbed = self.absorbed(memory_id)
        if not absorbed:
            raise NothingMerged("nothing")
        if seen.state is State.FROZEN:
            raise FrozenMemory("frozen")
        for other in absorbed:
            self._release(other)

    def _release(self, memory_id: str) -> None:
        self._record(memory_id, replace(self.now[memory_id], state=State.ACTIVATED, into="", kind=None))

    def link(self, newer: str, older: str) -> None:
        one, other = self.now[newer], self.now[older]
        if older in one.contradicts or newer in other.contradicts or {one.state, other.state} == {State.FROZEN}:
            return
        carrier, named = (older, newer) if one.state is State.FROZEN else (newer, older)
        self._record(carrier, replace(self.now[carrier], contradicts=self.now[carrier].contradicts | {named}))
