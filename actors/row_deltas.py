"""What committed events did to the rows of their cubes: the news that indexes follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import overload

from actors.memory.cube import CubeState
from actors.memory.events import Event, EventType
from actors.memory.intervals import Interval, begun_at
from actors.memory.rows import EVERY_ROW, RowChange, Rows

NO_POSITION = 0
"""Position of a delta that is fed out of the journal's order, in a replay: it moves no stored position."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A row as the indexes hold it: `text` is live from cube version `since` to before `until`.

    `place` is where its vector goes among those that the cube holds itself; None when it is there already, or an
    ancestor of the cube holds it.
    """

    row: int
    text: str
    since: int
    until: int
    place: int | None = None

    @staticmethod
    def of(rows: Rows, interval: Interval) -> IndexRow:
        row = interval.row
        new = interval.first and row >= rows.inherited
        place = row - rows.inherited if new else None
        return IndexRow(row, rows.memories[row].indexed_text, interval.since, interval.until, place)


@dataclass(frozen=True, slots=True)
class RowDelta:
    """What one event did to the rows of its cube, or a part of it: the last part counts for all, the others carry the
    version before and no position. An event that did nothing to the rows counts by its position.
    """

    position: int
    cube_id: str
    version: int
    opened: IndexRow | None = None
    closed: IndexRow | None = None
    erased: tuple[int, ...] = ()
    """Rows that the indexes are to forget."""
    places: tuple[int, ...] = ()
    """Where their vectors are among those that the cube holds itself. An ancestor's are erased with its own row."""

    @staticmethod
    def of(event: Event, change: RowChange, rows: Rows) -> Sequence[RowDelta]:
        """The deltas of an event that was just applied; `rows` are its cube's rows, the event included.

        A fork begins with every row that it inherits: its words are its own, its vectors are its origin's.
        """
        if event.type is EventType.CUBE_FORKED:
            change = RowChange(opened=rows.known_at(event.version - 1))
        return _parts(event.position, event.cube_id, event.version, change, rows)

    @staticmethod
    def since(state: CubeState, version: int) -> list[RowDelta]:
        """A replay of one cube: every interval that events of `version` and later began or ended, and what they erased.

        It moves no position: after the last cube of a replay, feed `RowDelta.reached`.
        """
        whole = state.erased.get(state.cube_id)
        if whole is not None:
            return [RowDelta(NO_POSITION, state.cube_id, whole.version, erased=EVERY_ROW, places=EVERY_ROW)]
        if state.fork is not None and version <= state.fork.version + 1:
            version = 0
        opened: dict[int, list[Interval]] = defaultdict(list)
        closed: dict[int, list[Interval]] = defaultdict(list)
        for interval in state.rows.intervals():
            if interval.since >= version:
                opened[interval.since].append(interval)
            if version <= interval.until <= state.version:
                closed[interval.until].append(interval)
        erased = {gone.version: gone.rows for gone in state.erased.values() if gone.version >= version}
        return [
            delta
            for at in sorted({*opened, *closed, *erased})
            for delta in _parts(
                NO_POSITION,
                state.cube_id,
                at,
                RowChange(tuple(closed.get(at, ())), tuple(opened.get(at, ())), erased.get(at, ())),
                state.rows,
            )
        ]

    @staticmethod
    def reached(position: int) -> RowDelta:
        """Everything up to a journal position was fed before this."""
        return RowDelta(position, "", 0)


AT_ONCE = 64
"""An event with more deltas than this has them made when a lane comes to them."""


class RowDeltas(Sequence[RowDelta]):
    """The deltas of one event: one a pair of an ended and a begun interval, one at least. Each is made when it is asked
    for, with the text that its row has then: tens of thousands of rows may wait for an index behind a rollback.
    """

    __slots__ = ("_change", "_cube_id", "_position", "_rows", "_version")

    def __init__(self, position: int, cube_id: str, version: int, change: RowChange, rows: Rows) -> None:
        self._position, self._cube_id, self._version = position, cube_id, version
        self._change, self._rows = change, rows

    def __len__(self) -> int:
        return max(1, len(self._change.closed), len(self._change.opened))

    @overload
    def __getitem__(self, number: int) -> RowDelta: ...

    @overload
    def __getitem__(self, number: slice) -> list[RowDelta]: ...

    def __getitem__(self, number: int | slice) -> RowDelta | list[RowDelta]:
        if not isinstance(number, slice):
            return self[number : number + 1][0] if number >= 0 else self[number + len(self)]
        first, end, _ = number.indices(len(self))
        pairs = zip_longest(self._change.closed[first:end], self._change.opened[first:end])
        made = [self._part(closed, opened) for closed, opened in pairs]
        if end == len(self) > first:
            made[-1:] = [self._last(made[-1] if made else None)]
        return made

    def _part(self, closed: Interval | None, opened: Interval | None) -> RowDelta:
        return RowDelta(
            NO_POSITION,
            self._cube_id,
            self._version - 1,
            None if opened is None else IndexRow.of(self._rows, opened),
            None if closed is None else IndexRow.of(self._rows, closed),
        )

    def _last(self, part: RowDelta | None) -> RowDelta:
        """The part that counts for all."""
        erased = self._change.erased
        opened, closed = (None, None) if part is None else (part.opened, part.closed)
        places = _places(erased, self._rows.inherited)
        return RowDelta(self._position, self._cube_id, self._version, opened, closed, erased, places)

    def of_new_rows(self) -> list[RowDelta]:
        """Those alone whose row has no vector yet, and the last."""
        *before, last = (*begun_at(self._change.opened, self._rows.inherited), len(self) - 1)
        return [self[number] for number in (*(number for number in before if number != last), last)]


def of_new_rows(deltas: Sequence[RowDelta]) -> Sequence[RowDelta]:
    """The deltas, without those of a large event that have nothing for who follows vectors."""
    return deltas.of_new_rows() if isinstance(deltas, RowDeltas) else deltas


def marks(deltas: Sequence[RowDelta]) -> Sequence[RowDelta]:
    """Those of the deltas that tell to which versions of which cubes they lead."""
    return (deltas[0], deltas[-1]) if isinstance(deltas, RowDeltas) else deltas


def joined(each: Iterable[Sequence[RowDelta]]) -> list[Sequence[RowDelta]]:
    """The deltas of several events, in order: those that are made already together."""
    found: list[Sequence[RowDelta]] = []
    together: list[RowDelta] = []
    for deltas in each:
        if isinstance(deltas, RowDeltas):
            found += [together, deltas]
            together = []
        else:
            together += deltas
    return [*found, together]


def _parts(position: int, cube_id: str, version: int, change: RowChange, rows: Rows) -> Sequence[RowDelta]:
    deltas = RowDeltas(position, cube_id, version, change, rows)
    return deltas if len(deltas) > AT_ONCE else deltas[:]


def _places(erased: tuple[int, ...], inherited: int) -> tuple[int, ...]:
    return EVERY_ROW if erased == EVERY_ROW else tuple(row - inherited for row in erased if row >= inherited)
