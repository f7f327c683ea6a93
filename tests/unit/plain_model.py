"""What a cube holds, as a plain model: dictionaries, and the rules in the order in which they are told to people.

It knows nothing of events, rows or snapshots. A rule that refuses raises the error that the real one must raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from actors.errors import FrozenMemory, InvalidRequest, MemoryErased, NothingMerged, TransitionRefused, VersionNotFound
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
    into_version: int = 0
    derived: frozenset[str] = frozenset()


@dataclass
class PlainModel:
    now: dict[str, Seen] = field(default_factory=dict)
    past: list[dict[str, Seen]] = field(default_factory=lambda: [{}, {}])
    """By version of the cube; the first event makes the cube."""
    erased: set[str] = field(default_factory=set)

    @property
    def version(self) -> int:
        return len(self.past) - 1

    def existing(self, memory_id: str) -> Seen:
        if memory_id in self.erased:
            raise MemoryErased("erased")
        return self.now[memory_id]

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

    def recorded(self, text: str, speaker: str, state: State, into: str = "") -> Seen:
        """A memory as an add records it: merged, when what it says is absorbed."""
        if not into:
            return Seen(text, speaker, state)
        of = self.now[into].version
        return Seen(text, speaker, State.MERGED, 1, into, Absorption.DUPLICATE, into_version=of)

    def add(self, memory_id: str, seen: Seen) -> None:
        self._record(memory_id, seen)

    def absorbed(self, memory_id: str) -> list[str]:
        return [other for other, seen in self.now.items() if seen.into == memory_id]

    def sources(self, memory_id: str) -> int:
        duplicates = [o for o in self.absorbed(memory_id) if self.now[o].kind is Absorption.DUPLICATE]
        return 1 + sum(self.sources(other) for other in duplicates)

    def change(self, memory_id: str, text: str) -> None:
        seen = self.existing(memory_id)
        if seen.state is State.FROZEN:
            raise FrozenMemory("frozen")
        if seen.state is State.MERGED:
            raise TransitionRefused("merged")
        if text != seen.text:
            self._record(memory_id, replace(seen, text=text, version=seen.version + 1))

    def move(self, memory_id: str, to: State) -> None:
        seen = self.existing(memory_id)
        if to not in MOVES[seen.state]:
            raise TransitionRefused("not in the table")
        if seen.state is State.MERGED:
            self.split(memory_id)
        else:
            self._record(memory_id, replace(seen, state=to))

    def merge(self, memory_id: str, into: str, kind: Absorption) -> None:
        seen, target = self.existing(memory_id), self.existing(into)
        if memory_id == into:
            raise InvalidRequest("itself")
        if (seen.into, seen.kind) == (into, kind):
            return
        for one in (seen, target):
            if one.state is State.FROZEN:
                raise FrozenMemory("frozen")
            if one.state is not State.ACTIVATED:
                raise TransitionRefused("not activated")
        merged = replace(seen, state=State.MERGED, into=into, kind=kind, into_version=target.version)
        self._record(memory_id, merged)

    def is_held(self, memory_id: str) -> bool:
        """Whether it is frozen, or merged into what is, itself or through others."""
        seen = self.now.get(memory_id)
        while seen is not None and seen.state is State.MERGED:
            seen = self.now.get(seen.into)
        return seen is not None and seen.state is State.FROZEN

    def split(self, memory_id: str) -> None:
        seen = self.existing(memory_id)
        if seen.state is State.MERGED:
            if self.is_held(memory_id):
                raise FrozenMemory("held")
            self._release(memory_id)
            return
        absorbed = self.absorbed(memory_id)
        if not absorbed:
            raise NothingMerged("nothing")
        if seen.state is State.FROZEN:
            raise FrozenMemory("frozen")
        first = {other: self._first_merged(other, memory_id) for other in absorbed}
        for other in sorted(absorbed, key=lambda other: first[other]):
            self._release(other)

    def _first_merged(self, memory_id: str, into: str) -> int:
        return next(v for v, then in enumerate(self.past) if memory_id in then and then[memory_id].into == into)

    def _release(self, memory_id: str) -> None:
        self._record(memory_id, _released(self.now[memory_id], State.ACTIVATED))

    def link(self, newer: str, older: str) -> None:
        one, other = self.existing(newer), self.existing(older)
        if older in one.contradicts or newer in other.contradicts or {one.state, other.state} == {State.FROZEN}:
            return
        carrier, named = (older, newer) if one.state is State.FROZEN else (newer, older)
        self._record(carrier, replace(self.now[carrier], contradicts=self.now[carrier].contradicts | {named}))

    # time

    def roll_back(self, to: int) -> set[str]:
        """The memories that would change, and are held."""
        if to > self.version:
            raise VersionNotFound("not reached")
        wanted = {memory_id: self._gone_back(memory_id, to) for memory_id in self.now}
        differing = {memory_id for memory_id, seen in wanted.items() if seen != self.now[memory_id]}
        kept = {memory_id for memory_id in differing if self._stays(memory_id, to)}
        if differing - kept:
            self.now = {m: wanted[m] if m in differing - kept else seen for m, seen in self.now.items()}
            self.past.append(self.now)
        return kept

    def _gone_back(self, memory_id: str, to: int) -> Seen:
        now, then = self.now[memory_id], self.past[to].get(memory_id)
        if then is None:
            return now if now.state is State.ARCHIVED else _released(now, State.ARCHIVED)
        same = (now.text, now.speaker, now.derived) == (then.text, then.speaker, then.derived)
        return replace(then, version=now.version + (0 if same else 1))

    def _stays(self, memory_id: str, to: int) -> bool:
        """Whether it is held, or would be merged into what stays, or into what is no more."""
        if memory_id not in self.now or self.is_held(memory_id):
            return True
        then = self.past[to].get(memory_id)
        return then is not None and then.into != "" and self._stays(then.into, to)

    def forked(self, version: int) -> PlainModel:
        """What a fork begins with; its first own event is one more version."""
        if version > self.version:
            raise VersionNotFound("not reached")
        now = self.past[version]
        return PlainModel(now, [*self.past[: version + 1], now], set(self.erased))

    # erasure

    def goes_with(self, roots: set[str]) -> set[str]:
        """What is erased with them: what was derived from one, absorbed by one as a duplicate, or merged at some time
        and the same as one says, in any version of either; and so on.
        """
        versions: dict[str, set[Seen]] = {}
        for then in self.past:
            for memory_id, seen in then.items():
                versions.setdefault(memory_id, set()).add(seen)
        texts = {memory_id: {seen.text for seen in found} for memory_id, found in versions.items()}
        merged = {m for m, found in versions.items() if any(seen.state is State.MERGED for seen in found)}
        repeated = {text for memory_id in merged for text in texts[memory_id]}
        found = set(roots)
        while True:
            more = {
                memory_id
                for memory_id, seens in versions.items()
                if any(seen.derived & found for seen in seens)
                or any(seen.kind is Absorption.DUPLICATE and seen.into in found for seen in seens)
                or texts[memory_id] & repeated & {text for one in found for text in texts[one]}
            } | found
            if more == found:
                return found
            found = more

    def erase(self, roots: set[str]) -> None:
        """Forget them and what goes with them: an event for each, and one for the receipt."""
        left = roots - self.erased
        if not left:
            return
        going = self.goes_with(left)
        self.erased |= going
        self.past = [{m: seen for m, seen in then.items() if m not in going} for then in self.past]
        self.now = {m: seen for m, seen in self.now.items() if m not in going}
        self.past += [self.now] * (len(going) + 1)


def _released(seen: Seen, state: State) -> Seen:
    return replace(seen, state=state, into="", kind=None, into_version=0)
