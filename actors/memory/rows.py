"""The rows of a cube: what its indexes hold, and in which versions each of them is live."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

OPEN = (1 << 62) - 1
"""`until` of a row that is live now."""


@dataclass(slots=True)
class Rows:
    """The retrievable intervals of a cube's (indexed) texts: row i is a text that is live from `since[i]` until
    before `until[i]` (cube versions). Indexes hold rows; a search at a version masks them.

    A row closes when its memory's text changes or leaves retrieval; a later text or a revival opens another.
    """

    memory_ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    since: array[int] = field(default_factory=lambda: array("q"))
    until: array[int] = field(default_factory=lambda: array("q"))
    open_row: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.memory_ids)

    def open(self, memory_id: str, text: str, version: int) -> int:
        row = len(self.memory_ids)
        self.memory_ids.append(memory_id)
        self.texts.append(text)
        self.since.append(version)
        self.until.append(OPEN)
        self.open_row[memory_id] = row
        return row

    def close(self, memory_id: str, version: int) -> int | None:
        row = self.open_row.pop(memory_id, None)
        if row is not None:
            self.until[row] = version
        return row

    def copy(self) -> Rows:
        return Rows(self.memory_ids[:], self.texts[:], self.since[:], self.until[:], dict(self.open_row))

    def live(self, version: int) -> npt.NDArray[np.bool_]:
        """Mask of shape (rows,): the rows that are live at a cube version. A copy; safe to keep."""
        since = np.array(self.since, dtype=np.int64)
        until = np.array(self.until, dtype=np.int64)
        return (since <= version) & (version < until)


@dataclass(frozen=True, slots=True)
class RowChange:
    """What an event did to the rows: the row it closed and the one it opened, if any."""

    closed: int | None = None
    opened: int | None = None
