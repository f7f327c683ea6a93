"""One shard: its journal, the cubes folded from it, and the indexes that follow it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from actors.consolidator import ConsolidationPace, Consolidator
from actors.erasing import Erasing
from actors.errors import Corrupted, MemosError
from actors.forks import Forks
from actors.index_replay import IndexReplay
from actors.memory.commands import create
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.erasure import Receipt
from actors.memory.events import Event
from actors.memory.origins import RecordedBy
from actors.memory.ports import JsonObject, LexicalIndex, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL
from actors.memory.requests import ForkPoint
from actors.memory.search_requests import CubeHits, SearchCube
from actors.open_cubes import OpenCube, OpenCubes
from actors.projector import Projector
from actors.retrieval import CubeSearch, Seen, everything
from actors.row_deltas import RowDelta, joined
from actors.shard_archives import ShardArchives
from actors.shard_parts import ShardParts
from actors.snapshotting import Snapshotting
from actors.writer import ShardWriter

R = TypeVar("R")


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """Bounds of one shard: cubes in memory, commands waiting, events between snapshots, seconds for indexes."""

    open_cubes: int = 4096
    queue: int = 1024
    snapshot_events: int = 2000
    index_wait_s: float = 5.0
    consolidation: ConsolidationPace = field(default_factory=ConsolidationPace)


class Shard:
    """Journal first, then the indexes. Methods are safe to call from many threads."""

    def __init__(self, number: int, parts: ShardParts, limits: ShardLimits) -> None:
        self.number = number
        self._parts = parts
        self._limits = limits
        self._cubes = OpenCubes(
            parts.snapshots, parts.journal.read_cube, limits.open_cubes, parts.budget, self._footprint, self._evicted
        )
        self._closing = False
        self._damage: Corrupted | None = None
        self._promised: dict[str, int] = {}
        """Per cube that was written to since it was opened, the newest version that somebody was told of."""
        self._promising = threading.Lock()
        self._distrust_what_is_ahead()
        self._cubes.extend_tail(parts.journal.read(after=parts.snapshots.position))
        self._search = CubeSearch(
            parts.vectors, parts.lexical, parts.embedder.model_id, on_damage=self._on_damage, clock=parts.clock
        )
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
        self._forks = Forks(parts.journal, self._cubes.pinned, self.writer.submit)
        self.consolidator = Consolidator(self, self._search.vectors, parts.clock, self._quiet, limits.consolidation)
        self._snapshotting = self._snapshots_of(limits)
        self.archives = ShardArchives(
            parts, self._cubes, self._projector, lambda: self.writer, self._snapshotting.begin, self._search.vectors
        )
        self._erasing = self._erasing_of()
        self._snapshotting.when_due()
        self._replay.start()
        self._erasing.start()

    def _snapshots_of(self, limits: ShardLimits) -> Snapshotting:
        return Snapshotting(
            self.number,
            self._parts.journal,
            self._parts.snapshots,
            self._cubes,
            self.writer,
            limits.snapshot_events,
            on_damage=self._distrust_snapshots,
        )

    def _erasing_of(self) -> Erasing:
        return Erasing(
            self._parts.journal,
            self._cubes,
            self.writer,
            self._projector,
            self._parts.clock,
            self._snapshotting,
            forget_words=self._search.forget,
        )

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

    def ensure_forked(self, cube_id: str, point: ForkPoint, origin: Origin, settings: JsonObject) -> None:
        """Give a registered fork its first own event, if it has none; `settings` are owner, name and policy."""
        if self._forks.ensure_begun(cube_id, point, origin, settings):
            with self.reading(cube_id) as fork:
                inherited = fork.state.rows.inherited
            self._search.adopt(cube_id, point.cube_id, inherited)

    def search(self, cube_id: str, request: SearchCube, waited_s: float = 0.0, seen: Seen = everything) -> CubeHits:
        """`waited_s` is what the caller has waited already: so much less is waited for the indexes. `seen`: what it
        sees of the cube.
        """
        wait_s = max(0.0, self._limits.index_wait_s - waited_s)
        with self._cubes.pinned(cube_id) as cube:
            promised = self._promised.get(cube_id)
            return self._search.search(cube, request, self._projector, wait_s, promised, seen)

    def wait_indexed(self, cube_id: str, version: int) -> bool:
        """Whether the vectors reached a version of a cube within the limit's seconds. Words come from the cube itself;
        a search that needs them from storage waits for them.
        """
        return self._projector.wait(cube_id, version, self._limits.index_wait_s, (DENSE,))

    def erase(self, cube_id: str, decide: Callable[[CubeDraft], str], origin: Origin) -> Receipt:
        """As `Erasing.erase`."""
        return self._erasing.erase(cube_id, decide, origin)

    def mentioning(self, text: bytes) -> Iterator[Event]:
        """As `ports.Journal.mentioning`."""
        return self._parts.journal.mentioning(text)

    def first_salt(self, cube_id: str) -> bytes | None:
        """The salt of the cube's own first event; None without one, and once it was erased. Reads the journal."""
        first = next(iter(self._parts.journal.read_cube(cube_id)), None)
        return None if first is None else first.salt

    def verify(self, cube_id: str) -> list[str]:
        """What is wrong with the cube's chain and the shard's journal; in the writer's sequence."""
        return self.writer.run_exclusive(lambda: self._parts.journal.verify(cube_id)).result()

    def recorded_by(self, cube_id: str, versions: Sequence[int]) -> dict[int, RecordedBy]:
        """Who recorded some of a cube's events, from the journal, which reads the cube's events for it."""
        wanted = frozenset(versions)
        events = self._parts.journal.read_cube(cube_id, min(wanted) - 1)
        return {
            event.version: RecordedBy(event.principal, event.request_id) for event in events if event.version in wanted
        }

    # following the journal

    def _apply(self, events: list[Event]) -> None:
        changes = self._cubes.apply(events)
        rows = {event.cube_id: self._cubes.opened(event.cube_id).state.rows for event in events}
        for deltas in joined(RowDelta.of(event, change, rows[event.cube_id]) for event, change in changes):
            self._projector.feed(deltas)
            self.consolidator.feed(deltas)
        self._snapshotting.when_due()

    def _quiet(self) -> bool:
        """Whether nobody waits for the vectors of this shard."""
        return not self._projector.lag()[DENSE] and not self._projector.failures() and self.failure is None

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

    def _distrust_snapshots(self, damage: Corrupted) -> None:
        log.error("%s; shard %d will be opened anew and folded from its journal", damage, self.number)
        self._damage = damage

    def _footprint(self, cube_id: str) -> int:
        return self._search.held_bytes(cube_id)

    def _evicted(self, cube_id: str) -> None:
        self._search.forget(cube_id)
        self.consolidator.forget(cube_id)
        with self._promising:
            self._promised.pop(cube_id, None)

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
            "to_consolidate": self.consolidator.waiting(),
            "incidents": list(self._cubes.incidents),
            **self._cubes.status(),
        }

    def _indexed(self, channel: str, index: VectorIndex) -> int | None:
        """The position of an index, None while it is unknown: it has been away since the shard was opened."""
        return None if channel in self._replay.away else index.position

    def not_ready(self) -> list[str]:
        """What keeps the shard from answering in full, in words."""
        failures = self._projector.failures()
        waiting = self._erasing.unfinished
        erasing = [f"shard {self.number}: {waiting} cubes have an erasure that is being finished"] if waiting else []
        return erasing + [f"shard {self.number}: {channel} index: {why}" for channel, why in failures.items()]

    def close(self) -> None:
        """Drain the writer, snapshot what changed, store the indexes. What this cannot do, the next opening replays."""
        self._closing = True
        self._erasing.close()
        self._snapshotting.close()
        self.consolidator.close()
        self.writer.close()
        self._replay.close()
        self._projector.close()
        self._search.close()
        self._cubes.close()
        self._parts.close()
