"""Which segments are merged, and which of their rows count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.stores.vectors.manifests import Segment

FAN_IN = 8
"""Segments of one size class that are merged into one of the next."""

_SMALLEST_CLASS_ROWS = 512


def latest(table: pa.Table) -> npt.NDArray[np.int64]:
    """Where the last entry of each (cube, row) is, in order of cube and row."""
    numbered = table.select(["cube", "row"]).append_column("entry", pa.array(np.arange(len(table))))
    last = numbered.group_by(["cube", "row"]).aggregate([("entry", "max")])
    last = last.sort_by([("cube", "ascending"), ("row", "ascending")])
    return np.asarray(last["entry_max"].to_numpy(), dtype=np.int64)


def size_class(segment: Segment) -> int:
    """Segments of one class are about of one size."""
    size, rows = 0, segment.rows
    while rows > _SMALLEST_CLASS_ROWS:
        rows //= FAN_IN
        size += 1
    return size
