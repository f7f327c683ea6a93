"""The consolidator of a shard: merges near-duplicates behind the indexes, and when it is asked to.

In the background it looks at rows that were opened since the shard was, once their vectors are there and nobody waits
for any, and takes a bounded share of one core. What it was not told of, a job asks for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from actors.errors import MemosError
from actors.memory.consolidation import ConsolidateCube, Consolidated, Finding, Pair, consolidate, examined
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.item import Memory
from actors.memory.ports import Clock, Mask
from actors.memory.repeats import may_absorb
from actors.memory.similarity import THRESHOLDS, MergeThresholds
from actors.open_cubes import OpenCube
from actors.redaction_gate import Rule
from actors.row_deltas import RowDelta, of_new_rows
from actors.vector_sources import Lineage, VectorSources

R = TypeVar("R")

log = logging.getLogger(__name__)

AUTOMATIC = "@consolidation"
"""The principal of what is merged in the background; no key can have it, for the '@'."""


@dataclass(frozen=True, slots=True)
class ConsolidationPace:
    """`share` of a core is what the background work takes at most, 0 for none; `share_beside` while the rest of the
    process takes more than `idle` of one: a search must not feel it. It looks at `batch` rows at a time, compares each
    with `neighbours`, and begins once a shard was quiet for `quiet_s`. Up to `waiting` rows are kept in mind; what
    comes on top is left to the job.
    """

    share: float = 0.2
    share_beside: float = 0.01
    idle: float = 0.1
    batch: int = 32
    neighbours: int = 5
    quiet_s: float = 1.0
    waiting: int = 200_000

    def pause_s(self, worked_s: float, others: float) -> float:
        """How long to rest after work of `worked_s` of processor, beside others who take that part of a core."""
        share = self.share if others <= self.idle else min(self.share, self.share_beside)
        return max(0.001, worked_s * (1 / share - 1))


class ShardSide(Protocol):
    """What the consolidator needs of its shard."""

    def reading(self, cube_id: str) -> AbstractContextManager[OpenCube]: ...

    def wait_indexed(self, cube_id: str, version: int) -> bool: ...

    def run(self, cube_id: str, decide: Callable[[CubeDraft], R]) -> R: ...


class Consolidator:
    """`quiet()` says whether nobody waits for the vectors. Methods are safe to call from many threads."""

    def __init__(
        self,
        shard: ShardSide,
        vectors: VectorSources,
        clock: Clock,
        quiet: Callable[[], bool],
        pace: ConsolidationPace,
        thresholds: MergeThresholds = THRESHOLDS,
    ) -> None:
        self._shard = shard
        self._vectors = vectors
        self._clock = clock
        self._quiet = quiet
        self._pace = pace
        self._thresholds = thresholds
        self._guard = threading.Lock()
        self._waiting: OrderedDict[str, list[int]] = OrderedDict()
        self._count = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consolidator", daemon=True)
        if pace.share > 0:
            self._thread.start()

    # a step

    def step(self, cube_id: str, request: ConsolidateCube, origin: Origin) -> Consolidated:
        """Look at some rows of a cube that have a vector, and record what is found."""
        with self._shard.reading(cube_id) as cube:
            total, version = len(cube.state.rows.memory_ids), cube.state.version
        self._shard.wait_indexed(cube_id, version)
        end = min(total, request.start + request.rows)
        done = self._consolidated(cube_id, range(request.start, end), origin)
        return replace(done, next=end if end < total else None, total=total)

    def _consolidated(self, cube_id: str, rows: Sequence[int], origin: Origin) -> Consolidated:
        with self._shard.reading(cube_id) as cube:
            live = cube.state.rows.live(cube.state.version)
            memory_ids, lineage = cube.state.rows.memory_ids, cube.state.rows.lineage
            looked_at = [row for row in rows if row < len(live) and live[row] and _stands(cube.state, memory_ids[row])]
        if not looked_at:
            return Consolidated(len(rows), 0, 0)
        near = self._near(cube_id, lineage, looked_at, live)
        findings = self._examined(cube_id, near)
        if not findings:
            return Consolidated(len(rows), 0, 0)
        done = self._shard.run(cube_id, lambda draft: consolidate(draft, origin, findings))
        return replace(done, checked=len(rows))

    def _near(self, cube_id: str, lineage: Lineage, rows: Sequence[int], live: Mask) -> list[tuple[int, int, float]]:
        """(row, another live row, cosine) of those that are near enough to be looked at."""
        there, vectors = self._vectors.read(cube_id, lineage, rows)
        lowest = min(self._thresholds.duplicate, self._thresholds.contradiction)
        found = []
        for row, vector in zip(there.tolist(), vectors, strict=True):
            query = np.ascontiguousarray(vector, dtype=np.float32).reshape(1, -1)
            nearest = self._vectors.search(cube_id, lineage, query, live, self._pace.neighbours + 1)
            found += [(row, other, score) for other, score in nearest if other != row and score >= lowest]
        return found

    def _examined(self, cube_id: str, near: Iterable[tuple[int, int, float]]) -> list[Finding]:
        pairs = {}
        with self._shard.reading(cube_id) as cube:
            state, memory_ids = cube.state, cube.state.rows.memory_ids
            for row, other, score in near:
                newer, older = _by_age(state, memory_ids[row], memory_ids[other])
                pairs[newer.id, older.id] = Pair(newer, older, score)
            quotes = Rule.of(state.policy).off
        found = (examined(pair, self._thresholds) for pair in pairs.values())
        return [finding if quotes else finding.unquoted() for finding in found if finding is not None]

    # in the background

    def feed(self, deltas: Sequence[RowDelta]) -> None:
        """Rows that were opened for the first time. Never blocks: a row is a number here."""
        if self._pace.share <= 0:
            return
        with self._guard:
            for delta in of_new_rows(deltas):
                new = delta.opened is not None and delta.opened.place is not None
                if delta.opened is not None and new and self._count < self._pace.waiting:
                    self._waiting.setdefault(delta.cube_id, []).append(delta.opened.row)
                    self._count += 1

    def forget(self, cube_id: str) -> None:
        """A cube left memory: it is not opened again for this."""
        with self._guard:
            self._count -= len(self._waiting.pop(cube_id, ()))

    def waiting(self) -> int:
        return self._count

    def close(self, timeout_s: float = 10.0) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _take(self) -> tuple[str, list[int]] | None:
        with self._guard:
            if not self._waiting:
                return None
            cube_id, rows = next(iter(self._waiting.items()))
            taken, left = rows[: self._pace.batch], rows[self._pace.batch :]
            self._count -= len(taken)
            if left:
                self._waiting[cube_id] = left
                self._waiting.move_to_end(cube_id)
            else:
                del self._waiting[cube_id]
            return cube_id, taken

    def _run(self) -> None:
        pause_s, worked_s = self._pace.quiet_s, 0.0
        since_s, used_s = time.monotonic(), time.process_time()
        while not self._closing.wait(pause_s):
            pause_s = self._pace.quiet_s
            if not self._count or not self._quiet():
                continue
            now_s, now_used_s = time.monotonic(), time.process_time()
            others = (now_used_s - used_s - worked_s) / max(now_s - since_s, 1e-6)
            since_s, used_s, worked_s = now_s, now_used_s, 0.0
            taken = self._take()
            if taken is None:
                continue
            began = time.thread_time()
            try:
                self._consolidated(taken[0], taken[1], Origin(AUTOMATIC, AUTOMATIC, self._clock.now_us()))
            except Exception as error:  # the outer loop of a background thread: what it leaves, the job does
                log.log(
                    logging.INFO if isinstance(error, MemosError) else logging.ERROR,
                    "rows of cube %s are not consolidated: %s",
                    taken[0],
                    error,
                    exc_info=not isinstance(error, MemosError),
                )
            worked_s = time.thread_time() - began
            pause_s = self._pace.pause_s(worked_s, others)


def _stands(state: CubeState, memory_id: str) -> bool:
    return may_absorb(state.current(memory_id))


def _by_age(state: CubeState, one: str, other: str) -> tuple[Memory, Memory]:
    """(newer, older) of two memories, by when they were first recorded."""
    first, second = state.current(one), state.current(other)
    if state.history[one][0][0] > state.history[other][0][0]:
        return first, second
    return second, first
