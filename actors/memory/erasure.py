"""Erasure: what is left of a memory, what its tombstone does to the fold, and the receipt. Pure.

An erasure begins with an event for each memory, the tombstone, which holds no content of it; from there on the fold
knows the memory by its id alone. Ridding storage of the content follows, and ends with the event that records the
receipt: an erasure without it is unfinished, and is finished by the next opening, or by the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from actors.errors import MemoryErased
from actors.memory.events import Event, EventType
from actors.memory.footprint import memory_bytes
from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State
from actors.memory.policy import merged_policy
from actors.memory.relations import Relations
from actors.memory.repeats import Repeats
from actors.memory.rows import EVERY_ROW, RowChange, Rows

Name = tuple[str, str]
"""(cube id, memory id)."""


class Cause(StrEnum):
    """Who wants an erasure. Retention never touches what is frozen."""

    REQUEST = "request"
    RETENTION = "retention"


class Because(StrEnum):
    """Why a memory was erased."""

    REQUESTED = "requested"
    SAME_TEXT = "same text"
    """It was merged with a requested one as a repeat of it: the text is the same."""
    MERGED = "merged"
    """A requested one had absorbed it as saying the same."""
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Erased:
    """What is left of a memory. `versions` holds (version, record time) of its contents, `rows` the numbers of its
    rows, which stay taken; `root` names the erasure: the memory that was asked for, or the first of several.
    """

    version: int
    at_us: int
    because: Because
    root: str
    versions: tuple[tuple[int, int], ...]
    rows: tuple[int, ...]
    elsewhere: tuple[Name, ...] = ()
    """Of a root, what was erased of other cubes before it."""
    members: tuple[str, ...] = ()
    """Of a whole cube, kept under the cube's own id: the memories that it had."""

    @classmethod
    def from_values(cls, *values: Any) -> Erased:
        """The inverse of `dataclasses.astuple`, from JSON values."""
        version, at_us, because, root, versions, rows, elsewhere, members = values
        pairs, names = tuple((v, at) for v, at in versions), tuple((cube, memory) for cube, memory in elsewhere)
        return cls(version, at_us, Because(because), root, pairs, tuple(rows), names, tuple(members))


@dataclass(frozen=True, slots=True)
class Place:
    """Where content was looked for: how many things of the kind were looked at, and how many lost something.
    `note` says what is not in this system's hands.
    """

    kind: str
    checked: int
    removed: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """`derived` are those that went because they held what was derived from `erased`; in other cubes too."""

    cube_id: str
    erased: tuple[str, ...]
    derived: tuple[Name, ...]
    places: tuple[Place, ...]
    at_us: int

    def to_fields(self) -> dict[str, Any]:
        """As JSON values; `from_fields` is the inverse."""
        return {**asdict(self), "derived": [list(name) for name in self.derived]}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Receipt:
        return cls(
            cube_id=fields["cube_id"],
            erased=tuple(fields["erased"]),
            derived=tuple((cube, memory) for cube, memory in fields["derived"]),
            places=tuple(Place(**place) for place in fields["places"]),
            at_us=fields["at_us"],
        )


@dataclass(frozen=True, slots=True)
class EraseMemories:
    """Erase memories of one cube and what was derived from them there. `elsewhere` names what was erased of other
    cubes first, for the receipt. `origins`, when it is given, are the memories of other cubes because of which the
    ones named here go: each must be derived from one of them.
    """

    memory_ids: tuple[str, ...]
    reason: str = ""
    elsewhere: tuple[Name, ...] = ()
    origins: tuple[Name, ...] = ()
    cause: Cause = Cause.REQUEST


@dataclass(frozen=True, slots=True)
class Emptied:
    """What a journal did to forget content: files looked at, those rewritten, and stray ones removed."""

    files: int
    rewritten: int
    strays: int


# the fold


class Erasable(Protocol):
    """What the fold of a tombstone needs of a cube's state."""

    cube_id: str
    history: dict[str, tuple[tuple[int, Memory], ...]]
    tally: dict[tuple[Form, State], int]
    rows: Rows
    held_bytes: int
    erased: dict[str, Erased]
    receipts: dict[str, Receipt]
    blank_rows: set[int]
    outcomes: dict[str, Any]
    relations: Relations
    repeats: Repeats | None
    meta_history: list[Any]
    name: str
    policy: dict[str, dict[str, Any]]


def fold_tombstone(state: Erasable, event: Event) -> RowChange:
    """Forget a memory and blank its rows."""
    payload = event.payload()
    revisions = state.history.get(event.memory_id, ())
    if revisions:
        state.held_bytes -= state.relations.forget(state.history, event.memory_id)
        if state.repeats is not None:
            state.repeats.forget(revisions[-1][1])
        del state.history[event.memory_id]
        last = revisions[-1][1]
        state.tally[last.form, last.state] -= 1
        state.held_bytes -= sum(memory_bytes(memory) for _, memory in revisions)
    rows = state.rows.erase(event.memory_id)
    state.erased[event.memory_id] = Erased(
        version=event.version,
        at_us=event.recorded_at_us,
        because=Because(payload["because"]),
        root=payload["root"],
        versions=tuple((version, at_us) for version, at_us in payload["versions"]),
        rows=rows,
        elsewhere=tuple((cube, memory) for cube, memory in payload.get("elsewhere", ())),
    )
    return RowChange(erased=rows)


def fold_cube_tombstone(state: Erasable, event: Event) -> RowChange:
    """Forget everything of a cube but that it was there."""
    payload = event.payload()
    state.held_bytes -= sum(memory_bytes(memory) for found in state.history.values() for _, memory in found)
    state.history.clear()
    state.relations, state.repeats = Relations(), None
    state.tally.clear()
    state.outcomes.clear()
    state.meta_history.clear()
    state.name, state.policy, state.rows = "", merged_policy({}, {}), Rows()
    state.erased[state.cube_id] = Erased(
        version=event.version,
        at_us=event.recorded_at_us,
        because=Because.REQUESTED,
        root=state.cube_id,
        versions=(),
        rows=(),
        elsewhere=tuple((cube, memory) for cube, memory in payload["elsewhere"]),
        members=tuple(payload["memories"]),
    )
    return RowChange(erased=EVERY_ROW)


def fold_emptied(state: Erasable, event: Event) -> RowChange:
    """An event whose content is gone, its tombstone being among those that `blank_rows` was told of: all that is left
    of it is the row that it opened, whose number stays taken.
    """
    if event.version in state.blank_rows:
        state.rows.open_blank(event.memory_id, event.version)
    return RowChange()


def fold_receipt(state: Erasable, event: Event) -> RowChange:
    payload = event.payload()
    state.receipts[payload["root"]] = Receipt.from_fields(payload["receipt"])
    return RowChange()


TOMBSTONES: Mapping[EventType, Callable[[Any, Event], RowChange]] = {
    EventType.MEMORY_ERASED: fold_tombstone,
    EventType.CUBE_ERASED: fold_cube_tombstone,
    EventType.ERASURE_COMPLETED: fold_receipt,
}
"""What the events of an erasure do to the fold."""


def blank_rows(events: Iterable[Event]) -> Iterator[int]:
    """The cube versions at which memories that were erased opened rows, from their tombstones."""
    for event in events:
        if event.type is EventType.MEMORY_ERASED:
            yield from event.payload()["rows_at"]


def unfinished(state: Erasable) -> list[str]:
    """The roots of erasures that have no receipt yet."""
    roots = dict.fromkeys(erased.root for erased in state.erased.values())
    return [root for root in roots if root not in state.receipts]


def receipt_of(state: Erasable, root: str, places: Sequence[Place], at_us: int) -> Receipt:
    """The receipt of an erasure whose tombstones were folded in."""
    members = {memory_id: erased for memory_id, erased in state.erased.items() if erased.root == root}
    if root == state.cube_id:
        whole = members[root]
        return Receipt(state.cube_id, whole.members, whole.elsewhere, tuple(places), at_us)
    derived = [(state.cube_id, m) for m, erased in members.items() if erased.because is Because.DERIVED]
    return Receipt(
        cube_id=state.cube_id,
        erased=tuple(m for m, erased in members.items() if erased.because is not Because.DERIVED),
        derived=(*derived, *(members[root].elsewhere if root in members else ())),
        places=tuple(places),
        at_us=at_us,
    )


def gone(cube_id: str, memory_id: str, erased: Erased) -> MemoryErased:
    """The answer to whoever asks for an erased memory: that it was, when, and which versions it had."""
    return MemoryErased(
        f"memory {memory_id} of cube {cube_id!r} was erased",
        cube=cube_id,
        memory=memory_id,
        erased_at=datetime.fromtimestamp(erased.at_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z"),
        versions=[version for version, _ in erased.versions],
    )


def without_receipt(events: Iterable[Event]) -> set[str]:
    """The roots of erasures that began among the events, and did not end there."""
    roots: set[str] = set()
    for event in events:
        if event.type is EventType.MEMORY_ERASED:
            roots.add(event.payload()["root"])
        elif event.type is EventType.CUBE_ERASED:
            roots.add(event.cube_id)
        elif event.type is EventType.ERASURE_COMPLETED:
            roots.discard(event.payload()["root"])
    return roots
