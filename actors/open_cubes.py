"""The cubes of a shard that are in memory: opened on first touch, evicted when cold.

A cube is its newest snapshot plus the tail: the events since the snapshots were written, kept in memory
whether their cubes are open or not. So opening a cube reads one snapshot and nothing of the journal.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from actors.collecting import making
from actors.covered_rows import CoveredRows
from actors.errors import Corrupted
from actors.forks import base_of
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import SNAPSHOT_FORMAT, state_of
from actors.memory.erasure import blank_rows, without_receipt
from actors.memory.events import Event, EventType
from actors.memory.footprint import event_bytes
from actors.memory.forking import begin, begin_erased
from actors.memory.ports import Snapshots
from actors.memory.rows import RowChange
from actors.memory_budget import MemoryBudget
from actors.snapshot_encoding import decoded, encoded

log = logging.getLogger(__name__)

Fold = Callable[[str], Iterable[Event]]
"""Every event of a cube from the journal: the way out when its snapshot cannot be read."""


_STORED_BYTES = 200
"""A memory in a snapshot, at least."""

Captured = tuple[str, CubeState | None, list[Event]]
"""A cube of the tail: its id, a copy of its state if it is open, and its events since the last snapshot."""


@dataclass(slots=True)
class OpenCube:
    """A cube in memory. `lock` guards `state`: the writer changes it, readers copy from it."""

    state: CubeState
    lock: threading.RLock = field(default_factory=threading.RLock)
    pins: int = 0
    covered: CoveredRows = field(default_factory=CoveredRows)


class OpenCubes:
    """Safe to use from many threads. A cube may be changed only while it is pinned."""

    def __init__(
        self,
        snapshots: Snapshots,
        fold: Fold,
        limit: int,
        budget: MemoryBudget,
        footprint: Callable[[str], int],
        on_evict: Callable[[str], None],
    ) -> None:
        """At most `limit` cubes stay open beside those in use, and what `budget` lets. `footprint(cube_id)` is what an
        open cube holds in bytes outside of its state; `on_evict(cube_id)` drops it.
        """
        self._snapshots = snapshots
        self._fold = fold
        self._limit = limit
        self._budget = budget
        self._footprint = footprint
        self._on_evict = on_evict
        self._guard = threading.Lock()
        self._open: OrderedDict[str, OpenCube] = OrderedDict()
        self._loading: dict[str, threading.Event] = {}
        self._tail: dict[str, list[Event]] = {}
        self.tail_events = 0
        self.tail_bytes = 0
        self.incidents: list[str] = []

    def extend_tail(self, events: Iterable[Event]) -> None:
        """Take events in that are committed, but in no snapshot yet."""
        with self._guard:
            self._extend(events)

    def _extend(self, events: Iterable[Event]) -> None:
        for event in events:
            self._tail.setdefault(event.cube_id, []).append(event)
            self.tail_events += 1
            self.tail_bytes += event_bytes(event)
        self._budget.tail(self, self.tail_bytes)

    @contextmanager
    def pinned(self, cube_id: str) -> Iterator[OpenCube]:
        """The cube, opened when it was not, and kept in memory until the block ends."""
        cube = self._pin(cube_id)
        try:
            yield cube
        finally:
            self._unpin(cube_id, cube)

    def _pin(self, cube_id: str) -> OpenCube:
        while True:
            with self._guard:
                cube = self._open.get(cube_id)
                if cube is not None:
                    cube.pins += 1
                    self._open.move_to_end(cube_id)
                    return cube
                loading = self._loading.get(cube_id)
                if loading is None:
                    loading = self._loading[cube_id] = threading.Event()
                    break
            loading.wait()
        try:
            cube = OpenCube(self._load(cube_id), pins=1)
            with self._guard:
                self._open[cube_id] = cube
            return cube
        finally:
            with self._guard:
                del self._loading[cube_id]
            loading.set()

    def _unpin(self, cube_id: str, cube: OpenCube) -> None:
        size_bytes = cube.state.held_bytes + cube.state.table_bytes + self._footprint(cube_id)
        with self._guard:
            cube.pins -= 1
            if self._open.get(cube_id) is cube:
                self._budget.used(self, cube_id, size_bytes)
            over = len(self._open) - self._limit
            cold = [name for name, held in self._open.items() if held.pins == 0][:over] if over > 0 else []
        for name in cold:
            self.evict(name)
        self._budget.trim()

    def evict(self, cube_id: str) -> bool:
        """Drop a cube from memory; False when it is in use."""
        with self._guard:
            cube = self._open.get(cube_id)
            if cube is not None and cube.pins:
                return False
            self._open.pop(cube_id, None)
            self._budget.left(self, cube_id)
        self._on_evict(cube_id)
        return True

    def close(self) -> None:
        """Let the others of the host have the memory: nothing is opened after this."""
        with self._guard:
            self._open.clear()
        self._budget.forget(self)

    def _load(self, cube_id: str) -> CubeState:
        with self._guard:
            tail = list(self._tail.get(cube_id, ()))
        return self._load_with(cube_id, tail)

    def _load_with(self, cube_id: str, tail: list[Event]) -> CubeState:
        """The cube's snapshot, and the events of `tail` on it; from the journal alone when the snapshot is damaged."""
        try:
            stored = self._snapshots.read(cube_id) or b""
            with making(len(stored) // _STORED_BYTES):
                data = decoded(stored) if stored else None
                older = data is not None and data["format"] < SNAPSHOT_FORMAT
                state = CubeState(cube_id) if data is None or older else state_of(data)
            if older:  # of an earlier version: the next snapshot writes it as this one does
                tail = self._folded(state, tail)
        except Corrupted as damaged:
            if str(damaged) not in self.incidents:
                self.incidents.append(str(damaged))
            log.error("%s; folding cube %s from the journal instead", damaged, cube_id)
            state = CubeState(cube_id)
            tail = self._folded(state, tail)
        if tail and tail[0].version > state.version + 1 and tail[0].type is not EventType.CUBE_FORKED:
            # of a cube that was taken in whole, and is in no snapshot yet
            state = CubeState(cube_id)
            tail = self._folded(state, tail)
        state.blank_rows.update(blank_rows(tail))
        for event in tail:
            if event.type is EventType.CUBE_FORKED and not state.version:
                if event.content is None:
                    begin_erased(state, event)
                else:
                    begin(state, base_of(event, self.pinned))
            if event.version > state.version:
                state.apply(event)
        return state

    def adopt(self, state: CubeState, last: Event) -> None:
        """Take in the state of a (pinned) cube whose events are all committed; `last` is the last of them. Until there
        is a snapshot of it, the journal is where it comes from.
        """
        with self._guard:
            cube = self._open[state.cube_id]
            self._extend([last])
        with cube.lock:
            cube.state = state

    def _folded(self, state: CubeState, tail: list[Event]) -> list[Event]:
        """The cube's events up to the end of `tail`, all when it is empty; the next snapshot writes the cube anew."""
        cube_id, every = state.cube_id, list(self._fold(state.cube_id))
        state.blank_rows.update(blank_rows(every))
        events = [event for event in every if not tail or event.version <= tail[-1].version]
        if events:
            with self._guard:
                self._tail.setdefault(cube_id, [events[-1]])
        return events

    def opened(self, cube_id: str) -> OpenCube:
        """A cube that the caller knows to be pinned."""
        with self._guard:
            return self._open[cube_id]

    def apply(self, events: list[Event]) -> list[tuple[Event, RowChange]]:
        """Fold committed events into their (pinned) cubes, in order; those of one cube that stand together at once,
        so that no reader sees half of a command.
        """
        changes = []
        with self._guard:
            self._extend(events)
            cubes = {event.cube_id: self._open[event.cube_id] for event in events}
        bases = {e.cube_id: base_of(e, self.pinned) for e in events if e.type is EventType.CUBE_FORKED}
        for cube_id, group in groupby(events, key=lambda event: event.cube_id):
            cube, together = cubes[cube_id], list(group)
            with cube.lock, making(_reach(cube.state, together)):
                if cube_id in bases:
                    begin(cube.state, bases.pop(cube_id))
                changes += [(event, cube.state.apply(event)) for event in together]
        return changes

    # snapshots

    def capture(self) -> list[Captured]:
        """For each cube of the tail: its id, a copy of its state if it is open, else None and its tail events.

        Call it in the writer's sequence: the copies then stand at the journal's position.
        """
        with self._guard:
            tails = {cube_id: list(events) for cube_id, events in self._tail.items()}
            open_now = {cube_id: self._open.get(cube_id) for cube_id in tails}
        captured: list[Captured] = []
        for cube_id, events in tails.items():
            cube = open_now[cube_id]
            if cube is None:
                captured.append((cube_id, None, events))
                continue
            with cube.lock:
                captured.append((cube_id, cube.state.copy(), events))
        return captured

    def encode(self, captured: Captured) -> tuple[str, bytes]:
        """A captured cube as the bytes of its snapshot."""
        cube_id, state, events = captured
        if state is None:
            state = self._load_with(cube_id, events)
        with making(len(state.history)):
            return cube_id, encoded(state)

    def trim(self, position: int) -> None:
        """Forget the tail up to a journal position that the snapshots now reach."""
        with self._guard:
            kept = {
                cube_id: [event for event in events if event.position > position]
                for cube_id, events in self._tail.items()
            }
            self._tail = {cube_id: events for cube_id, events in kept.items() if events}
            left = [event for events in self._tail.values() for event in events]
            self.tail_events, self.tail_bytes = len(left), sum(map(event_bytes, left))
            self._budget.tail(self, self.tail_bytes)

    def unfinished(self) -> list[str]:
        """Cubes with an erasure in the tail that has no receipt there."""
        with self._guard:
            begun = {c: without_receipt(events) for c, events in self._tail.items()}
        return [cube_id for cube_id, roots in begun.items() if roots]

    def status(self) -> dict[str, int]:
        with self._guard:
            return {
                "open_cubes": len(self._open),
                "tail_events": self.tail_events,
                "tail_bytes": self.tail_bytes,
            }


def _reach(state: CubeState, events: Sequence[Event]) -> int:
    """How many memories of a cube the events may change."""
    whole = any(event.type is EventType.CUBE_ROLLED_BACK for event in events)
    return len(state.history) if whole else len(events)
