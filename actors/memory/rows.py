"""The rows of a cube: what its indexes hold, and in which versions each of them is live."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.memory.intervals import OPEN, Interval, IntervalColumns
from actors.memory.item import Form, Kind, Memory
from actors.memory.lifecycle import State
from actors.memory.row_texts import RowTexts

Revisions = Mapping[str, Sequence[tuple[int, Memory]]]
"""Per memory, (cube version, memory) pairs, oldest first."""


def _put(numbers: array[int], places: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> None:
    np.frombuffer(numbers, dtype=np.int64)[places] = values


def _column(numbers: array[int]) -> npt.NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def _numbers() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Rows:
    """The retrievable intervals of a cube's (indexed) texts: row i is a text that is live from `since[i]` until
    before `until[i]` (cube versions), and was in the intervals of `past` before. Indexes hold rows; a search at a
    version masks them.

    A row closes when its memory's text changes or leaves retrieval. A text that comes back opens its row again, so
    that it is not embedded again; a new one opens another. `memories[i]` is the memory as it stood when row i first
    opened, and rows are numbered in that order.

    In a fork the first `inherited` rows are its origin's. `lineage` says where their vectors are: (cube, end) pairs,
    each the cube that holds those of the rows from the end before to its own.
    """

    memory_ids: list[str] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    since: array[int] = field(default_factory=_numbers)
    until: array[int] = field(default_factory=_numbers)
    open_row: dict[str, int] = field(default_factory=dict)
    past_row: array[int] = field(default_factory=_numbers)
    past_since: array[int] = field(default_factory=_numbers)
    past_until: array[int] = field(default_factory=_numbers)
    closed_rows: dict[str, tuple[int, ...]] = field(default_factory=dict)
    lineage: tuple[tuple[str, int], ...] = ()
    expiring: dict[str, list[int]] = field(default_factory=dict)
    """The rows of memories that have, or had, a time at which they expire."""

    def __len__(self) -> int:
        return len(self.memory_ids)

    @property
    def texts(self) -> RowTexts:
        """The rows' indexed texts; it grows with the rows."""
        return RowTexts(self.memories)

    @property
    def inherited(self) -> int:
        """Number of rows whose vectors are an ancestor's; the cube's own begin behind them."""
        return self.lineage[-1][1] if self.lineage else 0

    def open(self, memory: Memory, version: int) -> Interval:
        """Make a memory's text live: the row that it had before, if it had one, else a new one."""
        row = self._closed_row(memory)
        if row is None:
            row, first = len(self.memory_ids), True
            self.memories.append(memory)
            self.memory_ids.append(memory.id)
            self.since.append(version)
            self.until.append(OPEN)
            if memory.id in self.expiring:
                self.expiring[memory.id].append(row)
        else:
            first = False
            self.past_row.append(row)
            self.past_since.append(self.since[row])
            self.past_until.append(self.until[row])
            self.since[row], self.until[row] = version, OPEN
        self.open_row[memory.id] = row
        return Interval(row, version, OPEN, first)

    def _closed_row(self, memory: Memory) -> int | None:
        """The memory's row that holds the same text, no longer among the closed ones; None when there is none."""
        closed = self.closed_rows.get(memory.id, ())
        for place, row in enumerate(closed):
            if same_row(self.memories[row], memory):
                left = (*closed[:place], *closed[place + 1 :])
                if left:
                    self.closed_rows[memory.id] = left
                else:
                    del self.closed_rows[memory.id]
                return row
        return None

    def note_expiry(self, memory_id: str) -> None:
        """The memory has a time at which it expires, from now on or for now."""
        if memory_id not in self.expiring:
            self.expiring[memory_id] = [row for row, held in enumerate(self.memory_ids) if held == memory_id]

    def close(self, memory_id: str, version: int) -> Interval | None:
        row = self.open_row.pop(memory_id, None)
        if row is None:
            return None
        self.until[row] = version
        self.closed_rows[memory_id] = (*self.closed_rows.get(memory_id, ()), row)
        return Interval(row, self.since[row], version, False)

    def erase(self, memory_id: str) -> tuple[int, ...]:
        """Blank a memory's rows: live in no version, without a text. Their numbers stay taken."""
        self.open_row.pop(memory_id, None)
        self.closed_rows.pop(memory_id, None)
        self.expiring.pop(memory_id, None)
        rows = tuple(row for row, held in enumerate(self.memory_ids) if held == memory_id)
        first_since = self.first_since()
        for row in rows:
            self.since[row] = self.until[row] = first_since[row]
            self.memories[row] = blank(memory_id)
        if not set(rows).isdisjoint(self.past_row):
            self._drop_past(frozenset(rows))
        return rows

    def _drop_past(self, rows: frozenset[int]) -> None:
        kept = [place for place, row in enumerate(self.past_row) if row not in rows]
        self.past_row = array("q", [self.past_row[place] for place in kept])
        self.past_since = array("q", [self.past_since[place] for place in kept])
        self.past_until = array("q", [self.past_until[place] for place in kept])

    def open_blank(self, memory_id: str, version: int) -> None:
        """Take the number of a row whose memory was erased."""
        self.memories.append(blank(memory_id))
        self.memory_ids.append(memory_id)
        self.since.append(version)
        self.until.append(version)

    def copy(self) -> Rows:
        return Rows(
            self.memory_ids[:],
            self.memories[:],
            self.since[:],
            self.until[:],
            dict(self.open_row),
            self.past_row[:],
            self.past_since[:],
            self.past_until[:],
            dict(self.closed_rows),
            self.lineage,
            {memory_id: list(rows) for memory_id, rows in self.expiring.items()},
        )

    def live(self, version: int) -> npt.NDArray[np.bool_]:
        """Mask of shape (rows,): the rows that are live at a cube version. A copy; safe to keep."""
        since = np.array(self.since, dtype=np.int64)
        until = np.array(self.until, dtype=np.int64)
        mask = (since <= version) & (version < until)
        if self.past_row:
            past_since = np.array(self.past_since, dtype=np.int64)
            past_until = np.array(self.past_until, dtype=np.int64)
            held = (past_since <= version) & (version < past_until)
            mask[np.array(self.past_row, dtype=np.int64)[held]] = True
        return mask

    def intervals(self) -> Iterator[Interval]:
        """Every interval of every row; those of one row in order."""
        seen: set[int] = set()
        for row, since, until in zip(self.past_row, self.past_since, self.past_until, strict=True):
            yield Interval(row, since, until, row not in seen)
            seen.add(row)
        for row, (since, until) in enumerate(zip(self.since, self.until, strict=True)):
            if since < until:  # else it is blank
                yield Interval(row, since, until, row not in seen)

    def known_at(self, version: int) -> IntervalColumns:
        """Every interval that had begun by a version, as it was known then; those of one row in order."""
        row = np.concatenate([_column(self.past_row), np.arange(len(self), dtype=np.int64)])
        since = np.concatenate([_column(self.past_since), _column(self.since)])
        until = np.concatenate([_column(self.past_until), _column(self.until)])
        begun = (since <= version) & (since < until)  # else it is blank
        row, since, until = row[begun], since[begun], until[begun]
        first = np.zeros(len(row), dtype=np.bool_)
        first[np.unique(row, return_index=True)[1]] = True
        return IntervalColumns(row, since, np.where(until <= version, until, OPEN), first)

    def cut(self, version: int, cube_id: str) -> Rows:
        """The rows as they were at a version of the cube, `cube_id`, as a fork of it has them."""
        count = int(np.searchsorted(_column(self.first_since()), version, side="right"))
        known = self.known_at(version)
        last = np.zeros(len(known), dtype=np.bool_)
        last[len(known) - 1 - np.unique(known.row[::-1], return_index=True)[1]] = True
        rows = Rows(self.memory_ids[:count], self.memories[:count], self.since[:count], self.until[:count])
        _put(rows.since, known.row[last], known.since[last])
        _put(rows.until, known.row[last], known.until[last])
        rows.past_row, rows.past_since, rows.past_until = (
            array("q", column[~last].tobytes()) for column in (known.row, known.since, known.until)
        )
        rows._note_open_and_closed()
        rows.lineage = self._lineage_up_to(count, cube_id)
        return rows

    def _lineage_up_to(self, count: int, cube_id: str) -> tuple[tuple[str, int], ...]:
        if count > self.inherited:
            return (*self.lineage, (cube_id, count))
        if not count:
            return ()
        holder = next(held_in for held_in, end in self.lineage if end >= count)
        return (*(part for part in self.lineage if part[1] < count), (holder, count))

    def first_since(self) -> array[int]:
        first = self.since[:]
        for place in range(len(self.past_row) - 1, -1, -1):
            first[self.past_row[place]] = self.past_since[place]
        return first

    def _note_open_and_closed(self) -> None:
        for row, (memory_id, until) in enumerate(zip(self.memory_ids, self.until, strict=True)):
            if until == OPEN:
                self.open_row[memory_id] = row
            elif until > self.since[row]:
                self.closed_rows[memory_id] = (*self.closed_rows.get(memory_id, ()), row)

    # snapshots

    def to_snapshot(self) -> dict[str, Any]:
        """The rows as JSON values; their texts follow from the history."""
        return {
            "memory_ids": self.memory_ids,
            "since": self.since.tolist(),
            "until": self.until.tolist(),
            "past": [self.past_row.tolist(), self.past_since.tolist(), self.past_until.tolist()],
            "lineage": [list(part) for part in self.lineage],
        }

    @classmethod
    def from_snapshot(cls, stored: Mapping[str, Any], history: Revisions) -> Rows:
        """What `to_snapshot` gave. A row first opened with an event of its memory: that revision holds its text."""
        past_row, past_since, past_until = (array("q", values) for values in stored.get("past", ([], [], [])))
        rows = cls(
            since=array("q", stored["since"]),
            until=array("q", stored["until"]),
            past_row=past_row,
            past_since=past_since,
            past_until=past_until,
            lineage=tuple((held_in, end) for held_in, end in stored.get("lineage", ())),
        )
        for memory_id, since in zip(stored["memory_ids"], rows.first_since(), strict=True):
            revisions = history.get(memory_id)
            if revisions is None:  # it was erased
                memory = blank(memory_id)
            else:
                memory = revisions[bisect_right(revisions, since, key=lambda revision: revision[0]) - 1][1]
            rows.memories.append(memory)
            rows.memory_ids.append(memory.id)
        rows._note_open_and_closed()
        return rows


EVERY_ROW: tuple[int, ...] = (-1,)
"""In the place of row numbers: all that an index holds of a cube."""


def blank(memory_id: str) -> Memory:
    """What stands in the rows of a memory that was erased."""
    return Memory(memory_id, "", 0, Form.PLAINTEXT, Kind.NOTE.value, State.ARCHIVED, "", 0)


def row_key(memory: Memory) -> tuple[str, tuple[str, ...] | None]:
    """What makes a row of a memory: what indexes hold of it, and what it was looked through for."""
    screening = memory.screening
    return memory.indexed_text, None if screening is None else screening.kinds


def same_row(one: Memory, other: Memory) -> bool:
    if one.text is other.text and one.speaker is other.speaker and one.screening is other.screening:
        return True  # two moments of a memory between which its text was not touched: no need to make it twice
    return row_key(one) == row_key(other)


@dataclass(frozen=True, slots=True)
class RowChange:
    """What an event did to the rows: the intervals that it ended, those that it began, and the rows that it blanked."""

    closed: Sequence[Interval] = ()
    opened: Sequence[Interval] = ()
    erased: tuple[int, ...] = ()
