from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from secrets import token_bytes

from actors.errors import Corrupted
from actors.memory.commands import add, create
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.cube_snapshots import state_of
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event
from actors.memory.requests import AddMemories, NewMemory
from actors.memory_budget import MemoryBudget
from actors.open_cubes import OpenCubes
from actors.snapshot_encoding import decoded

SEALER = Sealer(b"k" * 32, lambda n: bytes(n))
IDS = iter(range(10_000))


class DictSnapshots:
    def __init__(self) -> None:
        self.position = 0
        self.stored: dict[str, bytes] = {}
        self.broken: set[str] = set()
        self.reads = 0

    def write(self, position: int, states: Iterable[tuple[str, bytes]], anew: Collection[str] = ()) -> int:
        self.stored.update(states)
        self.position = position
        return len(anew)

    def read(self, cube_id: str) -> bytes | None:
        self.reads += 1
        if cube_id in self.broken:
            raise Corrupted(f"snapshot of {cube_id} is damaged")
        return self.stored.get(cube_id)

    def discard(self) -> None:
        self.stored.clear()


class Rig:
    """OpenCubes with a list for a journal."""

    def __init__(self, limit: int = 2, budget: MemoryBudget | None = None) -> None:
        self.snapshots = DictSnapshots()
        self.journal: list[Event] = []
        self.evicted: list[str] = []
        self.budget = budget or MemoryBudget()
        self.outside: dict[str, int] = {}
        self.cubes = self.open(limit)

    def open(self, limit: int) -> OpenCubes:
        return OpenCubes(
            self.snapshots, self.fold, limit, self.budget, lambda cube: self.outside.get(cube, 0), self.evicted.append
        )

    def fold(self, cube_id: str) -> list[Event]:
        return [event for event in self.journal if event.cube_id == cube_id]

    def add(self, cube_id: str, text: str) -> None:
        with self.cubes.pinned(cube_id) as cube:
            draft = CubeDraft(cube.state, SEALER)
            create(draft, Origin("o", "r", 1), "o", cube_id, {})
            request = AddMemories((NewMemory(text),))
            add(draft, Origin("o", "r", next(IDS)), request, lambda n: bytes(n))
            events = [e.at_position(len(self.journal) + i + 1) for i, e in enumerate(draft.events)]
            self.journal += events
            self.cubes.apply(events)

    def snapshot(self) -> None:
        captured = self.cubes.capture()
        self.snapshots.write(len(self.journal), [self.cubes.encode(item) for item in captured])
        self.cubes.trim(len(self.journal))

    def texts(self, cube_id: str) -> list[str]:
        with self.cubes.pinned(cube_id) as cube:
            return [m.text for m in cube.state.memories(None)]


def test_cold_cubes_leave_memory_and_come_back_whole() -> None:
    rig = Rig(limit=2)
    for n in range(6):
        rig.add(f"c{n}", f"text {n}")
    assert rig.cubes.status()["open_cubes"] <= 2
    assert [rig.texts(f"c{n}") for n in range(6)] == [[f"text {n}"] for n in range(6)]
    assert set(rig.evicted) >= {"c0", "c1", "c2", "c3"}


def test_a_cube_is_its_snapshot_and_the_tail() -> None:
    rig = Rig(limit=1)
    rig.add("a", "before")
    rig.snapshot()
    assert rig.cubes.tail_events == 0
    rig.add("a", "after")
    rig.add("b", "pushes a out")
    assert rig.texts("a") == ["before", "after"]


def test_snapshots_cover_cubes_that_are_no_longer_open() -> None:
    rig = Rig(limit=1)
    rig.add("a", "one")
    rig.add("b", "pushes a out")
    rig.snapshot()
    fresh = rig.open(4)
    with fresh.pinned("a") as cube:
        assert [m.text for m in cube.state.memories(None)] == ["one"]


def test_a_damaged_snapshot_is_named_and_the_cube_folded_from_the_journal() -> None:
    rig = Rig(limit=1)
    rig.add("a", "kept")
    rig.snapshot()
    rig.snapshots.broken.add("a")
    rig.add("b", "pushes a out")
    assert rig.texts("a") == ["kept"]
    assert rig.cubes.incidents == ["snapshot of a is damaged"]
    rig.snapshot()
    rig.snapshots.broken.clear()
    rig.add("c", "pushes a out again")
    assert rig.texts("a") == ["kept"]


def test_a_copy_taken_for_a_snapshot_is_not_reached_by_later_events() -> None:
    rig = Rig()
    rig.add("a", "one")
    captured = rig.cubes.capture()
    rig.add("a", "two")
    stored = dict(map(rig.cubes.encode, captured))
    state = state_of(decoded(stored["a"]))
    assert [m.text for m in state.memories(None)] == ["one"]


def test_many_threads_open_a_cube_once() -> None:
    rig = Rig(limit=4)
    rig.add("a", "one")
    rig.snapshot()
    fresh = rig.open(4)
    rig.snapshots.reads = 0
    start = threading.Barrier(8)

    def read() -> None:
        start.wait()
        with fresh.pinned("a") as cube:
            assert len(cube.state.history) == 1

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rig.snapshots.reads == 1


class WatchedLock:
    """Notes what anyone who waits for the lock would see: the number of memories whenever it is let go."""

    def __init__(self, state: CubeState) -> None:
        self.state = state
        self.seen: list[int] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.seen.append(len(self.state.history))


def test_what_was_committed_together_appears_together() -> None:
    rig = Rig()
    rig.add("a", "zero")
    with rig.cubes.pinned("a") as cube:
        draft = CubeDraft(cube.state, SEALER)
        add(draft, Origin("o", "r", next(IDS)), AddMemories((NewMemory("one"), NewMemory("two"))), token_bytes)
        cube.lock = lock = WatchedLock(cube.state)  # type: ignore[assignment]
        rig.cubes.apply(draft.events)
    assert lock.seen == [3]


def test_a_damaged_file_is_reported_once_however_often_it_is_met() -> None:
    rig = Rig(limit=1)
    rig.add("a", "kept")
    rig.snapshot()
    rig.snapshots.broken.add("a")
    for _ in range(3):
        rig.add("b", "pushes a out")
        assert rig.texts("a") == ["kept"]
    assert rig.cubes.incidents == ["snapshot of a is damaged"]
