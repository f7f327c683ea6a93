"""A cube's vectors in memory: a flat index whose position i is row i, and, of a large cube, a graph of its first rows.

Every score is one inner product that faiss computes alike whichever way a row was found, so a row's score is the same
bit for bit from exact search, from the graph, and under any mask.
"""

from __future__ import annotations

import threading
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from actors.memory.ports import Mask, Vectors
from actors.stores.vectors.graph import RowGraph, breadth_for
from actors.stores.vectors.segments import Half

_faiss: Any = faiss
"""faiss's stubs know the C++ signatures alone, not the wrappers that take arrays and keywords, and not every name."""

Rows = npt.NDArray[np.int64]
Hits = list[tuple[int, float]]

_FEW = 4
"""When fewer than one in so many rows are allowed, they are scored one by one instead of scanning all."""


class OpenCube:
    """The caller holds `lock` around every method. Rows that are not there yet are zeros that no search finds."""

    def __init__(self, dimension: int) -> None:
        self.lock = threading.Lock()
        self.flat = faiss.IndexFlatIP(dimension)
        self.graph: RowGraph | None = None
        self.covered = 0
        """Rows that the graph, or one that is being built, has taken in with the vectors that they had then."""
        self.building_bytes = 0
        self._loose: set[int] = set()
        """Covered rows whose vectors changed since: the graph may not lead to them."""
        self._held = np.zeros(0, dtype=np.bool_)
        self._missing = 0
        self._capacity_rows = 0

    @property
    def rows(self) -> int:
        return int(self.flat.ntotal)

    @property
    def present(self) -> int:
        return len(self._held) - self._missing

    @property
    def held_bytes(self) -> int:
        links = 0 if self.graph is None else self.graph.held_bytes
        return self._capacity_rows * 4 * int(self.flat.d) + len(self._held) + links + self.building_bytes

    def vectors(self, start: int, end: int) -> Vectors:
        """A copy of the vectors of some rows."""
        return self._stored()[start:end].copy()

    def read(self, rows: Rows) -> tuple[Rows, Vectors]:
        """Those of the rows that are there, and a copy of their vectors."""
        rows = rows[rows < self.rows]
        rows = rows[self._held[rows]]
        return rows, self._stored()[rows].copy()

    def put(self, rows: Rows, vectors: Half | Vectors) -> None:
        end = int(rows.max(initial=-1)) + 1
        if end > self.rows:
            self._grow(end)
        stored, covered = self._stored(), rows < self.covered
        if covered.any():
            changed = (stored[rows[covered]] != vectors[covered]).any(axis=1)
            self._loose.update(rows[covered][changed].tolist())
        stored[rows] = vectors
        self._held[rows] = True
        self._missing = int(len(self._held) - self._held.sum())

    def _grow(self, rows: int) -> None:
        added = rows - self.rows
        self.flat.add(np.zeros((added, self.flat.d), dtype=np.float32))
        self._held = np.concatenate([self._held, np.zeros(added, dtype=np.bool_)])
        if rows > self._capacity_rows:  # as std::vector grows
            self._capacity_rows = max(2 * self._capacity_rows, rows)

    def _stored(self) -> Vectors:
        """The flat index's own memory, of shape (rows, dimension); not to be kept."""
        flat: Any = faiss.rev_swig_ptr(self.flat.get_xb(), self.rows * self.flat.d)
        shaped: Vectors = flat.reshape(-1, self.flat.d)
        return shaped

    # searching

    def search(self, query: Vectors, allowed: Mask, k: int) -> Hits:
        """The `k` allowed rows of the highest scores, best first; of a cube with a graph, nearly always."""
        query = np.ascontiguousarray(query, dtype=np.float32)
        mask, count = self._answerable(allowed)
        k = min(k, count)
        if k < 1:
            return []
        proposed = None if self.graph is None else self._proposed(self.graph, query, mask, k)
        if proposed is not None:
            return self._best(query, proposed, k)
        if _FEW * count < self.rows:
            return self._best(query, np.flatnonzero(mask), k)
        return self._scan(query, mask if count < self.rows else None, k)

    def _answerable(self, allowed: Mask) -> tuple[Mask, int]:
        """The mask of the rows that are allowed and there, and their number."""
        if len(allowed) < self.rows:
            allowed = np.concatenate([allowed, np.zeros(self.rows - len(allowed), dtype=np.bool_)])
        mask = allowed[: self.rows]
        if self._missing:
            mask = mask & self._held
        return mask, int(np.count_nonzero(mask))

    def _proposed(self, graph: RowGraph, query: Vectors, mask: Mask, k: int) -> Rows | None:
        """Rows among which the best are, from the graph and those that it does not cover; None to score all."""
        inside = mask[: graph.rows]
        allowed = int(np.count_nonzero(inside))
        wanted = min(k, allowed)
        breadth = breadth_for(wanted, allowed, graph.rows)
        if breadth is None:
            return None
        near = graph.nearest(query, breadth)
        near = near[inside[near]]
        if len(near) < wanted:  # what is allowed lies far from the query
            return None
        loose = np.fromiter((row for row in self._loose if mask[row]), dtype=np.int64)
        tail = np.flatnonzero(mask[graph.rows :]) + graph.rows
        return np.unique(np.concatenate([near, loose, tail]))

    def _best(self, query: Vectors, rows: Rows, k: int) -> Hits:
        """The best of some rows; of equal scores the earlier rows."""
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        scores = np.empty(len(rows), dtype=np.float32)
        _faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(scores),
            faiss.swig_ptr(query),
            self.flat.get_xb(),
            faiss.swig_ptr(rows),
            self.flat.d,
            1,
            len(rows),
        )
        if k < len(rows):
            kept = np.flatnonzero(scores >= np.partition(scores, len(rows) - k)[len(rows) - k])
            rows, scores = rows[kept], scores[kept]
        order = np.lexsort((rows, -scores))[:k]
        return [(int(row), float(score)) for row, score in zip(rows[order], scores[order], strict=True)]

    def _scan(self, query: Vectors, mask: Mask | None, k: int) -> Hits:
        # Without a selector faiss takes another way, which rounds otherwise and is no faster.
        bits = None if mask is None else np.packbits(mask, bitorder="little")
        selector = _faiss.IDSelectorAll() if bits is None else _faiss.IDSelectorBitmap(bits)
        scores, rows = self.flat.search(query, k, params=_faiss.SearchParameters(sel=selector))
        hits = [(int(row), float(score)) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))
