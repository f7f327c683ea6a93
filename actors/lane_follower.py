"""What drives a lane of a projector: its queue of events, and the thread that works them off."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from actors.delta_queue import DeltaQueue
from actors.index_lanes import Lane, ProjectorPace
from actors.row_deltas import RowDelta, marks

log = logging.getLogger(__name__)


class Follower:
    """A lane's queue and thread. `changed` guards it and is notified of every step."""

    def __init__(self, lane: Lane, pace: ProjectorPace, changed: threading.Condition) -> None:
        self.lane = lane
        self.failure = ""
        self._pace = pace
        self._changed = changed
        self._queue = DeltaQueue()
        self._fed: dict[str, int] = {}
        """Cube -> newest version in the queue; a cube without an entry has nothing waiting."""
        self._done: dict[str, int] = {}
        self._replaying = False
        self._held = DeltaQueue()
        """Committed while a replay is being fed. It goes behind it, or its positions would hide what is missed."""
        self._replayed: RowDelta | None = None
        """The end of a replay, as long as it waits in the queue."""
        self._unsettled = False
        self._hurried = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"projector-{lane.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    # called with the condition held

    def feed(self, deltas: Sequence[RowDelta]) -> None:
        wanted = self.lane.wanted(deltas)
        if self._replaying:
            self._held.append(wanted)
        else:
            self._append(wanted)

    def begin_replay(self) -> None:
        """Until the replay ends, no version counts as reached: what was missed is not known yet."""
        self._replaying = True

    def replay(self, deltas: Sequence[RowDelta]) -> None:
        """What was missed, in order of version within a cube. Versions may come twice, here and by `feed`."""
        self._append(deltas)

    def end_replay(self, reached: RowDelta) -> None:
        """All that was missed up to `reached`'s position is fed."""
        self._replayed = reached
        self._append([reached])
        for deltas in self._held.parts():
            self._append(deltas)
        self._held, self._replaying = DeltaQueue(), False

    def _append(self, deltas: Sequence[RowDelta]) -> None:
        self._queue.append(deltas)
        for delta in marks(deltas):
            if delta.cube_id not in self._fed:
                self._done[delta.cube_id] = delta.version - 1
            self._fed[delta.cube_id] = max(delta.version, self._fed.get(delta.cube_id, 0))

    def reached(self, cube_id: str, version: int) -> bool:
        if self._replaying:
            return False
        return cube_id not in self._fed or self._done[cube_id] >= version

    def version(self, cube_id: str, newest: int) -> int:
        """Up to which version of a cube everything is found; `newest` is the cube's own."""
        if self._replaying:
            return 0
        return self._done.get(cube_id, newest)

    def waiting(self) -> int:
        return len(self._queue) + len(self._held)

    @property
    def far_behind(self) -> bool:
        """Whether a replay has so much left that waiting for it is no use."""
        return (self._replaying or self._replayed is not None) and self.waiting() > self._pace.worth_waiting

    def hurry(self) -> None:
        """Somebody waits: gather no longer."""
        self._hurried = True
        self._changed.notify_all()

    # its own thread

    def stop(self, timeout_s: float) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = self._pace.first_pause_s
        while True:
            batch, stopping = self._next_batch()
            if stopping and not self.lane.linger_s:
                batch = []  # it is replayed; what only gathered is quickly done
            if stopping and not batch and not self._unsettled:
                return
            try:
                self._work(batch)
            except BaseException as error:  # noqa: BLE001 - outer loop: an index that is down delays freshness, nothing
                # else; a panic in its Rust code, which is no Exception, included
                if stopping:
                    log.warning("%s projection is not stored, it will be replayed: %s", self.lane.name, error)
                    return
                log.warning("%s projection failed, next try in %.1f s: %s", self.lane.name, pause_s, error)
                with self._changed:
                    self.failure = f"{type(error).__name__}: {error}"
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stopping, pause_s)
                pause_s = min(2 * pause_s, self._pace.longest_pause_s)
            else:
                pause_s = self._pace.first_pause_s
                with self._changed:
                    self._finish(batch)

    def _next_batch(self) -> tuple[list[RowDelta], bool]:
        """The deltas to work on next, none when it is time to settle; and whether to stop instead."""
        with self._changed:
            idle_s = self._pace.idle_s if self._unsettled else None
            self._changed.wait_for(lambda: bool(self._queue) or self._stopping, idle_s)
            if self._queue and self.lane.linger_s:
                self._changed.wait_for(self._gathered, self.lane.linger_s)
            self._hurried = False
            return self._queue.head(self.lane.batch), self._stopping

    def _gathered(self) -> bool:
        return self._hurried or self._stopping or len(self._queue) >= self.lane.batch

    def _work(self, batch: list[RowDelta]) -> None:
        if batch:
            self.lane.project(batch, max(delta.position for delta in batch))
            self._unsettled = True
        else:
            self.lane.settle()
            self._unsettled = False

    def _finish(self, batch: list[RowDelta]) -> None:
        self.failure = ""
        self._queue.drop(len(batch))
        for delta in batch:
            if delta is self._replayed:
                self._replayed = None
            if delta.cube_id in self._fed:  # not when it came twice, and was done the first time
                self._done[delta.cube_id] = max(delta.version, self._done[delta.cube_id])
        for cube_id in {delta.cube_id for delta in batch} & self._fed.keys():
            if self._done[cube_id] >= self._fed[cube_id]:
                del self._fed[cube_id], self._done[cube_id]
        self._changed.notify_all()
