"""The vector port on faiss: exact search within a cube, a graph for large ones, stored as segments beside the journal.

Searches and puts of one cube take turns; open cubes do not wait for each other. Opening a cube waits for a flush that
is under way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from actors.errors import Corrupted, StorageUnavailable
from actors.memory.ports import Mask, RowNumbers, Vectors
from actors.stores.location import StorageSpec
from actors.stores.vectors.graph import GRAPH_FROM_ROWS, RowGraph
from actors.stores.vectors.graph_building import GraphBuilder
from actors.stores.vectors.open_cube import OpenCube
from actors.stores.vectors.segments import STORED, Half, VectorSegments

log = logging.getLogger(__name__)


class FaissVectorIndex:
    """Takes the vectors in `storage` over as the shard's owner `epoch`, or begins there.

    Raises Corrupted (naming the file; `begin_anew` and replay the journal), ConfigError when the stored vectors are
    another model's, NewerFormat, Fenced when a later owner has them. Vectors are rounded to 16-bit floats when they
    are put.
    """

    def __init__(
        self,
        storage: StorageSpec,
        model_id: str,
        dimension: int,
        epoch: int,
        graph_from_rows: int = GRAPH_FROM_ROWS,
    ) -> None:
        self._keep(VectorSegments(storage, model_id, dimension, epoch), dimension, graph_from_rows)

    @classmethod
    def begin_anew(cls, storage: StorageSpec, model_id: str, dimension: int, epoch: int) -> FaissVectorIndex:
        """An empty index in the place of one that cannot be opened, whatever its state."""
        index = cls.__new__(cls)
        index._keep(VectorSegments.begin_anew(storage, model_id, dimension, epoch), dimension, GRAPH_FROM_ROWS)
        return index

    def _keep(self, segments: VectorSegments, dimension: int, graph_from_rows: int) -> None:
        self._segments = segments
        self._dimension = dimension
        self._guard = threading.Lock()
        self._storing = threading.Lock()
        self._closed = False
        self._open: dict[str, OpenCube] = {}
        self._pending: dict[str, dict[int, Half]] = {}
        self._graphs = GraphBuilder(dimension, graph_from_rows, self._is_open, self._store_graph)

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
            self._graphs.consider(cube_id, cube)

    def flush(self, position: int) -> None:
        with self._storing:
            if self._closed:
                raise self._was_closed()
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
        return self._opened(cube_id).present

    def search(self, cube_id: str, query: Vectors, allowed: Mask, k: int) -> list[tuple[int, float]]:
        cube = self._opened(cube_id)
        with cube.lock:
            return cube.search(query, allowed, k)

    def read(self, cube_id: str, rows: Sequence[int]) -> tuple[RowNumbers, Vectors]:
        cube = self._opened(cube_id)
        with cube.lock:
            return cube.read(np.sort(np.asarray(rows, dtype=np.int64)))

    def _opened(self, cube_id: str) -> OpenCube:
        with self._guard:
            cube = self._open.get(cube_id)
        return cube or self._load(cube_id)

    def _load(self, cube_id: str) -> OpenCube:
        with self._storing:  # between two flushes, what is not pending is in the segments
            with self._guard:
                if cube_id in self._open:
                    return self._open[cube_id]
            cube = OpenCube(self._dimension)
            rows, vectors = self._segments.read(cube_id)
            cube.put(rows, vectors)
            self._load_graph(cube_id, cube)
            with self._guard:
                pending = self._pending.get(cube_id, {})
                if pending:
                    cube.put(np.fromiter(pending, dtype=np.int64), np.stack(list(pending.values())))
                self._open[cube_id] = cube
        self._graphs.consider(cube_id, cube)
        return cube

    # graphs

    def _load_graph(self, cube_id: str, cube: OpenCube) -> None:
        """Give the cube the graph that is stored for it; one that is damaged, or of more rows, is built anew."""
        try:
            data = self._segments.read_graph(cube_id)
            graph = None if data is None else RowGraph.from_bytes(data, self._dimension)
        except Corrupted as damaged:
            log.warning("%s; the graph of cube %s is built anew", damaged, cube_id)
            return
        if graph is not None and graph.rows <= cube.rows:
            graph.read_from(cube.flat)
            cube.graph, cube.covered = graph, graph.rows
            self._graphs.was_stored(cube_id, graph.rows)

    def _store_graph(self, cube_id: str, graph: RowGraph, cube: OpenCube) -> None:
        with cube.lock:
            data, rows = graph.to_bytes(), graph.rows
        with self._storing:
            if not self._closed and self._graphs.works_on(cube_id, cube):
                self._segments.write_graph(cube_id, rows, data)
                self._graphs.was_stored(cube_id, rows)

    def _is_open(self, cube_id: str, cube: OpenCube) -> bool:
        with self._guard:
            return self._open.get(cube_id) is cube

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
                self._let_go([cube_id])
            self._segments.erase(cube_id)

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> str:
        """Cubes that are open are opened anew by the next search, without the rows; their graphs are built again."""
        with self._storing:
            if self._closed:
                raise self._was_closed()
            with self._guard:
                for cube_id, gone in rows.items():
                    held = self._pending.get(cube_id, {})
                    for row in list(held) if gone is None else gone:
                        held.pop(row, None)
                    self._open.pop(cube_id, None)
                    self._graphs.forget(cube_id)
            self._segments.erase_rows(rows)
        return ""

    def clear(self) -> None:
        with self._storing:
            with self._guard:
                self._let_go([*self._open, *self._pending])
            self._segments.clear()

    def _was_closed(self) -> StorageUnavailable:
        uri = self._segments.uri
        return StorageUnavailable(f"vectors in {uri}: this index was closed", uri=uri)

    def _let_go(self, cube_ids: Sequence[str]) -> None:
        for cube_id in cube_ids:
            self._open.pop(cube_id, None)
            self._pending.pop(cube_id, None)
            self._graphs.forget(cube_id)

    def close(self) -> None:
        """Let go of the memory and the folder, which another may open now. What was not flushed is lost: the journal
        replays it.
        """
        self._graphs.close()
        with self._storing:
            self._closed = True
            with self._guard:
                self._open.clear()
                self._pending.clear()
