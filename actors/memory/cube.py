"""A cube's state: the fold of its events, readable at any of its versions."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from actors.errors import InvalidRequest, MemoryNotFound, VersionNotFound
from actors.memory.events import GENESIS, Event, EventType
from actors.memory.footprint import CUBE_BYTES, EVENT_BYTES, OUTCOME_BYTES, memory_bytes
from actors.memory.item import Form, Memory, evolve, from_fields, to_fields
from actors.memory.lifecycle import State
from actors.memory.policy import DEFAULTS, Policy, merged_policy
from actors.memory.requests import Moment
from actors.memory.rows import OPEN, RowChange, Rows

AsOf = int | None
"""A cube version, or None for now. Times are resolved to versions by `CubeState.version_at`."""


OUTCOME_LIFE_US = 24 * 3600 * 1_000_000
"""How long an idempotency key is remembered: a repeat that comes later is a new command."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command with an idempotency key did: enough to answer a repeat of it."""

    request_digest: str
    version: int
    memory_ids: tuple[str, ...]


@dataclass(slots=True)
class CubeState:
    """The fold of a cube's events. Not thread-safe: its owner guards it.

    `history[memory_id]` holds (cube version, memory) pairs, oldest first.
    """

    cube_id: str
    name: str = ""
    owner: str = ""
    policy: Policy = field(default_factory=lambda: merged_policy(DEFAULTS, {}))
    version: int = 0
    head: bytes = GENESIS
    created_at_us: int = 0
    history: dict[str, list[tuple[int, Memory]]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    recorded_at_us: array[int] = field(default_factory=lambda: array("q"))
    """Record time of each event, in order of version: never decreasing."""
    meta_history: list[tuple[int, str, Policy]] = field(default_factory=list)
    tally: dict[tuple[Form, State], int] = field(default_factory=dict)
    """Number of memories by form and state, as of now."""
    held_bytes: int = CUBE_BYTES
    """What the state takes in memory, estimated."""
    imported: dict[str, Any] = field(default_factory=dict)
    """What its first event says of the archive that it was imported from; empty when it was not."""

    def apply(self, event: Event) -> RowChange:
        """Fold the cube's next event in. Events must come in order of version, each once."""
        if event.version != self.version + 1:
            raise ValueError(f"cube {self.cube_id} is at version {self.version}, got event {event.version}")
        self.version, self.head = event.version, event.hash
        self.recorded_at_us.append(event.recorded_at_us)
        self.held_bytes += EVENT_BYTES
        change = RowChange()
        if event.type in (EventType.CUBE_CREATED, EventType.CUBE_CHANGED, EventType.CUBE_IMPORTED):
            self._apply_meta(event)
        elif event.memory_id:
            change = self._apply_memory(event)
        if event.idempotency:
            self._note_outcome(event)
        return change

    def _apply_meta(self, event: Event) -> None:
        payload = event.payload()
        if event.type is EventType.CUBE_IMPORTED:
            self.imported = payload
        if event.type is not EventType.CUBE_CHANGED:
            self.owner, self.created_at_us = payload.get("owner", ""), event.recorded_at_us
        self.name = payload.get("name", self.name)
        self.policy = payload.get("policy", self.policy)
        self.meta_history.append((event.version, self.name, self.policy))

    def _apply_memory(self, event: Event) -> RowChange:
        revisions = self.history.setdefault(event.memory_id, [])
        before = revisions[-1][1] if revisions else None
        after = evolve(before, event)
        revisions.append((event.version, after))
        self.held_bytes += memory_bytes(after)
        if before is not None:
            self.tally[before.form, before.state] -= 1
        self.tally[after.form, after.state] = self.tally.get((after.form, after.state), 0) + 1
        was, now = before is not None and before.retrievable, after.retrievable
        if was and now and before is not None and before.indexed_text == after.indexed_text:
            return RowChange()
        closed = self.rows.close(after.id, event.version) if was else None
        opened = self.rows.open(after, event.version) if now else None
        return RowChange(closed, opened)

    def _note_outcome(self, event: Event) -> None:
        # All events of one command carry "key:request"; they are committed together or not at all.
        key, _, request = event.idempotency.partition(":")
        known = self.outcomes.get(key)
        ids = known.memory_ids if known else ()
        if event.memory_id and event.memory_id not in ids:
            ids = (*ids, event.memory_id)
        self.outcomes[key] = Outcome(request, event.version, ids)
        self.held_bytes += 0 if known else OUTCOME_BYTES
        while True:  # the oldest stand first
            oldest = next(iter(self.outcomes))
            if self.recorded_at_us[self.outcomes[oldest].version - 1] >= event.recorded_at_us - OUTCOME_LIFE_US:
                return
            del self.outcomes[oldest]
            self.held_bytes -= OUTCOME_BYTES

    # reading

    def current(self, memory_id: str) -> Memory:
        """The memory as it is now, or MemoryNotFound."""
        revisions = self.history.get(memory_id)
        if not revisions:
            raise _missing(self.cube_id, memory_id)
        return revisions[-1][1]

    def find(self, memory_id: str) -> Memory | None:
        """The memory as it is now, or None when the cube never held it."""
        revisions = self.history.get(memory_id)
        return revisions[-1][1] if revisions else None

    def at(self, memory_id: str, as_of: AsOf) -> Memory:
        """The memory as it was at a cube version, or MemoryNotFound when it was not there yet."""
        if as_of is None or as_of >= self.version:
            return self.current(memory_id)
        revisions = self.history.get(memory_id, [])
        place = bisect_right(revisions, as_of, key=lambda r: r[0])
        if place == 0:
            raise _missing(self.cube_id, memory_id)
        return revisions[place - 1][1]

    def memories(self, as_of: AsOf) -> Iterator[Memory]:
        """Every memory as it was at a cube version, in order of first record."""
        for memory_id, revisions in self.history.items():
            if as_of is None:
                yield revisions[-1][1]
            elif revisions[0][0] <= as_of:
                yield self.at(memory_id, as_of)

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
            history={mid: list(revisions) for mid, revisions in self.history.items()},
            outcomes=dict(self.outcomes),
            rows=self.rows.copy(),
            recorded_at_us=self.recorded_at_us[:],
            meta_history=list(self.meta_history),
            tally=dict(self.tally),
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

    # snapshots

    def to_snapshot(self) -> dict[str, Any]:
        """The whole state as JSON values; `from_snapshot` is the inverse."""
        return {
            "format": 2,
            "cube_id": self.cube_id,
            "name": self.name,
            "owner": self.owner,
            "policy": self.policy,
            "version": self.version,
            "head": self.head.hex(),
            "created_at_us": self.created_at_us,
            "history": [
                [mid, [[at, m.version, m.recorded_at_us, to_fields(m)] for at, m in revisions]]
                for mid, revisions in self.history.items()
            ],
            "outcomes": [[k, o.request_digest, o.version, list(o.memory_ids)] for k, o in self.outcomes.items()],
            "recorded_at_us": self.recorded_at_us.tolist(),
            "imported": self.imported,
            "meta_history": [list(m) for m in self.meta_history],
            "rows": {
                "memory_ids": self.rows.memory_ids,
                "since": self.rows.since.tolist(),
                "until": self.rows.until.tolist(),
            },
        }

    @classmethod
    def from_snapshot(cls, data: dict[str, Any]) -> CubeState:
        cube_id = data["cube_id"]
        history = {
            mid: [
                (at, from_fields(fields, id=mid, cube_id=cube_id, version=version, recorded_at_us=recorded))
                for at, version, recorded, fields in revisions
            ]
            for mid, revisions in data["history"]
        }
        state = cls(
            cube_id=cube_id,
            name=data["name"],
            owner=data["owner"],
            policy=data["policy"],
            version=data["version"],
            head=bytes.fromhex(data["head"]),
            created_at_us=data["created_at_us"],
            history=history,
            outcomes={k: Outcome(request, version, tuple(ids)) for k, request, version, ids in data["outcomes"]},
            recorded_at_us=array("q", data["recorded_at_us"]),
            meta_history=[(at, name, policy) for at, name, policy in data["meta_history"]],
            rows=_rows(data["rows"], history),
            imported=data.get("imported", {}),
        )
        state.held_bytes += EVENT_BYTES * state.version + OUTCOME_BYTES * len(state.outcomes)
        for revisions in history.values():
            memory = revisions[-1][1]
            state.tally[memory.form, memory.state] = state.tally.get((memory.form, memory.state), 0) + 1
            state.held_bytes += sum(memory_bytes(revision) for _, revision in revisions)
        return state


def _rows(stored: dict[str, Any], history: dict[str, list[tuple[int, Memory]]]) -> Rows:
    """The rows of a snapshot. Their texts follow from the history: a row opens with an event of its memory."""
    rows = Rows(since=array("q", stored["since"]), until=array("q", stored["until"]))
    for row, (memory_id, since) in enumerate(zip(stored["memory_ids"], rows.since, strict=True)):
        revisions = history[memory_id]
        memory = revisions[bisect_right(revisions, since, key=lambda revision: revision[0]) - 1][1]
        rows.memories.append(memory)
        rows.memory_ids.append(memory.id)
        if rows.until[row] == OPEN:
            rows.open_row[memory.id] = row
    return rows


def _missing(cube_id: str, memory_id: str) -> MemoryNotFound:
    return MemoryNotFound(f"no memory {memory_id!r} in cube {cube_id!r}", cube=cube_id, memory=memory_id)
