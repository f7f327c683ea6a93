"""The vector port on faiss: exact search within a cube, stored as segments in a folder of the shard.

An open cube is one flat inner-product index whose position i is row i. Rows that are not there yet are
zeros that the mask leaves out. Searches and puts of one cube take turns; open cubes do not wait for each
other. Opening a cube waits for a flush that is under way.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import faiss
import numpy as np
import numpy.typing as npt

from actors.errors import StorageUnavailable
from actors.memory.ports import Mask, Vectors
from actors.stores.location import StorageSpec
from actors.stores.vectors.segments import STORED, Half, VectorSegments


@dataclass(slots=True)
class _OpenCube:
    """`held[i]` says whether row i has its vector; both sides have as many rows."""

    index: faiss.IndexFlatIP
    held: Mask = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, rows: npt.NDArray[np.int64], vectors: Half) -> None:
        end = int(rows.max(initial=-1)) + 1
        if end > self.index.ntotal:
            added = end - self.index.ntotal
            self.index.add(np.zeros((added, self.index.d), dtype=np.float32))
            self.held = np.concatenate([self.held, np.zeros(added, dtype=np.bool_)])
        stored = faiss.rev_swig_ptr(self.index.get_xb(), self.index.ntotal * self.index.d)
        stored.reshape(-1, self.index.d)[rows] = vectors
        self.held[rows] = True

    @property
    def held_bytes(self) -> int:
        return int(self.index.ntotal) * (4 * int(self.index.d) + 1)

    def search(self, query: Vectors, allowed: Mask, k: int) -> list[tuple[int, float]]:
        count = min(len(allowed), len(self.held))
        mask = np.zeros(len(self.held), dtype=np.bool_)
        mask[:count] = allowed[:count] & self.held[:count]
        k = min(k, int(mask.sum()))
        if k < 1:
            return []
        bits = np.packbits(mask, bitorder="little")
        # faiss's stubs know the C++ signatures alone, not the wrappers that take arrays and keywords.
        selector = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg,arg-type]
        scores, rows = self.index.search(np.ascontiguousarray(query, dtype=np.float32), k, params=selector)
        hits = [(int(row), float(score)) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))


class FaissVectorIndex:
    """Takes the vectors in `storage` over as the shard's owner `epoch`, or begins there.

    Raises Corrupted (naming the file; `begin_anew` and replay the journal), ConfigError when the stored vectors are
    another model's, NewerFormat, Fenced when a later owner has them. Vectors are rounded to 16-bit floats when they
    are put.
    """

    def __init__(self, storage: StorageSpec, model_id: str, dimension: int, epoch: int) -> None:
        self._keep(VectorSegments(storage, model_id, dimension, epoch), dimension)

    @classmethod
    def begin_anew(cls, storage: StorageSpec, model_id: str, dimension: int, epoch: int) -> FaissVectorIndex:
        """An empty index in the place of one that cannot be opened, whatever its state."""
        index = cls.__new__(cls)
        index._keep(VectorSegments.begin_anew(storage, model_id, dimension, epoch), dimension)
        return index

    def _keep(self, segments: VectorSegments, dimension: int) -> None:
        self._segments = segments
        self._dimension = dimension
        self._guard = threading.Lock()
        self._storing = threading.Lock()
        self._closed = False
        self._open: dict[str, _OpenCube] = {}
        self._pending: dict[str, dict[int, Half]] = {}

    @property
    def position(self) -> int:
        return self._segments.position

    def put(self, cube_id: str, rows: Sequence[int], vectors: Vectors) -> None:
        if vectors.shape != (len(rows), self._dimension):
            raise ValueError(f"expected vectors of shape ({len(rows)}, {self._dimension}), got {vectors.shape}")
        rounded = vectors.astype(STORED)
        with self._guard:
            self._pending.setdefault(cube_id, {}).update(zip(rows, rounded, strict=True))
            cube = self._open.get(cube_id)
        if cube is not None:
            with cube.lock:
                cube.put(np.asarray(rows, dtype=np.int64), rounded)

    def flush(self, position: int) -> None:
        with self._storing:
            if self._closed:
                uri = self._segments.uri
                raise StorageUnavailable(f"vectors in {uri}: this index was closed", uri=uri)
            with self._guard:
                taken = {cube_id: dict(held) for cube_id, held in self._pending.items()}
            if not taken and position == self.position:
                return
            self._segments.append(taken, position)
            with self._guard:
                self._forget_flushed(taken)

    def _forget_flushed(self, taken: dict[str, dict[int, Half]]) -> None:
        for cube_id, flushed in taken.items():
            held = self._pending.get(cube_id, {})
            for row, vector in flushed.items():
                if held.get(row) is vector:
                    del held[row]
            if not held:
                self._pending.pop(cube_id, None)

    def present(self, cube_id: str) -> int:
        return int(self._opened(cube_id).held.sum())

    def search(self, cube_id: str, query: Vectors, allowed: Mask, k: int) -> list[tuple[int, float]]:
        cube = self._opened(cube_id)
        with cube.lock:
            return cube.search(query, allowed, k)

    def _opened(self, cube_id: str) -> _OpenCube:
        with self._guard:
            cube = self._open.get(cube_id)
        return cube or self._load(cube_id)

    def _load(self, cube_id: str) -> _OpenCube:
        with self._storing:  # between two flushes, what is not pending is in the segments
            with self._guard:
                if cube_id in self._open:
                    return self._open[cube_id]
            cube = _OpenCube(faiss.IndexFlatIP(self._dimension))
            rows, vectors = self._segments.read(cube_id)
            cube.put(rows, vectors)
            with self._guard:
                pending = self._pending.get(cube_id, {})
                if pending:
                    cube.put(np.fromiter(pending, dtype=np.int64), np.stack(list(pending.values())))
                self._open[cube_id] = cube
        return cube

    def held_bytes(self, cube_id: str) -> int:
        with self._guard:
            cube = self._open.get(cube_id)
        return 0 if cube is None else cube.held_bytes

    def unload(self, cube_id: str) -> None:
        with self._guard:
            self._open.pop(cube_id, None)

    def erase(self, cube_id: str) -> None:
        with self._storing:
            with self._guard:
                self._open.pop(cube_id, None)
                self._pending.pop(cube_id, None)
            self._segments.erase(cube_id)

    def clear(self) -> None:
        with self._storing:
            with self._guard:
                self._open.clear()
                self._pending.clear()
            self._segments.clear()

    def close(self) -> None:
        """Let go of the memory and the folder, which another may open now. What was not flushed is lost: the journal
        replays it.
        """
        with self._storing:
            self._closed = True
            with self._guard:
                self._open.clear()
                self._pending.clear()
