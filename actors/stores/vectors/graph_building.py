"""Graphs of large cubes are built behind the searches' back: one thread of a shard's index, at a low priority.

Exact search serves meanwhile. A first graph grows beside the cube, on a copy of its vectors, without the cube's lock.
One that is in use is extended in small steps under the lock, once enough rows came after it; until then those are
scored one by one. A cube that is unloaded meanwhile, or an index that is closed, stops the work within a step. What was
built of a first graph until then is stored, and extended when the cube is opened again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress

import faiss

from actors.errors import StorageError
from actors.stores.vectors.graph import RowGraph
from actors.stores.vectors.open_cube import OpenCube

log = logging.getLogger(__name__)

STEP_ROWS = 256
"""Rows that are added to a graph that is not in use: 50 ms."""

LOCKED_STEP_ROWS = 16
"""Rows that are added while searches of the cube wait: 3 to 5 ms."""

LOOSE_ENDS = 16
"""A graph is extended when more than one in so many rows are not in it."""

_STORE_AGAIN = 1.2
_PAUSE_S = 0.002
"""Between two steps under the lock: who waits for it gets it."""

_LOW_PRIORITY = 10
"""Beside busy threads it gets a tenth of a core: at a low priority, 19, it would hardly move."""

IsOpen = Callable[[str, OpenCube], bool]
Store = Callable[[str, RowGraph, OpenCube], None]


class GraphBuilder:
    """`is_open(cube_id, cube)` says whether the work is still wanted, `store(cube_id, graph, cube)` keeps a graph."""

    def __init__(self, dimension: int, from_rows: int, is_open: IsOpen, store: Store) -> None:
        self._dimension = dimension
        self._from_rows = from_rows
        self._is_open = is_open
        self._store = store
        self._guard = threading.Lock()
        self._wanted: dict[str, OpenCube] = {}
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._stored_rows: dict[str, int] = {}

    def consider(self, cube_id: str, cube: OpenCube) -> None:
        """Build or extend the graph of a cube that grew or was opened, when it is time. Returns at once."""
        rows, graph = cube.rows, cube.graph
        if rows < self._from_rows or (graph is not None and LOOSE_ENDS * (rows - graph.rows) <= rows):
            return
        with self._guard:
            if self._closing.is_set():
                return
            self._wanted[cube_id] = cube  # what was wanted of one that was open before is given up
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="graph-builder", daemon=True)
                self._thread.start()

    def was_stored(self, cube_id: str, rows: int) -> None:
        """A graph of so many rows is on storage."""
        self._stored_rows[cube_id] = rows

    def works_on(self, cube_id: str, cube: OpenCube) -> bool:
        """Whether this work was not forgotten since it began."""
        with self._guard:
            return self._wanted.get(cube_id) is cube

    def forget(self, cube_id: str) -> None:
        """A cube was erased: nothing of it is wanted."""
        with self._guard:
            self._wanted.pop(cube_id, None)
            self._stored_rows.pop(cube_id, None)

    def idle(self) -> bool:
        """Whether nothing is being built or waits for it."""
        with self._guard:
            return self._thread is None

    def close(self) -> None:
        """Stop within a step, and wait for it."""
        with self._guard:
            self._closing.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    # the thread

    def _run(self) -> None:
        with suppress(OSError):  # a process that is nicer already may not become less so
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)
        faiss.omp_set_num_threads(1)  # of this thread: others keep theirs
        while True:
            with self._guard:
                if self._closing.is_set() or not self._wanted:
                    self._thread = None
                    return
                cube_id, cube = next(iter(self._wanted.items()))
            try:
                self._work(cube_id, cube)
            except StorageError as error:
                log.warning("the graph of cube %s is not stored, it will be built again: %s", cube_id, error)
            except Exception:  # the outer loop of a thread: exact search serves, and other cubes want graphs too
                log.exception("the graph of cube %s could not be built", cube_id)
            finally:
                with self._guard:
                    if self._wanted.get(cube_id) is cube:
                        del self._wanted[cube_id]

    def _work(self, cube_id: str, cube: OpenCube) -> None:
        graph = cube.graph
        if graph is None:
            graph = self._built(cube_id, cube)
        else:
            self._extend(cube_id, cube, graph)
        if graph.rows >= max(self._from_rows // 2, _STORE_AGAIN * self._stored_rows.get(cube_id, 0)):
            if not self._closing.is_set():
                self._store(cube_id, graph, cube)

    def _stopped(self, cube_id: str, cube: OpenCube) -> bool:
        return self._closing.is_set() or not self.works_on(cube_id, cube) or not self._is_open(cube_id, cube)

    def _built(self, cube_id: str, cube: OpenCube) -> RowGraph:
        """A first graph, in use when it is done; as far as it came when the cube is no longer open."""
        graph = RowGraph.empty(self._dimension)
        while True:
            with cube.lock:
                step = cube.vectors(graph.rows, graph.rows + STEP_ROWS)
                cube.covered = graph.rows + len(step)
                cube.building_bytes = 4 * self._dimension * cube.covered + graph.held_bytes
                if not len(step):
                    graph.read_from(cube.flat)
                    cube.graph, cube.building_bytes = graph, 0
                    return graph
            graph.add(step)
            if self._stopped(cube_id, cube):
                return graph

    def _extend(self, cube_id: str, cube: OpenCube, graph: RowGraph) -> None:
        with cube.lock:
            growing = faiss.IndexFlatIP(self._dimension)
            growing.add(cube.vectors(0, graph.rows))
            cube.building_bytes = 4 * self._dimension * cube.rows
            graph.read_from(growing)
        try:
            while not self._stopped(cube_id, cube):
                with cube.lock:
                    step = cube.vectors(graph.rows, graph.rows + LOCKED_STEP_ROWS)
                    if not len(step):
                        return
                    cube.covered = graph.rows + len(step)
                    graph.add(step)
                self._closing.wait(_PAUSE_S)
        finally:
            with cube.lock:
                graph.read_from(cube.flat)
                cube.building_bytes = 0
