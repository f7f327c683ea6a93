"""A cube's state: the fold of its events, readable at any of its versions."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from actors.errors import InvalidRequest, MemoryNotFound, VersionNotFound
from actors.memory.erasure import TOMBSTONES, Erased, Receipt, fold_emptied, gone
from actors.memory.events import GENESIS, Event, EventType
from actors.memory.footprint import CUBE_BYTES, EVENT_BYTES, OUTCOME_BYTES, memory_bytes
from actors.memory.intervals import Interval
from actors.memory.item import Form, Memory, evolve, owned
from actors.memory.lifecycle import State
from actors.memory.origins import Origins
from actors.memory.outcomes import Outcome, note_outcome
from actors.memory.policy import DEFAULTS, Policy, merged_policy
from actors.memory.relations import Relations
from actors.memory.repeats import HOLDER_BYTES, Repeats
from actors.memory.requests import ForkPoint, Moment
from actors.memory.rollback import Changed, Foreseen, rolled_back
from actors.memory.rows import RowChange, Rows, same_row

AsOf = int | None
"""A cube version, or None for now. Times are resolved to versions by `CubeState.version_at`."""


Revisions = tuple[tuple[int, Memory], ...]
"""A memory as it stood after each of its events: (cube version, memory), oldest first."""

META = frozenset({EventType.CUBE_CREATED, EventType.CUBE_CHANGED, EventType.CUBE_FORKED, EventType.CUBE_IMPORTED})
"""Events about the cube itself."""


@dataclass(slots=True)
class CubeState:
    """The fold of a cube's events. Not thread-safe: its owner guards it.

    `history[memory_id]` holds (cube version, memory) pairs, oldest first. It is replaced, never changed, so that copies
    and forks share it.
    """

    cube_id: str
    name: str = ""
    owner: str = ""
    policy: Policy = field(default_factory=lambda: merged_policy(DEFAULTS, {}))
    version: int = 0
    head: bytes = GENESIS
    created_at_us: int = 0
    history: dict[str, Revisions] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    recorded_at_us: array[int] = field(default_factory=lambda: array("q"))
    """Record time of each event, in order of version: never decreasing."""
    meta_history: list[tuple[int, str, Policy]] = field(default_factory=list)
    tally: dict[tuple[Form, State], int] = field(default_factory=dict)
    """Number of memories by form and state, as of now."""
    origins: Origins = field(default_factory=Origins)
    relations: Relations = field(default_factory=Relations)
    repeats: Repeats | None = field(default=None, compare=False)
    """Made by `known_repeats`, when the cube is first written to."""
    foreseen: Foreseen | None = field(default=None, compare=False)
    """The rollback that is being committed. Of the writer's thread, like `repeats`."""
    erased: dict[str, Erased] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    """Of the erasures that were finished, by their roots."""
    blank_rows: set[int] = field(default_factory=set)
    """Versions at which memories opened rows whose tombstones come later; told before a fold."""
    held_bytes: int = CUBE_BYTES
    """What the state takes in memory, estimated."""
    fork: ForkPoint | None = None
    """Where it left its origin, None for a cube that is no fork. Its memories of before may carry the origin's id
    inside; every method that answers memories puts that right.
    """
    imported: dict[str, Any] = field(default_factory=dict)
    """What its first event says of the archive that it was imported from; empty when it was not."""

    def apply(self, event: Event) -> RowChange:
        """Fold the cube's next event in. Events must come in order of version, each once."""
        if event.version != self.version + 1:
            raise ValueError(f"cube {self.cube_id} is at version {self.version}, got event {event.version}")
        self.version, self.head = event.version, event.hash
        self.recorded_at_us.append(event.recorded_at_us)
        self.held_bytes += EVENT_BYTES + self.origins.note(event.version, event.principal, event.request_id)
        change = RowChange()
        if event.type in META:
            self._apply_meta(event)
        elif event.type is EventType.CUBE_ROLLED_BACK:
            change = self._apply_rollback(event)
        elif event.type in TOMBSTONES:
            change = TOMBSTONES[event.type](self, event)
        elif event.memory_id and event.content is None:
            change = fold_emptied(self, event)
        elif event.memory_id:
            before = self.find(event.memory_id)
            change = self._record(event.version, [(before, evolve(before, event))])
        if event.idempotency:
            self.held_bytes += OUTCOME_BYTES * note_outcome(self.outcomes, event, self.recorded_at_us)
        return change

    def _apply_meta(self, event: Event) -> None:
        payload = event.payload()
        if event.type is EventType.CUBE_IMPORTED:
            self.imported = payload
        if event.type is not EventType.CUBE_CHANGED:
            self.owner, self.created_at_us = payload.get("owner", ""), event.recorded_at_us
        if event.type is EventType.CUBE_FORKED and event.content is not None:
            self.fork = ForkPoint(payload["origin"], event.version - 1)
        self.name = payload.get("name", self.name)
        self.policy = payload.get("policy", self.policy)
        self.meta_history.append((event.version, self.name, self.policy))

    def _apply_rollback(self, event: Event) -> RowChange:
        if event.content is None:  # of a cube that was erased
            return RowChange()
        foreseen, self.foreseen = self.foreseen, None
        if foreseen is not None and foreseen.hash == event.hash:
            return self._record(event.version, foreseen.changed)
        return self._record(event.version, rolled_back(self.history, event))

    def _record(self, version: int, changed: Changed) -> RowChange:
        """Take in what an event made of memories: (before, after) pairs, each of another memory."""
        closed: list[Interval] = []
        opened: list[Interval] = []
        history, rows, tally = self.history, self.rows, self.tally
        for before, after in changed:
            history[after.id] = (*history.get(after.id, ()), (version, after))
            self.held_bytes += memory_bytes(after)
            if before is not None:
                tally[before.form, before.state] -= 1
            tally[after.form, after.state] = tally.get((after.form, after.state), 0) + 1
            was, now = before is not None and before.retrievable, after.retrievable
            if was and now and before is not None and same_row(before, after):
                continue
            interval = rows.close(after.id, version) if was else None
            if interval is not None:
                closed.append(interval)
            if now:
                opened.append(rows.open(after, version))
        for _, after in changed:
            if after.expires_at_us is not None:
                rows.note_expiry(after.id)
        if self.repeats is not None:
            self.repeats.follow_later(changed)
        self.held_bytes += self.relations.follow(history, [after.id for _, after in changed])
        return RowChange(tuple(closed), tuple(opened))

    def known_repeats(self) -> Repeats:
        """The memories that absorb repeats. For the writer's thread alone, which is the one that changes the cube."""
        if self.repeats is None:
            self.repeats = Repeats.of(revisions[-1][1] for revisions in self.history.values())
        return self.repeats

    @property
    def table_bytes(self) -> int:
        """What tables that are made when they are needed take in memory, beside `held_bytes`."""
        return 0 if self.repeats is None else HOLDER_BYTES * len(self.repeats)

    # reading

    def current(self, memory_id: str) -> Memory:
        """The memory as it is now, or MemoryNotFound."""
        revisions = self.history.get(memory_id)
        if not revisions:
            raise self._missing(memory_id)
        return self._own(revisions[-1][1])

    def find(self, memory_id: str) -> Memory | None:
        """The memory as it is now, or None when the cube never held it."""
        revisions = self.history.get(memory_id)
        return self._own(revisions[-1][1]) if revisions else None

    def at(self, memory_id: str, as_of: AsOf) -> Memory:
        """The memory as it was at a cube version, or MemoryNotFound when it was not there yet."""
        return self._own(self.held_at(memory_id, as_of))

    def held_at(self, memory_id: str, as_of: AsOf) -> Memory:
        """As `at`, without putting the cube's id right: for what looks at many memories and hands none out."""
        memory = self.held_then(memory_id, self.version if as_of is None else as_of)
        if memory is None:
            raise self._missing(memory_id)
        return memory

    def _missing(self, memory_id: str) -> MemoryNotFound:
        if memory_id in self.erased:
            return gone(self.cube_id, memory_id, self.erased[memory_id])
        return MemoryNotFound(f"no memory {memory_id!r} in cube {self.cube_id!r}", cube=self.cube_id, memory=memory_id)

    def was(self, memory_id: str, as_of: int) -> Memory | None:
        """The memory as it was at a cube version; None when it was not there yet, or was erased since."""
        memory = self.held_then(memory_id, as_of)
        return None if memory is None else self._own(memory)

    def held_then(self, memory_id: str, as_of: int) -> Memory | None:
        """As `was`, without putting the cube's id right."""
        revisions = self.history.get(memory_id, ())
        place = len(revisions) if as_of >= self.version else bisect_right(revisions, as_of, key=lambda r: r[0])
        return revisions[place - 1][1] if place else None

    def memories(self, as_of: AsOf) -> Iterator[Memory]:
        """Every memory as it was at a cube version, in order of first record."""
        return map(self._own, self.held_memories(as_of))

    def held_memories(self, as_of: AsOf) -> Iterator[Memory]:
        """As `memories`, without putting the cube's id right."""
        for memory_id, revisions in self.history.items():
            if as_of is None or revisions[0][0] <= as_of:
                yield self.held_at(memory_id, as_of)

    def revisions(self, memory_id: str) -> tuple[Memory, ...]:
        """The memory after each change of it, oldest first, or MemoryNotFound."""
        self.current(memory_id)
        return tuple(self._own(memory) for _, memory in self.history[memory_id])

    def _own(self, memory: Memory) -> Memory:
        return owned(memory, self.cube_id)

    def counts(self) -> dict[str, dict[str, int]]:
        """{form: {state: number of memories}} as of now."""
        result: dict[str, dict[str, int]] = {}
        for (form, state), number in self.tally.items():
            if number:
                result.setdefault(form.value, {})[state.value] = number
        return result

    def copy(self) -> CubeState:
        """A copy that later events of this one do not reach; memories themselves are shared, being immutable."""
        return replace(
            self,
            history=dict(self.history),
            outcomes=dict(self.outcomes),
            rows=self.rows.copy(),
            recorded_at_us=self.recorded_at_us[:],
            meta_history=list(self.meta_history),
            tally=dict(self.tally),
            origins=self.origins.copy(),
            relations=self.relations.copy(),
            repeats=None,
            foreseen=None,
            erased=dict(self.erased),
            receipts=dict(self.receipts),
            blank_rows=set(self.blank_rows),
        )

    def check_version(self, version: int) -> int:
        """`version` when the cube has reached it, else VersionNotFound."""
        if not 0 <= version <= self.version:
            raise VersionNotFound(
                f"cube {self.cube_id!r} has versions 0 to {self.version}, not {version}",
                cube=self.cube_id,
                version=self.version,
            )
        return version

    def version_of(self, moment: Moment | None) -> int:
        """The cube version that a moment names, the current one for None. Raises VersionNotFound for one that the
        cube has not reached.
        """
        if moment is None:
            return self.version
        if moment.version is not None:
            return self.check_version(moment.version)
        if moment.time_us is None:
            raise InvalidRequest("as_of needs a version or a time")
        return self.version_at(moment.time_us)

    def version_at(self, time_us: int) -> int:
        """The cube's version at a time: the number of events recorded up to and including it."""
        return bisect_right(self.recorded_at_us, time_us)
