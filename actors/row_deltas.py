"""What committed events did to the rows of their cubes: the news that indexes follow."""

from __future__ import annotations

from dataclasses import dataclass

from actors.memory.cube import CubeState
from actors.memory.events import Event
from actors.memory.rows import EVERY_ROW, RowChange, Rows

NO_POSITION = 0
"""Position of a delta that is fed out of the journal's order, in a replay: it moves no stored position."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """A row as the indexes hold it: `text` is live from cube version `since` to before `until`."""

    row: int
    text: str
    since: int
    until: int

    @staticmethod
    def of(rows: Rows, row: int) -> IndexRow:
        return IndexRow(row, rows.texts[row], rows.since[row], rows.until[row])


@dataclass(frozen=True, slots=True)
class RowDelta:
    """What one event did to the rows of its cube. An event that did nothing to them counts by its position."""

    position: int
    cube_id: str
    version: int
    opened: IndexRow | None = None
    closed: IndexRow | None = None
    erased: tuple[int, ...] = ()
    """Rows that the indexes are to forget."""

    @staticmethod
    def of(event: Event, change: RowChange, rows: Rows) -> RowDelta:
        """The delta of an event that was just applied; `rows` are its cube's rows, the event included."""
        return RowDelta.of_rows(event.position, event.cube_id, event.version, change, rows)

    @staticmethod
    def of_rows(position: int, cube_id: str, version: int, change: RowChange, rows: Rows) -> RowDelta:
        """The delta of a change at a cube version."""
        opened = None if change.opened is None else IndexRow.of(rows, change.opened)
        closed = None if change.closed is None else IndexRow.of(rows, change.closed)
        return RowDelta(position, cube_id, version, opened, closed, change.erased)

    @staticmethod
    def since(state: CubeState, version: int) -> list[RowDelta]:
        """A replay of one cube: every row that events of `version` and later opened, closed or erased.

        It moves no position: after the last cube of a replay, feed `RowDelta.reached`.
        """
        whole = state.erased.get(state.cube_id)
        if whole is not None:
            return [RowDelta(NO_POSITION, state.cube_id, whole.version, erased=EVERY_ROW)]
        rows = state.rows
        kept = [row for row in range(len(rows)) if rows.since[row] < rows.until[row]]
        opened = {rows.since[row]: row for row in kept if rows.since[row] >= version}
        closed = {rows.until[row]: row for row in kept if version <= rows.until[row] <= state.version}
        erased = {gone.version: gone.rows for gone in state.erased.values() if gone.version >= version}
        return [
            RowDelta.of_rows(
                NO_POSITION, state.cube_id, at, RowChange(closed.get(at), opened.get(at), erased.get(at, ())), rows
            )
            for at in sorted({*opened, *closed, *erased})
        ]

    @staticmethod
    def reached(position: int) -> RowDelta:
        """Everything up to a journal position was fed before this."""
        return RowDelta(position, "", 0)
