"""After an opening: each index is brought up to the journal in the background, while the shard answers already."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from actors.errors import StorageUnavailable
from actors.memory.ports import Journal, LexicalIndex, VectorIndex
from actors.open_cubes import OpenCube
from actors.projector import Projector
from actors.row_deltas import RowDelta

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Between two tries of an index that cannot be brought up; they double."""

END_S = 10.0


class IndexReplay:
    """Made before the first event is fed, started once the shard is whole.

    `indexes` maps channels to indexes, each brought up by a thread of its own; `reading(cube_id)` opens a cube, locked.
    """

    def __init__(
        self,
        shard: int,
        journal: Journal,
        indexes: Mapping[str, VectorIndex | LexicalIndex],
        projector: Projector,
        reading: Callable[[str], AbstractContextManager[OpenCube]],
    ) -> None:
        self._shard = shard
        self._journal = journal
        self._indexes = indexes
        self._projector = projector
        self._reading = reading
        self._position = journal.position
        """The journal's now: what comes later is fed."""
        self._closing = threading.Event()
        self.away: set[str] = set()
        """Channels whose index has not been reached since the shard was opened."""
        self._missed = [channel for channel in indexes if self._has_missed(channel)]
        projector.begin_replay(self._missed)
        self._threads = [
            threading.Thread(target=self._run, args=(channel,), name=f"replay-{shard}-{channel}", daemon=True)
            for channel in self._missed
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop after the cube that is being replayed; the rest is missed again by the next opening."""
        self._closing.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(END_S)

    def _has_missed(self, channel: str) -> bool:
        """Whether an index has not followed every event, or is away, so that nobody knows."""
        try:
            return self._reached(channel) < self._position
        except StorageUnavailable as error:
            log.warning("the %s index of shard %d follows later: %s", channel, self._shard, error)
            self._projector.fail(channel, f"{type(error).__name__}: {error}")
            self.away.add(channel)
            return True

    def _reached(self, channel: str) -> int:
        """How far an index has come. One that is ahead of the journal follows another history (it was put back from a
        copy, say) and is cleared. Raises StorageUnavailable while the index is away.
        """
        index = self._indexes[channel]
        reached = index.position
        self.away.discard(channel)
        if reached <= self._position:
            return reached
        log.error("the %s index of shard %d is ahead of its journal: rebuilding it", channel, self._shard)
        index.clear()
        return 0

    def _run(self, channel: str) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                self._replay(channel)
                return
            except BaseException as error:  # noqa: BLE001 - the outer loop of a thread; a panic in Rust is no Exception
                log.warning("shard %d: the %s index cannot be brought up yet: %s", self._shard, channel, error)
                self._projector.fail(channel, f"{type(error).__name__}: {error}")
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _replay(self, channel: str) -> None:
        """The rows of the events beyond the position that an index reached."""
        versions: dict[str, tuple[int, int]] = {}
        for event in self._journal.read(after=self._reached(channel)):
            if event.position > self._position:
                break
            first, _ = versions.get(event.cube_id, (event.version, 0))
            versions[event.cube_id] = (first, event.version)
        for cube_id, (first, last) in versions.items():
            if self._closing.is_set():
                return
            with self._reading(cube_id) as cube:
                missed = [delta for delta in RowDelta.since(cube.state, first) if delta.version <= last]
            self._projector.replay(missed, channel)
        self._projector.end_replay(self._position, channel)
