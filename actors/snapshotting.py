"""When a shard's snapshots are written, and how: behind its back, and never past an erasure that is not done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from actors.errors import Corrupted, MemosError
from actors.memory.cube_draft import CubeDraft
from actors.memory.ports import Journal, Snapshots
from actors.open_cubes import Captured, OpenCubes
from actors.writer import ShardWriter

log = logging.getLogger(__name__)

TAIL_BYTES = 32 << 20
"""Events in no snapshot yet that a shard keeps in memory, before the next snapshot is due whatever their number."""


class Snapshotting:
    """Of one shard. `lock` is held by whoever writes snapshots; `on_damage` is told of a damaged file that may hold
    what is to be erased.
    """

    def __init__(
        self,
        shard: int,
        journal: Journal,
        snapshots: Snapshots,
        cubes: OpenCubes,
        writer: ShardWriter[CubeDraft],
        every_events: int,
        on_damage: Callable[[Corrupted], None],
    ) -> None:
        self.lock = threading.Lock()
        self._shard = shard
        self._journal = journal
        self._snapshots = snapshots
        self._cubes = cubes
        self._writer = writer
        self._every_events = every_events
        self._on_damage = on_damage
        self._closing = False
        self._due_at = every_events
        """Length of the tail at which the next snapshot is written."""
        self._due_at_bytes = TAIL_BYTES

    def when_due(self) -> None:
        """Begin to write a snapshot in the background, if it is time. Returns at once."""
        due = self._cubes.tail_events >= self._due_at or self._cubes.tail_bytes >= self._due_at_bytes
        if not due or self._closing or not self.lock.acquire(blocking=False):
            return
        threading.Thread(target=self._in_background, name=f"snapshot-{self._shard}").start()

    def begin(self) -> None:
        """Write a snapshot, whatever the tail holds; one that is under way already is followed by the next."""
        if not self._closing and self.lock.acquire(blocking=False):
            self._in_background()

    def _in_background(self) -> None:
        try:
            if not self._cubes.unfinished():
                self._write()
        except Exception:  # the outer loop of a background thread: the journal still holds everything
            log.exception("snapshot of shard %d failed; the next one will cover it", self._shard)
            self._due_at = self._cubes.tail_events + self._every_events
            self._due_at_bytes = self._cubes.tail_bytes + TAIL_BYTES
        finally:
            self.lock.release()

    def _write(self) -> None:
        def capture() -> tuple[int, list[Captured]]:
            return self._journal.position, self._cubes.capture()

        position, captured = self._writer.run_exclusive(capture).result()
        if position > self._snapshots.position:
            self.store(position, captured)
        else:
            self._cubes.trim(position)

    def store(self, position: int, captured: list[Captured], anew: Collection[str] = ()) -> int:
        """Store what was captured at a position, nothing older of the cubes in `anew` staying on storage; how many
        files held some. Call it with the lock held. Raises StorageError.
        """
        try:
            replaced = self._snapshots.write(position, (self._cubes.encode(item) for item in captured), anew)
        except Corrupted as damaged:
            if anew:
                self._snapshots.discard()  # it may hold what is to be erased; the next opening folds the journal
                self._on_damage(damaged)
            raise
        self._cubes.trim(position)
        # A snapshot writes whole cubes: a quarter more events before the next keeps its cost a constant part of theirs.
        written = sum(events[-1].version for _, _, events in captured)
        self._due_at = max(self._every_events, written // 4)
        self._due_at_bytes = TAIL_BYTES
        return replaced

    def close(self) -> None:
        """Write a last snapshot of what changed. What this cannot do, the next opening folds."""
        closed, self._closing = self._closing, True
        with self.lock:
            if closed or not self._cubes.tail_events or self._writer.failure or self._cubes.unfinished():
                return
            try:
                self._write()
            except MemosError as error:
                log.error("shard %d closes without a snapshot, the next opening folds: %s", self._shard, error)
