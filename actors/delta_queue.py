"""What waits for a lane of a projector: deltas in order, those of a large event not made before they are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from actors.row_deltas import RowDelta


class DeltaQueue:
    """Not thread-safe: its owner guards it."""

    __slots__ = ("_length", "_parts", "_taken")

    def __init__(self) -> None:
        self._parts: deque[Sequence[RowDelta]] = deque()
        self._taken = 0
        """Of the first part."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, deltas: Sequence[RowDelta]) -> None:
        """Put deltas behind the others. The sequence is kept: it must not change."""
        if deltas:
            self._parts.append(deltas)
            self._length += len(deltas)

    def parts(self) -> Iterator[Sequence[RowDelta]]:
        """The deltas, of which none was dropped, as they were put in."""
        return iter(self._parts)

    def head(self, count: int) -> list[RowDelta]:
        """The first `count` deltas, or all when there are fewer."""
        found: list[RowDelta] = []
        start = self._taken
        for part in self._parts:
            found += part[start : start + count - len(found)]
            start = 0
            if len(found) >= count:
                break
        return found

    def drop(self, count: int) -> None:
        """Take the first `count` deltas out."""
        self._length -= count
        self._taken += count
        while self._parts and self._taken >= len(self._parts[0]):
            self._taken -= len(self._parts.popleft())
