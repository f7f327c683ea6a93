"""The rows of a cube: what its indexes hold, and in which versions each of them is live."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import numpy.typing as npt

from actors.memory.item import Form, Kind, Memory
from actors.memory.lifecycle import State

OPEN = (1 << 62) - 1
"""`until` of a row that is live now."""


class RowTexts(Sequence[str]):
    """The indexed texts of rows, made when they are asked for: kept, they would hold every text a second time."""

    __slots__ = ("_memories",)

    def __init__(self, memories: list[Memory]) -> None:
        self._memories = memories

    def __len__(self) -> int:
        return len(self._memories)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [memory.indexed_text for memory in self._memories[row]]
        return self._memories[row].indexed_text


@dataclass(slots=True)
class Rows:
    """The retrievable intervals of a cube's (indexed) texts: row i is a text that is live from `since[i]` until
    before `until[i]` (cube versions). Indexes hold rows; a search at a version masks them.

    A row closes when its memory's text changes or leaves retrieval; a later text or a revival opens another.
    `memories[i]` is the memory as it stood when row i opened.
    """

    memory_ids: list[str] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    since: array[int] = field(default_factory=lambda: array("q"))
    until: array[int] = field(default_factory=lambda: array("q"))
    open_row: dict[str, int] = field(default_factory=dict)
    expiring: dict[str, list[int]] = field(default_factory=dict)
    """The rows of memories that have, or had, a time at which they expire."""

    def __len__(self) -> int:
        return len(self.memory_ids)

    @property
    def texts(self) -> RowTexts:
        """The rows' indexed texts; it grows with the rows."""
        return RowTexts(self.memories)

    def open(self, memory: Memory, version: int) -> int:
        row = len(self.memory_ids)
        self.memories.append(memory)
        self.memory_ids.append(memory.id)
        self.since.append(version)
        self.until.append(OPEN)
        self.open_row[memory.id] = row
        if memory.id in self.expiring:
            self.expiring[memory.id].append(row)
        return row

    def note_expiry(self, memory_id: str) -> None:
        """The memory has a time at which it expires, from now on or for now."""
        if memory_id not in self.expiring:
            self.expiring[memory_id] = [row for row, held in enumerate(self.memory_ids) if held == memory_id]

    def close(self, memory_id: str, version: int) -> int | None:
        row = self.open_row.pop(memory_id, None)
        if row is not None:
            self.until[row] = version
        return row

    def erase(self, memory_id: str) -> tuple[int, ...]:
        """Blank a memory's rows: live in no version, without a text. Their numbers stay taken."""
        self.open_row.pop(memory_id, None)
        self.expiring.pop(memory_id, None)
        rows = tuple(row for row, held in enumerate(self.memory_ids) if held == memory_id)
        for row in rows:
            self.until[row] = self.since[row]
            self.memories[row] = blank(memory_id)
        return rows

    def open_blank(self, memory_id: str, version: int) -> None:
        """Take the number of a row whose memory was erased."""
        self.memories.append(blank(memory_id))
        self.memory_ids.append(memory_id)
        self.since.append(version)
        self.until.append(version)

    def copy(self) -> Rows:
        expiring = {memory_id: list(rows) for memory_id, rows in self.expiring.items()}
        return Rows(self.memory_ids[:], self.memories[:], self.since[:], self.until[:], dict(self.open_row), expiring)

    def live(self, version: int) -> npt.NDArray[np.bool_]:
        """Mask of shape (rows,): the rows that are live at a cube version. A copy; safe to keep."""
        since = np.array(self.since, dtype=np.int64)
        until = np.array(self.until, dtype=np.int64)
        return (since <= version) & (version < until)


EVERY_ROW: tuple[int, ...] = (-1,)
"""In the place of row numbers: all that an index holds of a cube."""


def blank(memory_id: str) -> Memory:
    """What stands in the rows of a memory that was erased."""
    return Memory(memory_id, "", 0, Form.PLAINTEXT, Kind.NOTE.value, State.ARCHIVED, "", 0)


def opens_row(before: Memory | None, after: Memory) -> bool:
    """Whether an event that made `after` of `before` opens a row: a text entered retrieval, or another one did."""
    if not after.retrievable:
        return False
    return before is None or not before.retrievable or before.indexed_text != after.indexed_text


@dataclass(frozen=True, slots=True)
class RowChange:
    """What an event did to the rows: the row it closed and the one it opened, if any, and those that it blanked."""

    closed: int | None = None
    opened: int | None = None
    erased: tuple[int, ...] = ()
