from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.errors import (
    Corrupted,
    CubeNotFound,
    Fenced,
    Forbidden,
    MemoryNotFound,
    MemosError,
    StorageUnavailable,
    VersionNotFound,
)
from actors.memory import commands
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.governance import Caller, CubeAccess, Role
from actors.memory.identity import RandomBytes
from actors.memory.lifecycle import State
from actors.memory.ports import Vectors
from actors.memory.requests import Added, AddMemories, ChangeMemory, ListMemories, Moment, MoveMemory, Wait
from actors.memory.search_requests import CubeHits, SearchCube
from actors.memory_budget import MemoryBudget
from actors.shard import Shard, ShardLimits
from tests.unit.hosts import OWNER, PlainRig, query, texts
from tests.unit.test_projection import eventually


@pytest.fixture
def rig() -> PlainRig:
    rig = PlainRig()
    rig.catalogue.register("c")
    return rig


def _found(rig: PlainRig, text: str, cube: str = "c") -> list[str]:
    return [hit.memory.text for hit in rig.host.search(OWNER, cube, query(text, rig.embedder)).hits]


def test_what_was_added_is_found_at_once(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", texts("my dog is called Biscuit", "the weather is fine"))
    assert _found(rig, "what is the dog called")[0] == "my dog is called Biscuit"


def test_a_search_waits_for_an_add_that_did_not(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", replace(texts("late bloomers"), wait=Wait.JOURNAL))
    assert _found(rig, "late bloomers") == ["late bloomers"]


def test_nobody_waits_for_what_another_is_just_adding(rig: PlainRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.host.add(OWNER, "c", texts("old tea"))
    question, gate, embed = query("tea", rig.embedder), threading.Event(), rig.embedder.embed

    def held_up(contents: Sequence[str]) -> Vectors:
        assert gate.wait(10)
        return embed(contents)

    monkeypatch.setattr(rig.embedder, "embed", held_up)
    adding = threading.Thread(target=lambda: rig.host.add(OWNER, "c", texts("new tea")))
    adding.start()
    eventually(lambda: rig.host.read_cube(OWNER, "c").version == 3)
    found = rig.host.search(OWNER, "c", question)
    assert found.degraded == ()
    assert [hit.memory.text for hit in found.hits] == ["old tea"]
    assert rig.host.search(OWNER, "c", replace(question, as_of=Moment(version=2))) == found
    gate.set()
    adding.join(10)
    assert {hit.memory.text for hit in rig.host.search(OWNER, "c", question).hits} == {"old tea", "new tea"}


def test_searches_of_one_call_wait_for_the_index_together_not_one_after_the_other(
    rig: PlainRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr("actors.host_reading.time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    waited: list[float] = []

    def search(shard: Shard, cube_id: str, request: SearchCube, waited_s: float, seen: object) -> CubeHits:
        waited.append(waited_s)
        return CubeHits(())

    monkeypatch.setattr(Shard, "search", search)
    asked = [(OWNER, query(text, rig.embedder)) for text in ("one", "two", "three")]
    assert rig.host.search_many("c", asked) == [CubeHits(())] * 3
    assert waited == [1.0, 2.0, 3.0]


def test_each_of_several_adds_gets_its_own_answer_and_a_bug_in_one_harms_no_other(
    rig: PlainRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Caller("nobody", "key-n", "req")
    decide = commands.add

    def faulty(draft: CubeDraft, origin: Origin, request: AddMemories, random_bytes: RandomBytes) -> Added:
        if request.memories[0].text == "bug":
            raise TypeError("a bug")
        return decide(draft, origin, request, random_bytes)

    monkeypatch.setattr(commands, "add", faulty)
    asked = [(OWNER, texts("tea")), (stranger, texts("hidden")), (OWNER, texts("bug")), (OWNER, texts("milk"))]
    first, hidden, bug, last = rig.host.add_many("c", asked)
    assert isinstance(hidden, CubeNotFound)
    assert type(bug) is MemosError
    assert isinstance(first, Added) and isinstance(last, Added)
    assert {memory.text for memory in rig.host.list_memories(OWNER, "c", ListMemories()).items} == {"tea", "milk"}


def test_a_registered_cube_gets_its_first_event_when_it_is_touched(rig: PlainRig) -> None:
    view = rig.host.read_cube(OWNER, "c")
    assert (view.name, view.owner, view.version, view.grants) == ("Cube c", "olga", 1, {"olga": "owner"})


def test_what_is_archived_or_superseded_is_found_in_the_past_alone(rig: PlainRig) -> None:
    added = rig.host.add(OWNER, "c", texts("I live in Rome"))
    memory_id = added.memories[0].id
    rig.host.change_memory(OWNER, "c", ChangeMemory(memory_id, {"text": "I live in Oslo"}))
    assert _found(rig, "where do I live") == ["I live in Oslo"]
    then = replace(query("where do I live", rig.embedder), as_of=Moment(version=added.version))
    assert [h.memory.text for h in rig.host.search(OWNER, "c", then).hits] == ["I live in Rome"]
    rig.host.move_memory(OWNER, "c", MoveMemory(memory_id, State.ARCHIVED, "gone"))
    assert _found(rig, "where do I live") == []
    assert [m.state for m in rig.host.history(OWNER, "c", memory_id)][-1] is State.ARCHIVED
    with pytest.raises(VersionNotFound):
        rig.host.read_memory(OWNER, "c", memory_id, Moment(version=99))


def test_a_restart_gives_everything_back_and_embeds_nothing_again(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", texts("alpha beta", "gamma delta", key="k"))
    _found(rig, "alpha")
    before = rig.embedder.embedded
    rig.host.close()
    rig.reopen()
    assert rig.embedder.embedded == before
    assert _found(rig, "gamma") == ["gamma delta", "alpha beta"]
    assert rig.host.add(OWNER, "c", texts("alpha beta", "gamma delta", key="k")).version == 3
    assert rig.host.verify(OWNER, "c").problems == ()


def test_a_killed_host_replays_what_its_indexes_missed(rig: PlainRig) -> None:
    rig.embedder.broken = True
    rig.host.add(OWNER, "c", texts("written while the embedder was down"))
    rig.embedder.broken = False
    rig.reopen()  # no close: the old host was killed
    assert _found(rig, "embedder down") == ["written while the embedder was down"]


def test_an_embedder_that_is_down_degrades_search_and_stops_no_write(rig: PlainRig) -> None:
    vector = query("unseen words", rig.embedder)
    rig.embedder.broken = True
    rig.host.add(OWNER, "c", texts("unseen words"))
    answer = rig.host.search(OWNER, "c", vector)
    assert [h.memory.text for h in answer.hits] == ["unseen words"]
    assert [d.part for d in answer.degraded] == ["dense"]
    rig.embedder.broken = False
    until = time.monotonic() + 10
    while rig.host.search(OWNER, "c", vector).degraded and time.monotonic() < until:
        time.sleep(0.05)
    assert rig.host.search(OWNER, "c", vector).degraded == ()


def test_the_owner_that_was_replaced_cannot_write(rig: PlainRig) -> None:
    old = rig.host
    old.add(OWNER, "c", texts("one"))
    rig.reopen()
    with pytest.raises(Fenced):
        old.add(OWNER, "c", texts("two"))
    rig.host.add(OWNER, "c", texts("three"))
    assert rig.host.read_cube(OWNER, "c").version == 3


def test_roles_are_checked_in_the_host(rig: PlainRig) -> None:
    rig.catalogue.register("c", bob=Role.READER)
    memory_id = rig.host.add(OWNER, "c", texts("secret plans")).memories[0].id
    bob, eve = Caller("bob", "kb", "r"), Caller("eve", "ke", "r")
    assert rig.host.read_memory(bob, "c", memory_id, None).text == "secret plans"
    with pytest.raises(Forbidden):
        rig.host.add(bob, "c", texts("x"))
    with pytest.raises(Forbidden):
        rig.host.move_memory(bob, "c", MoveMemory(memory_id, State.ARCHIVED))
    calls = [
        lambda: rig.host.read_memory(eve, "c", memory_id, None),
        lambda: rig.host.search(eve, "c", query("secret", rig.embedder)),
        lambda: rig.host.list_memories(eve, "c", ListMemories()),
        lambda: rig.host.move_memory(eve, "c", MoveMemory(memory_id, State.ARCHIVED)),
        lambda: rig.host.verify(eve, "c"),
    ]
    for call in calls:
        with pytest.raises(CubeNotFound):
            call()
    rig.host.set_access(CubeAccess("c", "olga", {"eve": Role.READER}, revision=2))
    assert rig.host.read_memory(eve, "c", memory_id, None).text == "secret plans"


def test_only_a_governor_unfreezes(rig: PlainRig) -> None:
    memory_id = rig.host.add(OWNER, "c", texts("held")).memories[0].id
    rig.host.move_memory(OWNER, "c", MoveMemory(memory_id, State.FROZEN, "legal hold"))
    with pytest.raises(Forbidden):
        rig.host.move_memory(OWNER, "c", MoveMemory(memory_id, State.ACTIVATED))
    governor = Caller("gov", "kg", "r")
    assert rig.host.move_memory(governor, "c", MoveMemory(memory_id, State.ACTIVATED)).state is State.ACTIVATED


def test_snapshots_bound_the_tail_and_cold_cubes_come_back() -> None:
    rig = PlainRig(ShardLimits(open_cubes=2, snapshot_events=20, index_wait_s=2.0))
    for n in range(12):
        rig.catalogue.register(f"c{n}")
        rig.host.add(OWNER, f"c{n}", texts(f"fact number {n}", f"other {n}"))
    until = time.monotonic() + 5
    while rig.snapshots.position == 0 and time.monotonic() < until:
        time.sleep(0.02)
    status = rig.host.status()["shards"]["0"]
    assert status["snapshot_position"] > 0 and status["tail_events"] < 36
    assert [_found(rig, f"fact number {n}", f"c{n}")[0] for n in range(12)] == [f"fact number {n}" for n in range(12)]
    rig.reopen()
    assert rig.host.read_cube(OWNER, "c0").counts == {"plaintext": {"activated": 2}}


def test_cubes_beyond_the_hosts_budget_leave_whatever_their_shard_and_come_back() -> None:
    rig = PlainRig(open_bytes=100_000)
    for n in range(20):
        rig.catalogue.register(f"c{n}")
        rig.host.add(OWNER, f"c{n}", texts(f"fact number {n}", f"other {n}"))
    memory = rig.host.status()["memory"]
    assert memory["open_bytes"] <= memory["limit_bytes"] == 100_000
    assert 0 < memory["open_cubes"] < 20 and memory["evictions"] >= 3
    assert [_found(rig, f"fact number {n}", f"c{n}")[0] for n in range(20)] == [f"fact number {n}" for n in range(20)]


def test_a_host_that_finds_many_events_in_no_snapshot_writes_one_at_once() -> None:
    rig = PlainRig(ShardLimits(snapshot_events=1000, index_wait_s=2.0))
    rig.catalogue.register("c")
    rig.host.add(OWNER, "c", texts(*(f"fact {n}" for n in range(30))))
    rig.limits = ShardLimits(snapshot_events=20, index_wait_s=2.0)
    rig.reopen()
    until = time.monotonic() + 10
    while rig.host.status()["shards"]["0"]["tail_events"] and time.monotonic() < until:
        time.sleep(0.02)
    assert (rig.snapshots.position, rig.host.status()["shards"]["0"]["tail_events"]) == (31, 0)


def test_another_cubes_memory_is_not_found_by_its_id(rig: PlainRig) -> None:
    rig.catalogue.register("d")
    memory_id = rig.host.add(OWNER, "c", texts("mine")).memories[0].id
    with pytest.raises(MemoryNotFound):
        rig.host.read_memory(OWNER, "d", memory_id, None)


def test_a_shard_whose_reopening_failed_is_reopened_by_the_next_request(
    rig: PlainRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.host.add(OWNER, "c", texts("kept"))
    opened = rig.host._open_shard
    tries = []

    def away_at_first(number: int, budget: MemoryBudget) -> Shard:
        tries.append(number)
        if len(tries) == 1:
            raise StorageUnavailable("storage is away for a moment")
        return opened(number, budget)

    monkeypatch.setattr(rig.host, "_open_shard", away_at_first)
    rig.host._shards[0]._on_damage("lexical", Corrupted("found while searching"))
    with pytest.raises(StorageUnavailable):
        rig.host.read_cube(OWNER, "c")
    assert _found(rig, "kept") == ["kept"]


def test_a_shard_closes_although_its_snapshot_cannot_be_written(rig: PlainRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StorageUnavailable("no space left on device")

    rig.host.add(OWNER, "c", texts("kept"))
    with monkeypatch.context() as patched:
        patched.setattr(rig.snapshots, "write", full)
        rig.host.close()
        rig.host.close()
    assert rig.lexical.position == rig.vectors.position == 2
    rig.reopen()
    assert _found(rig, "kept") == ["kept"]


def test_a_snapshot_that_fails_is_not_tried_again_at_every_commit() -> None:
    rig = PlainRig(ShardLimits(snapshot_events=10, index_wait_s=2.0))
    rig.catalogue.register("c")
    tries = []

    def fail(position: int, *_: object) -> None:
        tries.append(position)
        raise StorageUnavailable("the disk is full")

    rig.snapshots.write = fail  # type: ignore[method-assign]
    for n in range(60):
        rig.host.add(OWNER, "c", texts(f"fact {n}"))
    assert 1 <= len(tries) <= 7
