"""When rows are live: the intervals of cube versions, one by one and by the hundred thousand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

OPEN = (1 << 62) - 1
"""`until` of a row that is live now."""

Versions = npt.NDArray[np.int64]


class Interval(NamedTuple):
    """Row `row` is live from cube version `since` to before `until`. `first`: it was never live before."""

    row: int
    since: int
    until: int
    first: bool


@dataclass(frozen=True, slots=True, eq=False)
class IntervalColumns(Sequence[Interval]):
    """Many intervals as columns of the same length, each made into an object when it is asked for. What the arrays hold
    must not change any more.
    """

    row: Versions
    since: Versions
    until: Versions
    first: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, place: int) -> Interval: ...

    @overload
    def __getitem__(self, place: slice) -> list[Interval]: ...

    def __getitem__(self, place: int | slice) -> Interval | list[Interval]:
        if isinstance(place, slice):
            columns = (column[place].tolist() for column in (self.row, self.since, self.until, self.first))
            return [Interval(*values) for values in zip(*columns, strict=True)]
        return Interval(int(self.row[place]), int(self.since[place]), int(self.until[place]), bool(self.first[place]))


def begun_at(intervals: Sequence[Interval], row: int) -> list[int]:
    """The places of those intervals that are the first of a row numbered `row` or higher."""
    if isinstance(intervals, IntervalColumns):
        found: list[int] = np.flatnonzero(intervals.first & (intervals.row >= row)).tolist()
        return found
    return [place for place, interval in enumerate(intervals) if interval.first and interval.row >= row]
