"""One shard: its journal, the cubes folded from it, and the indexes that follow it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from actors.errors import Corrupted, MemosError
from actors.index_replay import IndexReplay
from actors.memory.commands import CubeDraft, create
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event
from actors.memory.ports import Clock, Embedder, Journal, JsonObject, LexicalIndex, Snapshots, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL
from actors.memory.requests import CubeHits, SearchCube
from actors.memory_budget import MemoryBudget
from actors.open_cubes import Captured, OpenCube, OpenCubes
from actors.projector import Projector
from actors.retrieval import CubeSearch
from actors.row_deltas import RowDelta
from actors.shard_archives import ShardArchives
from actors.writer import ShardWriter

R = TypeVar("R")


log = logging.getLogger(__name__)


TAIL_BYTES = 32 << 20
"""Events in no snapshot yet that a shard keeps in memory, before the next snapshot is due whatever their number."""


@dataclass(frozen=True, slots=True)
class ShardParts:
    """The adapters that a shard stands on, opened."""

    journal: Journal
    snapshots: Snapshots
    vectors: VectorIndex
    lexical: LexicalIndex
    embedder: Embedder
    clock: Clock
    sealer: Sealer
    condemn: Callable[[str], None] = lambda channel: None
    """Marks an index as damaged, so that the next opening of the shard rebuilds it from the journal."""
    budget: MemoryBudget = field(default_factory=MemoryBudget)
    """The memory of the host's open cubes, one for all of its shards."""

    def close(self) -> None:
        """Let go of every file, also when one of them cannot be closed."""
        with ExitStack() as closing:
            closing.callback(self.journal.close)
            closing.callback(self.vectors.close)
            closing.callback(self.lexical.close)


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """Bounds of one shard: cubes in memory, commands waiting, events between snapshots, seconds for indexes."""

    open_cubes: int = 4096
    queue: int = 1024
    snapshot_events: int = 2000
    index_wait_s: float = 5.0


class Shard:
    """Journal first, then the indexes. Methods are safe to call from many threads."""

    def __init__(self, number: int, parts: ShardParts, limits: ShardLimits) -> None:
        self.number = number
        self._parts = parts
        self._limits = limits
        self._cubes = OpenCubes(
            parts.snapshots, parts.journal.read_cube, limits.open_cubes, parts.budget, self._footprint, self._evicted
        )
        self._snapshotting = threading.Lock()
        self._snapshot_at = limits.snapshot_events
        """Length of the tail at which the next snapshot is written."""
        self._snapshot_at_bytes = TAIL_BYTES
        self._closing = False
        self._damage: Corrupted | None = None
        self._promised: dict[str, int] = {}
        """Per cube that was written to since it was opened, the newest version that somebody was told of."""
        self._promising = threading.Lock()
        self._distrust_what_is_ahead()
        self._cubes.extend_tail(parts.journal.read(after=parts.snapshots.position))
        self._search = CubeSearch(parts.vectors, parts.lexical, parts.embedder.model_id, on_damage=self._on_damage)
        self._projector = Projector(parts.vectors, parts.lexical, parts.embedder)
        indexes: dict[str, VectorIndex | LexicalIndex] = {LEXICAL: parts.lexical, DENSE: parts.vectors}
        self._replay = IndexReplay(number, parts.journal, indexes, self._projector, self.reading)
        self.writer: ShardWriter[CubeDraft] = ShardWriter(
            parts.journal,
            clock=parts.clock,
            open_draft=lambda cube_id: CubeDraft(self._cubes.opened(cube_id).state, parts.sealer),
            apply=self._apply,
            queue_limit=limits.queue,
        )
        self.archives = ShardArchives(parts, self._cubes, self._projector, lambda: self.writer, self._snapshot_now)
        self._snapshot_when_due()
        self._replay.start()

    # commands

    def run(self, cube_id: str, decide: Callable[[CubeDraft], R]) -> R:
        """Decide in the writer's sequence and return once the events are durable."""
        with self._cubes.pinned(cube_id) as cube:
            result = self.writer.submit(cube_id, decide).result()
            self.promise(cube_id, cube.state.version)
            return result

    def promise(self, cube_id: str, version: int) -> None:
        """Somebody is about to be told that the cube has reached a version: later searches must show it."""
        with self._promising:
            self._promised[cube_id] = max(version, self._promised.get(cube_id, 0))

    @contextmanager
    def submitted(self, cube_id: str, decide: Callable[[CubeDraft], R]) -> Iterator[Future[R]]:
        """As `run`, without waiting: a future. Wait for it before the block ends, which keeps the cube in memory."""
        with self._cubes.pinned(cube_id):
            yield self.writer.submit(cube_id, decide)

    @contextmanager
    def reading(self, cube_id: str) -> Iterator[OpenCube]:
        """The cube, pinned and locked: copy out what is needed and leave soon."""
        with self._cubes.pinned(cube_id) as cube, cube.lock:
            yield cube

    def ensure_created(self, cube_id: str, origin: Origin, owner: str, name: str, policy: JsonObject) -> None:
        """Give a registered cube its first event, if it has none."""
        with self._cubes.pinned(cube_id) as cube:
            if cube.state.version == 0:
                self.writer.submit(cube_id, lambda draft: create(draft, origin, owner, name, policy)).result()

    def search(self, cube_id: str, request: SearchCube, waited_s: float = 0.0) -> CubeHits:
        """`waited_s` is what the caller has waited already: so much less is waited for the indexes."""
        wait_s = max(0.0, self._limits.index_wait_s - waited_s)
        with self._cubes.pinned(cube_id) as cube:
            promised = self._promised.get(cube_id)
            return self._search.search(cube, request, self._projector, wait_s, promised)

    def wait_indexed(self, cube_id: str, version: int) -> bool:
        """Whether the vectors reached a version of a cube within the limit's seconds. Words come from the cube itself;
        a search that needs them from storage waits for them.
        """
        return self._projector.wait(cube_id, version, self._limits.index_wait_s, (DENSE,))

    def verify(self, cube_id: str) -> list[str]:
        """What is wrong with the cube's chain and the shard's journal; in the writer's sequence."""
        return self.writer.run_exclusive(lambda: self._parts.journal.verify(cube_id)).result()

    # following the journal

    def _apply(self, events: list[Event]) -> None:
        deltas = []
        for event, change in self._cubes.apply(events):
            rows = self._cubes.opened(event.cube_id).state.rows
            deltas.append(RowDelta.of(event, change, rows))
        self._projector.feed(deltas)
        self._snapshot_when_due()

    def _distrust_what_is_ahead(self) -> None:
        """Forget snapshots of another history than the journal's: it was put back from a copy, say. Otherwise events
        up to the old position would count as followed. Indexes are looked at by the replay.
        """
        parts, position = self._parts, self._parts.journal.position
        if parts.snapshots.position > position:
            log.error("the snapshots of shard %d are ahead of its journal: folding anew", self.number)
            parts.snapshots.discard()

    def _on_damage(self, channel: str, damage: Corrupted) -> None:
        if self._closing:
            return  # the files may belong to the shard that was opened in the place of this one
        log.error("%s; shard %d will be opened anew and the index rebuilt from the journal", damage, self.number)
        self._parts.condemn(channel)
        self._damage = damage

    def _footprint(self, cube_id: str) -> int:
        return self._parts.vectors.held_bytes(cube_id) + self._search.held_bytes(cube_id)

    def _evicted(self, cube_id: str) -> None:
        self._parts.vectors.unload(cube_id)
        self._search.forget(cube_id)
        with self._promising:
            self._promised.pop(cube_id, None)

    # snapshots

    def _snapshot_when_due(self) -> None:
        due = self._cubes.tail_events >= self._snapshot_at or self._cubes.tail_bytes >= self._snapshot_at_bytes
        if not due or self._closing or not self._snapshotting.acquire(blocking=False):
            return
        threading.Thread(target=self._background_snapshot, name=f"snapshot-{self.number}").start()

    def _snapshot_now(self) -> None:
        """Begin a snapshot, whatever the tail holds; one that is under way already is followed by the next."""
        if not self._closing and self._snapshotting.acquire(blocking=False):
            self._background_snapshot()

    def _background_snapshot(self) -> None:
        try:
            self._write_snapshot()
        except Exception:  # the outer loop of a background thread: the journal still holds everything
            log.exception("snapshot of shard %d failed; the next one will cover it", self.number)
            self._snapshot_at = self._cubes.tail_events + self._limits.snapshot_events
            self._snapshot_at_bytes = self._cubes.tail_bytes + TAIL_BYTES
        finally:
            self._snapshotting.release()

    def _write_snapshot(self) -> None:
        def capture() -> tuple[int, list[Captured]]:
            return self._parts.journal.position, self._cubes.capture()

        position, captured = self.writer.run_exclusive(capture).result()
        if position > self._parts.snapshots.position:
            self._parts.snapshots.write(position, (self._cubes.encode(item) for item in captured))
        self._cubes.trim(position)
        # A snapshot writes whole cubes: a quarter more events before the next keeps its cost a constant part of theirs.
        written = sum(events[-1].version for _, _, events in captured)
        self._snapshot_at = max(self._limits.snapshot_events, written // 4)
        self._snapshot_at_bytes = TAIL_BYTES

    # running

    @property
    def failure(self) -> MemosError | None:
        """Why the shard must be opened anew, None while it works."""
        return self.writer.failure or self._damage

    def status(self) -> JsonObject:
        """Where the shard stands: journal, what follows it, what waits."""
        return {
            "failure": None if self.failure is None else str(self.failure),
            "epoch": self._parts.journal.epoch,
            "position": self._parts.journal.position,
            "snapshot_position": self._parts.snapshots.position,
            "indexed": {DENSE: self._indexed(DENSE, self._parts.vectors), LEXICAL: self._parts.lexical.position},
            "lag": self._projector.lag(),
            "index_failures": self._projector.failures(),
            "writer": asdict(self.writer.counters),
            "incidents": list(self._cubes.incidents),
            **self._cubes.status(),
        }

    def _indexed(self, channel: str, index: VectorIndex) -> int | None:
        """The position of an index, None while it is unknown: it has been away since the shard was opened."""
        return None if channel in self._replay.away else index.position

    def not_ready(self) -> list[str]:
        """What keeps the shard from answering in full, in words."""
        failures = self._projector.failures()
        return [f"shard {self.number}: {channel} index: {why}" for channel, why in failures.items()]

    def close(self) -> None:
        """Drain the writer, snapshot what changed, store the indexes. What this cannot do, the next opening replays."""
        closed, self._closing = self._closing, True
        with self._snapshotting:
            if self._cubes.tail_events and self.writer.failure is None and not closed:
                try:
                    self._write_snapshot()
                except MemosError as error:
                    log.error("shard %d closes without a snapshot, the next opening folds: %s", self.number, error)
        self.writer.close()
        self._replay.close()
        self._projector.close()
        self._search.close()
        self._cubes.close()
        self._parts.close()
