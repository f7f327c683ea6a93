"""What exporting and importing take of a shard: its events, the vectors of its rows, and taking a whole chain in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from actors.errors import AlreadyExists
from actors.memory.cube import CubeState
from actors.memory.events import Event
from actors.memory.ports import Embedder, Journal, LexicalDocument, LexicalIndex, RowNumbers, VectorIndex, Vectors
from actors.memory.ranking import DENSE
from actors.open_cubes import OpenCube, OpenCubes
from actors.projector import Projector
from actors.row_deltas import RowDelta
from actors.vector_sources import VectorSources
from actors.writer import ShardWriter

log = logging.getLogger(__name__)

WAIT_S = 30.0
"""How long an export waits for the vectors of what was added last."""


class Stores(Protocol):
    """What this needs of a shard's parts."""

    @property
    def journal(self) -> Journal: ...

    @property
    def vectors(self) -> VectorIndex: ...

    @property
    def lexical(self) -> LexicalIndex: ...

    @property
    def embedder(self) -> Embedder: ...


class ShardArchives:
    """One a shard. Safe to use from many threads, not from the writer's own."""

    def __init__(
        self,
        stores: Stores,
        cubes: OpenCubes,
        projector: Projector,
        writer: Callable[[], ShardWriter[Any]],
        snapshot: Callable[[], None],
        sources: VectorSources,
    ) -> None:
        self._journal = stores.journal
        self._vectors = stores.vectors
        self._lexical = stores.lexical
        self._cubes = cubes
        self._projector = projector
        self._writer = writer
        self._snapshot = snapshot
        self._sources = sources
        self.model_id, self.dimension = stores.embedder.model_id, stores.embedder.dimension

    # out

    def pinned(self, cube_id: str) -> AbstractContextManager[OpenCube]:
        """The cube, kept in memory until the block ends; take its lock to look at its state."""
        return self._cubes.pinned(cube_id)

    def events(self, cube_id: str, version: int) -> Iterator[Event]:
        """The cube's events up to a version, those of before it was forked included, oldest first, read as they are
        asked for.
        """
        with self._cubes.pinned(cube_id) as cube, cube.lock:
            fork = cube.state.fork
        if fork is not None:
            yield from self.events(fork.cube_id, min(version, fork.version))
        for event in self._journal.read_cube(cube_id):
            if event.version > version:
                return
            yield event

    def await_vectors(self, cube_id: str, version: int) -> bool:
        """Whether the vectors of everything up to a version are there, soon."""
        return self._projector.wait(cube_id, version, WAIT_S, (DENSE,))

    def vectors(self, cube_id: str, rows: Sequence[int]) -> tuple[RowNumbers, Vectors]:
        """Those of some rows of a (pinned) cube that are there, and their vectors."""
        with self._cubes.pinned(cube_id) as cube, cube.lock:
            lineage = cube.state.rows.lineage
        return self._sources.read(cube_id, lineage, rows)

    # in

    def put_rows(self, cube_id: str, rows: Sequence[int], vectors: Vectors) -> None:
        """Store vectors of a cube that is not there yet, durably."""
        self._vectors.put(cube_id, rows, vectors)
        self._vectors.flush(self._vectors.position)

    def put_documents(self, documents: Sequence[LexicalDocument]) -> None:
        """Store words of a cube that is not there yet, durably."""
        self._lexical.put(documents)
        self._lexical.flush(self._lexical.position)

    def forget(self, cube_id: str) -> None:
        """Take back what was put of a cube that is not there."""
        self._vectors.erase(cube_id)
        self._lexical.erase(cube_id)

    def is_empty(self, cube_id: str) -> bool:
        """Whether a cube has no event."""
        with self._cubes.pinned(cube_id) as cube, cube.lock:
            return cube.state.version == 0

    def take_in(self, state: CubeState, parts: Iterable[Sequence[Event]], missing: Sequence[RowDelta]) -> None:
        """Commit the whole chain that `parts` are and `state` is the fold of, all of it or nothing; other writes of the
        shard wait meanwhile. Its rows are indexed already, save those of `missing`, which are embedded afterwards.

        Raises AlreadyExists when the cube has events, and what an append raises.
        """

        def commit() -> None:
            with self._cubes.pinned(state.cube_id) as cube:
                if cube.state.version:
                    raise AlreadyExists(f"the cube id {state.cube_id!r} is taken; choose another", cube=state.cube_id)
                last = self._journal.append_parts(parts)
                self._cubes.adopt(state, last)
                self._projector.feed(missing, (DENSE,))
                self._projector.feed([RowDelta(last.position, state.cube_id, state.version)])

        self._writer().run_exclusive(commit).result()
        self._snapshot()
