"""The budget of a host's open cubes: the coldest of all shards leave, never one in use."""

from __future__ import annotations

import threading

import pytest

from actors.memory_budget import MemoryBudget
from tests.unit.test_open_cubes import Rig

MIB = 1 << 20


@pytest.fixture
def budget() -> MemoryBudget:
    return MemoryBudget(10 * MIB)


@pytest.fixture
def shards(budget: MemoryBudget) -> list[Rig]:
    """Two shards of a host whose cubes hold 3 MiB each outside of their state."""
    rigs = [Rig(100, budget), Rig(100, budget)]
    for number, rig in enumerate(rigs):
        rig.outside = {f"{number}-{n}": 3 * MIB for n in range(4)}
    return rigs


def _open(rig: Rig) -> set[str]:
    return set(rig.cubes._open)


def test_the_least_recently_used_cube_of_any_shard_leaves(shards: list[Rig], budget: MemoryBudget) -> None:
    first, second = shards
    first.add("0-0", "x")
    second.add("1-0", "x")
    first.add("0-1", "x")
    second.texts("1-0")
    second.add("1-1", "x")
    assert (_open(first), _open(second)) == ({"0-1"}, {"1-0", "1-1"})
    assert first.evicted == ["0-0"]
    assert budget.status()["open_bytes"] <= 10 * MIB
    assert (budget.status()["open_cubes"], budget.status()["evictions"]) == (3, 1)


def test_a_cube_in_use_stays(shards: list[Rig]) -> None:
    first, second = shards
    first.add("0-0", "x")
    with first.cubes.pinned("0-0"):
        for n in range(4):
            second.add(f"1-{n}", "x")
        assert "0-0" in _open(first)
    for n in range(4):
        second.texts(f"1-{n}")
    assert "0-0" not in _open(first)


def test_a_cube_larger_than_the_budget_works_alone(shards: list[Rig], budget: MemoryBudget) -> None:
    first, second = shards
    second.add("1-0", "x")
    first.outside["0-0"] = 50 * MIB
    first.add("0-0", "x")
    assert (_open(first), _open(second)) == ({"0-0"}, set())
    reads = first.snapshots.reads
    assert first.texts("0-0") == ["x"]
    assert first.snapshots.reads == reads
    second.texts("1-0")
    assert (_open(first), _open(second)) == (set(), {"1-0"})
    assert budget.status()["open_bytes"] < 4 * MIB


def test_a_cube_that_grows_outside_of_its_state_is_counted_when_it_is_used(
    shards: list[Rig], budget: MemoryBudget
) -> None:
    first, _ = shards
    first.add("0-0", "x")
    first.add("0-1", "x")
    first.outside["0-1"] = 9 * MIB
    first.texts("0-1")
    assert _open(first) == {"0-1"}


def test_the_tail_counts_and_a_snapshot_gives_it_back(shards: list[Rig], budget: MemoryBudget) -> None:
    first, _ = shards
    for _ in range(20):
        first.add("small", "y" * 20_000)
    assert first.cubes.tail_bytes > 400_000
    with_tail = budget.status()["open_bytes"]
    tail_bytes = first.cubes.tail_bytes
    first.snapshot()
    assert first.cubes.tail_bytes == 0
    assert budget.status()["open_bytes"] == with_tail - tail_bytes


def test_a_shard_that_closes_gives_everything_back(shards: list[Rig], budget: MemoryBudget) -> None:
    for rig in shards:
        rig.add("a", "x")
        rig.cubes.close()
    assert (budget.status()["open_bytes"], budget.status()["open_cubes"]) == (0, 0)


def test_many_threads_leave_the_account_right(shards: list[Rig], budget: MemoryBudget) -> None:
    for number, rig in enumerate(shards):
        for n in range(4):
            rig.add(f"{number}-{n}", "x")
            rig.snapshot()

    def read(number: int) -> None:
        for step in range(200):
            assert shards[number % 2].texts(f"{number % 2}-{(step * (number + 1)) % 4}") == ["x"]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = budget.status()
    assert counted["open_cubes"] == len(_open(shards[0])) + len(_open(shards[1]))
    assert counted["open_bytes"] <= 10 * MIB
