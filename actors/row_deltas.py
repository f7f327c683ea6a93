"""What committed events did to the rows of their cubes: the news that indexes follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from actors.memory.cube import CubeState
from actors.memory.events import Event, EventType
from actors.memory.rows import EVERY_ROW, OPEN, Interval, RowChange, Rows

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
    def of(event: Event, change: RowChange, rows: Rows) -> list[RowDelta]:
        """The deltas of an event that was just applied; `rows` are its cube's rows, the event included.

        A fork begins with every row that it inherits: its words are its own, its vectors are its origin's.
        """
        if event.type is EventType.CUBE_FORKED:
            intervals = [interval for interval in rows.intervals() if interval.since < event.version]
            change = RowChange(opened=tuple(_as_of(interval, event.version - 1) for interval in intervals))
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


def _parts(position: int, cube_id: str, version: int, change: RowChange, rows: Rows) -> list[RowDelta]:
    """One delta a pair of an ended and a begun interval; one at least."""
    pairs: Sequence[tuple[Interval | None, Interval | None]]
    pairs = list(zip_longest(change.closed, change.opened)) or [(None, None)]
    deltas = []
    for number, (closed, opened) in enumerate(pairs, start=1):
        at = (position, version) if number == len(pairs) else (NO_POSITION, version - 1)
        deltas.append(
            RowDelta(
                at[0],
                cube_id,
                at[1],
                None if opened is None else IndexRow.of(rows, opened),
                None if closed is None else IndexRow.of(rows, closed),
                change.erased if number == len(pairs) else (),
                _places(change.erased, rows.inherited) if number == len(pairs) else (),
            )
        )
    return deltas


def _places(erased: tuple[int, ...], inherited: int) -> tuple[int, ...]:
    return EVERY_ROW if erased == EVERY_ROW else tuple(row - inherited for row in erased if row >= inherited)


def _as_of(interval: Interval, version: int) -> Interval:
    """The interval as it was known at a version."""
    until = interval.until if interval.until <= version else OPEN
    return Interval(interval.row, interval.since, until, interval.first)
