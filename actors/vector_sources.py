"""Where the vectors of a cube's rows are: its own, and those that a fork has from its ancestors, never copied.

An ancestor's vectors are in memory once, however many cubes search them: they count for the first of those cubes, and
leave with the last.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from actors.memory.ports import Mask, RowNumbers, VectorIndex, Vectors

Lineage = Sequence[tuple[str, int]]
"""(cube, end): the cube holds the vectors of the rows from the end before to this one. What follows is its own."""

Hits = list[tuple[int, float]]


class VectorSources:
    """Of the cubes of one shard. Safe to use from many threads."""

    def __init__(self, vectors: VectorIndex) -> None:
        self._vectors = vectors
        self._guard = threading.Lock()
        self._sources: dict[str, tuple[str, ...]] = {}
        """Per cube that was searched since it was opened, the cubes that hold its vectors."""
        self._users: dict[str, list[str]] = {}

    def search(self, cube_id: str, lineage: Lineage, query: Vectors, allowed: Mask, k: int) -> Hits:
        """As VectorIndex.search, over all the rows of the cube. Raises StorageError."""
        self._note(cube_id, lineage)
        if not lineage:
            return self._vectors.search(cube_id, query, allowed, k)
        hits: Hits = []
        for source, start, end in _parts(cube_id, lineage, len(allowed)):
            part = allowed[start:end]
            if part.any():
                hits += [(row + start, score) for row, score in self._vectors.search(source, query, part, k)]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k]

    def read(self, cube_id: str, lineage: Lineage, rows: Sequence[int]) -> tuple[RowNumbers, Vectors]:
        """As VectorIndex.read, over all the rows of the cube. Raises StorageError."""
        self._note(cube_id, lineage)
        if not lineage:
            return self._vectors.read(cube_id, rows)
        numbers, vectors = [], []
        for source, start, end in _parts(cube_id, lineage, max(rows, default=-1) + 1):
            part = [row - start for row in rows if start <= row < end]
            if part:
                there, found = self._vectors.read(source, part)
                numbers.append(there + start)
                vectors.append(found)
        if not numbers:
            return self._vectors.read(cube_id, ())
        return np.concatenate(numbers), np.concatenate(vectors)

    def _note(self, cube_id: str, lineage: Lineage) -> None:
        with self._guard:
            if cube_id not in self._sources:
                self._sources[cube_id] = (*(source for source, _ in lineage), cube_id)
                for source in self._sources[cube_id]:
                    self._users.setdefault(source, []).append(cube_id)

    def held_bytes(self, cube_id: str) -> int:
        """What a cube's vectors take in memory, without those that count for another cube."""
        with self._guard:
            sources = self._sources.get(cube_id, (cube_id,))
            mine = [source for source in sources if self._users.get(source, [cube_id])[0] == cube_id]
        return sum(self._vectors.held_bytes(source) for source in mine)

    def forget(self, cube_id: str) -> None:
        """A cube left memory: its vectors do too, where no other open cube uses them."""
        with self._guard:
            unused = []
            for source in self._sources.pop(cube_id, (cube_id,)):
                users = [user for user in self._users.pop(source, ()) if user != cube_id]
                if users:
                    self._users[source] = users
                else:
                    unused.append(source)
        for source in unused:
            self._vectors.unload(source)


def _parts(cube_id: str, lineage: Lineage, rows: int) -> Iterator[tuple[str, int, int]]:
    """(cube that holds them, first row, end) of each part of the rows."""
    start = 0
    for source, end in (*lineage, (cube_id, rows)):
        if start < min(end, rows):
            yield source, start, min(end, rows)
        start = end
