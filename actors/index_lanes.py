"""The lanes of a projector: each brings one index up to the events, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from actors.memory.analysis import terms_of
from actors.memory.ports import Embedder, LexicalDocument, LexicalIndex, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL
from actors.memory.rows import EVERY_ROW
from actors.row_deltas import NO_POSITION, RowDelta

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProjectorPace:
    """How a projector groups its work.

    `embed_batch` texts go into one call of the embedder. Words are put once the first has waited `lexical_linger_s`, or
    somebody waits for them: a commit of their index costs as much as a hundred of them. Vectors are flushed when the
    lane has nothing else to do, or after `flush_rows` rows; until then a kill makes the next start embed them again.
    Pauses after failures double from `first_pause_s` to `longest_pause_s`. Up to `worth_waiting` rows of a replay are
    waited for by searches; a longer one goes on behind them.
    """

    embed_batch: int = 128
    lexical_batch: int = 2000
    lexical_linger_s: float = 1.0
    flush_rows: int = 512
    idle_s: float = 1.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 10.0
    worth_waiting: int = 64


class Lane(Protocol):
    """What a lane does with the deltas at the head of its queue."""

    name: str
    batch: int
    linger_s: float
    """How long work may gather, from its first piece on."""
    note: str
    """What the index said of the last rows that it forgot."""

    def project(self, deltas: Sequence[RowDelta], position: int) -> None:
        """Make the rows searchable before it returns; repeatable, when it raised half way."""
        ...

    def settle(self) -> None:
        """The queue is empty: make everything durable."""
        ...


def erased_rows(deltas: Iterable[RowDelta]) -> dict[str, list[int] | None]:
    """Cube -> the rows that a batch says are to be forgotten, None for all. No later event opens them again."""
    return _gathered((delta.cube_id, delta.erased) for delta in deltas)


def erased_places(deltas: Iterable[RowDelta]) -> dict[str, list[int] | None]:
    """As `erased_rows`, of the vectors that a cube holds itself: where they are among these."""
    return _gathered((delta.cube_id, delta.places) for delta in deltas)


def _gathered(said: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, list[int] | None]:
    found: dict[str, list[int] | None] = {}
    for cube_id, rows in said:
        known = found.get(cube_id, [])
        if rows == EVERY_ROW or (cube_id in found and known is None):
            found[cube_id] = None
        elif rows and known is not None:
            found[cube_id] = [*known, *rows]
    return found


def still_wanted(cube_id: str, row: int, erased: Mapping[str, Sequence[int] | None]) -> bool:
    """Whether a row of a batch is none of those that the same batch erases."""
    if cube_id not in erased:
        return True
    rows = erased[cube_id]
    return rows is not None and row not in rows


class DenseLane:
    """Embeds texts and puts their vectors; a text that comes back has its vector still."""

    name = DENSE
    linger_s = 0.0

    def __init__(self, vectors: VectorIndex, embedder: Embedder, pace: ProjectorPace) -> None:
        self.batch = pace.embed_batch
        self._vectors, self._embedder, self._pace = vectors, embedder, pace
        self._unflushed = 0
        self._position = NO_POSITION
        self.note = ""

    def project(self, deltas: Sequence[RowDelta], position: int) -> None:
        erased = erased_rows(deltas)
        forgotten = erased_places(deltas)
        if forgotten:  # first: it must not wait for an embedder that is down
            self.note = self._vectors.erase_rows(forgotten)
        new = [
            (delta.cube_id, delta.opened.text, delta.opened.place)
            for delta in deltas
            if delta.opened is not None
            and delta.opened.place is not None
            and still_wanted(delta.cube_id, delta.opened.row, erased)
        ]
        if new:
            embedded = self._embedder.embed([text for _, text, _ in new])
            chosen: dict[str, list[int]] = {}
            for number, (cube_id, _, _) in enumerate(new):
                chosen.setdefault(cube_id, []).append(number)
            for cube_id, numbers in chosen.items():
                self._vectors.put(cube_id, [new[number][2] for number in numbers], embedded[numbers])
        self._unflushed += len(new)
        self._position = max(self._position, position, self._vectors.position)
        if self._unflushed >= self._pace.flush_rows:
            self.settle()

    def settle(self) -> None:
        self._vectors.flush(self._position)
        self._unflushed = 0


class LexicalLane:
    """Analyses texts and puts their terms; an interval that ended is put again with its end."""

    name = LEXICAL

    def __init__(self, lexical: LexicalIndex, pace: ProjectorPace) -> None:
        self.batch, self.linger_s = pace.lexical_batch, pace.lexical_linger_s
        self._lexical = lexical
        self._position = NO_POSITION
        self.note = ""

    def project(self, deltas: Sequence[RowDelta], position: int) -> None:
        reached = max(self._position, position, self._lexical.position)
        erased = erased_rows(deltas)
        documents = [
            LexicalDocument(delta.cube_id, row.row, terms_of(row.text), row.since, row.until)
            for delta in deltas
            for row in (delta.closed, delta.opened)
            if row is not None and still_wanted(delta.cube_id, row.row, erased)
        ]
        if erased:
            self._lexical.erase_rows(erased)
        if documents:
            self._lexical.put(documents)
            self._lexical.flush(reached)  # what is not flushed is not found; a batch is all that waited
        self._position = reached  # only now: a failed batch must not be claimed by the next flush

    def settle(self) -> None:
        self._lexical.flush(self._position)


class Follower:
    """A lane's queue and thread. `changed` guards it and is notified of every step."""

    def __init__(self, lane: Lane, pace: ProjectorPace, changed: threading.Condition) -> None:
        self.lane = lane
        self.failure = ""
        self._pace = pace
        self._changed = changed
        self._queue: deque[RowDelta] = deque()
        self._fed: dict[str, int] = {}
        """Cube -> newest version in the queue; a cube without an entry has nothing waiting."""
        self._done: dict[str, int] = {}
        self._replaying = False
        self._held: list[RowDelta] = []
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

    def feed(self, deltas: Iterable[RowDelta]) -> None:
        if self._replaying:
            self._held.extend(deltas)
        else:
            self._append(deltas)

    def begin_replay(self) -> None:
        """Until the replay ends, no version counts as reached: what was missed is not known yet."""
        self._replaying = True

    def replay(self, deltas: Iterable[RowDelta]) -> None:
        """What was missed, in order of version within a cube. Versions may come twice, here and by `feed`."""
        self._append(deltas)

    def end_replay(self, reached: RowDelta) -> None:
        """All that was missed up to `reached`'s position is fed."""
        self._replayed = reached
        self._append([reached, *self._held])
        self._held, self._replaying = [], False

    def _append(self, deltas: Iterable[RowDelta]) -> None:
        for delta in deltas:
            self._queue.append(delta)
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
            batch = list(islice(self._queue, self.lane.batch))
            return batch, self._stopping

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
        for delta in batch:
            self._queue.popleft()
            if delta is self._replayed:
                self._replayed = None
            if delta.cube_id in self._fed:  # not when it came twice, and was done the first time
                self._done[delta.cube_id] = max(delta.version, self._done[delta.cube_id])
        for cube_id in {delta.cube_id for delta in batch} & self._fed.keys():
            if self._done[cube_id] >= self._fed[cube_id]:
                del self._fed[cube_id], self._done[cube_id]
        self._changed.notify_all()
