"""The indexed texts of a cube's rows, without a second copy of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from actors.memory.item import Memory


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
