"""The lanes of a projector: each brings one index up to the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.memory.analysis import terms_of
from actors.memory.ports import Embedder, LexicalDocument, LexicalIndex, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL
from actors.memory.rows import EVERY_ROW
from actors.row_deltas import NO_POSITION, RowDelta, of_new_rows


@dataclass(frozen=True, slots=True)
class ProjectorPace:
    """How a projector groups its work.

    `embed_batch` texts go into one call of the embedder. Words are put once the first has waited `lexical_linger_s`, or
    somebody waits for them: a commit of their index costs as much as a hundred of them. Vectors are flushed when the
    lane has nothing else to do, or after `flush_rows` rows; until then a kill makes the next start embed them again.
    Pauses after failures double from `first_pause_s` to `longest_pause_s`. Up to `worth_waiting` rows of a replay are
    waited for by searches; a longer one goes on behind them.
    """

    embed_batch: int = 128
    lexical_batch: int = 2000
    lexical_linger_s: float = 1.0
    flush_rows: int = 512
    idle_s: float = 1.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 10.0
    worth_waiting: int = 64


class Lane(Protocol):
    """What a lane does with the deltas at the head of its queue."""

    name: str
    batch: int
    linger_s: float
    """How long work may gather, from its first piece on."""
    note: str
    """What the index said of the last rows that it forgot."""

    def wanted(self, deltas: Sequence[RowDelta]) -> Sequence[RowDelta]:
        """Those of an event's deltas that the lane has to see, the last of them always."""
        ...

    def project(self, deltas: Sequence[RowDelta], position: int) -> None:
        """Make the rows searchable before it returns; repeatable, when it raised half way."""
        ...

    def settle(self) -> None:
        """The queue is empty: make everything durable."""
        ...


def erased_rows(deltas: Iterable[RowDelta]) -> dict[str, list[int] | None]:
    """Cube -> the rows that a batch says are to be forgotten, None for all. No later event opens them again."""
    return _gathered((delta.cube_id, delta.erased) for delta in deltas)


def erased_places(deltas: Iterable[RowDelta]) -> dict[str, list[int] | None]:
    """As `erased_rows`, of the vectors that a cube holds itself: where they are among these."""
    return _gathered((delta.cube_id, delta.places) for delta in deltas)


def _gathered(said: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, list[int] | None]:
    found: dict[str, list[int] | None] = {}
    for cube_id, rows in said:
        known = found.get(cube_id, [])
        if rows == EVERY_ROW or (cube_id in found and known is None):
            found[cube_id] = None
        elif rows and known is not None:
            found[cube_id] = [*known, *rows]
    return found


def still_wanted(cube_id: str, row: int, erased: Mapping[str, Sequence[int] | None]) -> bool:
    """Whether a row of a batch is none of those that the same batch erases."""
    if cube_id not in erased:
        return True
    rows = erased[cube_id]
    return rows is not None and row not in rows


class DenseLane:
    """Embeds texts and puts their vectors; a text that comes back has its vector still."""

    name = DENSE
    linger_s = 0.0

    def __init__(self, vectors: VectorIndex, embedder: Embedder, pace: ProjectorPace) -> None:
        self.batch = pace.embed_batch
        self._vectors, self._embedder, self._pace = vectors, embedder, pace
        self._unflushed = 0
        self._position = NO_POSITION
        self.note = ""

    def wanted(self, deltas: Sequence[RowDelta]) -> Sequence[RowDelta]:
        return of_new_rows(deltas)

    def project(self, deltas: Sequence[RowDelta], position: int) -> None:
        erased = erased_rows(deltas)
        forgotten = erased_places(deltas)
        if forgotten:  # first: it must not wait for an embedder that is down
            self.note = self._vectors.erase_rows(forgotten)
        new = [
            (delta.cube_id, delta.opened.text, delta.opened.place)
            for delta in deltas
            if delta.opened is not None
            and delta.opened.place is not None
            and still_wanted(delta.cube_id, delta.opened.row, erased)
        ]
        if new:
            embedded = self._embedder.embed([text for _, text, _ in new])
            chosen: dict[str, list[int]] = {}
            for number, (cube_id, _, _) in enumerate(new):
                chosen.setdefault(cube_id, []).append(number)
            for cube_id, numbers in chosen.items():
                self._vectors.put(cube_id, [new[number][2] for number in numbers], embedded[numbers])
        self._unflushed += len(new)
        self._position = max(self._position, position, self._vectors.position)
        if self._unflushed >= self._pace.flush_rows:
            self.settle()

    def settle(self) -> None:
        self._vectors.flush(self._position)
        self._unflushed = 0


class LexicalLane:
    """Analyses texts and puts their terms; an interval that ended is put again with its end."""

    name = LEXICAL

    def __init__(self, lexical: LexicalIndex, pace: ProjectorPace) -> None:
        self.batch, self.linger_s = pace.lexical_batch, pace.lexical_linger_s
        self._lexical = lexical
        self._position = NO_POSITION
        self.note = ""

    def wanted(self, deltas: Sequence[RowDelta]) -> Sequence[RowDelta]:
        return deltas

    def project(self, deltas: Sequence[RowDelta], position: int) -> None:
        reached = max(self._position, position, self._lexical.position)
        erased = erased_rows(deltas)
        documents = [
            LexicalDocument(delta.cube_id, row.row, terms_of(row.text), row.since, row.until)
            for delta in deltas
            for row in (delta.closed, delta.opened)
            if row is not None and still_wanted(delta.cube_id, row.row, erased)
        ]
        if erased:
            self._lexical.erase_rows(erased)
        if documents:
            self._lexical.put(documents)
            self._lexical.flush(reached)  # what is not flushed is not found; a batch is all that waited
        self._position = reached  # only now: a failed batch must not be claimed by the next flush

    def settle(self) -> None:
        self._lexical.flush(self._position)
