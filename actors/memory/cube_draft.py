"""A draft of a cube: its events in the making, and how the memories that they touch will look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actors.errors import CubeNotFound
from actors.memory.cube import CubeState
from actors.memory.draft import Draft, Origin, Sealer
from actors.memory.erasure import Receipt
from actors.memory.events import Event, EventType
from actors.memory.item import Memory, evolve
from actors.memory.outcomes import Outcome, begun
from actors.memory.repeats import Repeats, first_repeated, identity_of
from actors.memory.requests import Moment
from actors.memory.rollback import Changed, Foreseen, rolled_back


class CubeDraft(Draft):
    """A draft that also knows how the memories it touched will look."""

    __slots__ = ("_added", "_changed", "_erased", "_name", "_outcomes", "_policy", "_repeats", "_state", "_unlisted")

    def __init__(self, state: CubeState, sealer: Sealer) -> None:
        super().__init__(state, sealer, state.recorded_at_us[-1] if state.recorded_at_us else 0)
        self._state = state
        self._changed: dict[str, list[tuple[int, Memory]]] = {}
        self._unlisted: list[tuple[int, Changed]] = []
        """What rollbacks changed, and at which version, until somebody asks for `_known`."""
        self._added: dict[str, Memory] = {}
        self._repeats = Repeats()
        """Of the memories that this draft changed."""
        self._erased: dict[str, str] = {}
        """Of this draft, by memory: the root of its erasure."""
        self._outcomes: dict[str, Outcome] = {}
        self._name, self._policy = state.name, state.policy

    @property
    def name(self) -> str:
        return self._name

    @property
    def policy(self) -> Mapping[str, Mapping[str, Any]]:
        return self._policy

    def find(self, memory_id: str) -> Memory | None:
        """The memory as it will be after the events so far; None when there is none, or it was erased."""
        if memory_id in self._erased:
            return None
        changed = self._known().get(memory_id)
        return changed[-1][1] if changed else self._state.find(memory_id)

    @property
    def history(self) -> Mapping[str, Sequence[tuple[int, Memory]]]:
        """Per memory, (cube version, memory) pairs, oldest first, the events so far included."""
        known = self._known()
        if not known and not self._erased:
            return self._state.history
        held = self._state.history
        found = {**held, **{mid: [*held.get(mid, ()), *changed] for mid, changed in known.items()}}
        return {mid: revisions for mid, revisions in found.items() if mid not in self._erased}

    def version_of(self, moment: Moment) -> int:
        """The cube version that a moment names, the events so far included. Raises VersionNotFound."""
        if moment.version is not None and moment.version > self._state.version:
            if moment.version <= self.version:
                return moment.version
        found = self._state.version_of(moment)
        if moment.time_us is not None and found == self._state.version:
            found += sum(event.recorded_at_us <= moment.time_us for event in self.events)
        return found

    def begin_at(self, version: int, head: bytes, last_at_us: int) -> None:
        """Stand on another chain's event: a fork's first own event comes next."""
        self.version, self.head, self._last_at_us = version, head, last_at_us

    def first(self, memory_id: str) -> Memory | None:
        """The memory as it was recorded first; None when it was erased."""
        revisions = self._state.history.get(memory_id)
        return revisions[0][1] if revisions else self._added.get(memory_id)

    def repeated_by(self, new: Memory) -> Memory | None:
        """The memory that `new` is an exact repeat of, as it will be; the oldest when there are several."""
        identity = identity_of(new)
        candidates = [*self._state.known_repeats().holders(identity), *self._repeats.holders(identity)]
        return first_repeated(identity, candidates, self.find)

    def was_split(self, memory_id: str, into: str) -> bool:
        """Whether a memory was merged into another one before, and split out of it again."""
        memory, known = self.find(memory_id), self._state.history.get(memory_id, ())
        now = "" if memory is None else memory.links.into
        return now != into and any(before.links.into == into for _, before in known)

    def absorbed(self, memory_id: str) -> list[Memory]:
        """The memories that are merged into one, in order of merging, as they will be."""
        ids = dict.fromkeys((*self._state.relations.absorbed.get(memory_id, ()), *self._known()))
        found = (self.find(other) for other in ids)
        return [memory for memory in found if memory is not None and memory.links.into == memory_id]

    @property
    def forked_from(self) -> str | None:
        """The cube that this one was forked from, None when it was not."""
        return None if self._state.fork is None else self._state.fork.cube_id

    def times(self) -> list[int]:
        """The record time of each cube version, the first at index 0."""
        return [*self._state.recorded_at_us, *(event.recorded_at_us for event in self.events)]

    def erasure_of(self, memory_id: str) -> str | None:
        """The root of the erasure that a memory went with, None when it was not erased."""
        known = self._state.erased.get(memory_id)
        return self._erased.get(memory_id) if known is None else known.root

    def receipt(self, root: str) -> Receipt | None:
        """Of an erasure that was finished before this draft."""
        return self._state.receipts.get(root)

    def revisions(self) -> dict[str, list[tuple[int, Memory]]]:
        """Every memory that is not erased, after each of its events: (cube version, memory). Costs a pass over all."""
        return {memory_id: list(revisions) for memory_id, revisions in self.history.items()}

    def outcome(self, key_digest: str) -> Outcome | None:
        return self._outcomes.get(key_digest) or self._state.outcomes.get(key_digest)

    def emit(
        self,
        origin: Origin,
        type: EventType,
        payload: Mapping[str, Any],
        memory_id: str = "",
        memory_version: int = 0,
    ) -> Event:
        if self.cube_id in self._state.erased and type is not EventType.ERASURE_COMPLETED:
            raise CubeNotFound(f"no cube {self.cube_id!r}", cube=self.cube_id)
        event = super().emit(origin, type, payload, memory_id, memory_version)
        self._note(event)
        return event

    def rewind(self, length: int, version: int, head: bytes) -> None:
        super().rewind(length, version, head)
        self._state.foreseen = None
        self._changed.clear()
        self._unlisted.clear()
        self._added.clear()
        self._erased.clear()
        self._outcomes.clear()
        self._repeats = Repeats()
        self._name, self._policy = self._state.name, self._state.policy
        for event in self.events:
            self._note(event)

    def _note(self, event: Event) -> None:
        if event.type is EventType.MEMORY_ERASED:
            self._erased[event.memory_id] = event.payload()["root"]
            self._known().pop(event.memory_id, None)
        elif event.memory_id:
            after = evolve(self.find(event.memory_id), event)
            self._note_change(event.version, after)
            if event.type is EventType.MEMORY_ADDED:
                self._added[event.memory_id] = after
        elif event.type is EventType.CUBE_ROLLED_BACK:
            self._note_rollback(event, rolled_back(self.history, event))
        else:
            payload = event.payload()
            self._name = payload.get("name", self._name)
            self._policy = payload.get("policy", self._policy)
        self._note_outcome(event)

    def _note_change(self, version: int, memory: Memory) -> None:
        self._repeats.follow(self.find(memory.id), memory)
        self._known().setdefault(memory.id, []).append((version, memory))

    def emit_rollback(self, origin: Origin, payload: Mapping[str, Any], changed: Changed) -> None:
        """As `emit`, of a rollback that is known to do this: working it out anew would take as long, here and in the
        fold.
        """
        event = super().emit(origin, EventType.CUBE_ROLLED_BACK, payload)
        self._state.foreseen = Foreseen(event.hash, changed)
        self._note_rollback(event, changed)

    def _note_rollback(self, event: Event, changed: Changed) -> None:
        self._repeats.follow_later(changed)
        self._unlisted.append((event.version, changed))

    def _known(self) -> dict[str, list[tuple[int, Memory]]]:
        """What this draft made of the memories that it changed."""
        unlisted, self._unlisted = self._unlisted, []
        for version, changed in unlisted:
            for _, after in changed:
                self._changed.setdefault(after.id, []).append((version, after))
        return self._changed

    def _note_outcome(self, event: Event) -> None:
        if event.idempotency:
            key, _, request = event.idempotency.partition(":")
            self._outcomes[key] = self._outcomes.get(key, begun(request)).followed_by(event)
