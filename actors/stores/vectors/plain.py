"""The vector port in plain numpy: the reference that other adapters are compared with. Nothing is stored."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from actors.memory.ports import Mask, RowNumbers, Vectors


class PlainVectorIndex:
    """Keeps every vector as given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cubes: dict[str, dict[int, Vectors]] = {}
        self._position = 0

    @property
    def position(self) -> int:
        return self._position

    def put(self, cube_id: str, rows: Sequence[int], vectors: Vectors) -> None:
        with self._lock:
            self._cubes.setdefault(cube_id, {}).update(zip(rows, vectors, strict=True))

    def flush(self, position: int) -> None:
        self._position = position

    def present(self, cube_id: str) -> int:
        return len(self._cubes.get(cube_id, {}))

    def search(self, cube_id: str, query: Vectors, allowed: Mask, k: int) -> list[tuple[int, float]]:
        with self._lock:
            held = self._cubes.get(cube_id, {})
            rows = [row for row in sorted(held) if row < len(allowed) and allowed[row]]
            scores = [float(np.dot(held[row], query[0])) for row in rows]
        return sorted(zip(rows, scores, strict=True), key=lambda hit: (-hit[1], hit[0]))[:k]

    def read(self, cube_id: str, rows: Sequence[int]) -> tuple[RowNumbers, Vectors]:
        with self._lock:
            held = self._cubes.get(cube_id, {})
            found = [row for row in sorted(rows) if row in held]
            vectors = np.stack([held[row] for row in found]) if found else np.zeros((0, 0), dtype=np.float32)
        return np.array(found, dtype=np.int64), vectors

    def held_bytes(self, cube_id: str) -> int:
        with self._lock:
            return sum(vector.nbytes for vector in self._cubes.get(cube_id, {}).values())

    def unload(self, cube_id: str) -> None:
        return None

    def erase(self, cube_id: str) -> None:
        with self._lock:
            self._cubes.pop(cube_id, None)

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> str:
        with self._lock:
            for cube_id, gone in rows.items():
                held = self._cubes.get(cube_id, {})
                for row in list(held) if gone is None else gone:
                    held.pop(row, None)
        return ""

    def clear(self) -> None:
        with self._lock:
            self._cubes.clear()
            self._position = 0

    def close(self) -> None:
        return None
