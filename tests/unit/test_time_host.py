"""Rollbacks and forks on a host: nothing is embedded again, searches answer as before, kills lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import CubeNotFound, Forbidden, VersionNotFound
from actors.host import CubeHost
from actors.memory.events import EventType
from actors.memory.governance import Caller, CubeAccess, Role
from actors.memory.lifecycle import State
from actors.memory.requests import ChangeMemory, ForkPoint, ListMemories, Moment, MoveMemory
from actors.memory.search_requests import Hit
from actors.memory.time_requests import CompareVersions, ForkCube
from actors.open_cubes import OpenCubes
from actors.shard import ShardLimits
from actors.stores.journal.plain import PlainJournal
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.vectors.plain import PlainVectorIndex
from tests.unit.hosts import OWNER, Catalogue, HashEmbedder, PlainRig, file_host, query, texts

SAID = ("tea with Ann", "coffee with Ben", "tea and cake", "water for the plants", "a walk with Ben and Ann")


def fork(host: CubeHost, catalogue: Catalogue, origin: str, fork_id: str, version: int | None = None) -> None:
    """What the gateway and the system shard do."""
    new = host.plan_fork(OWNER, origin, ForkCube(fork_id, None if version is None else Moment(version=version)))
    register(catalogue, fork_id, new.shard, new.fork)
    host.create_cube(OWNER, fork_id)


def register(catalogue: Catalogue, fork_id: str, shard: int | None, point: ForkPoint | None) -> None:
    catalogue.register(fork_id)
    catalogue.cubes[fork_id] = replace(catalogue.cubes[fork_id], shard=shard, fork=point)


def found(host: CubeHost, embedder: HashEmbedder, cube_id: str, text: str, version: int | None = None) -> list[object]:
    request = query(text, embedder)
    answer = host.search(OWNER, cube_id, replace(request, as_of=None if version is None else Moment(version=version)))
    assert answer.degraded == ()
    return [_seen(hit) for hit in answer.hits]


def _seen(hit: Hit) -> object:
    return hit.memory.id, hit.memory.version, hit.memory.text, hit.score, dict(hit.channels)


@pytest.fixture
def rig() -> PlainRig:
    rig = PlainRig()
    rig.catalogue.register("c", rita=Role.READER, walt=Role.WRITER)
    return rig


def test_a_rollback_embeds_nothing_and_is_searched_like_the_version_it_goes_back_to(rig: PlainRig) -> None:
    ids = [memory.id for memory in rig.host.add(OWNER, "c", texts(*SAID)).memories]
    before = rig.host.read_cube(OWNER, "c").version
    answers = {text: found(rig.host, rig.embedder, "c", text) for text in ("tea", "Ann", "plants")}
    rig.host.change_memory(OWNER, "c", ChangeMemory(ids[0], {"text": "juice with Ann"}))
    rig.host.move_memory(OWNER, "c", MoveMemory(ids[1], State.ARCHIVED))
    rig.host.add(OWNER, "c", texts("tea again", "Ann again"))
    changed = rig.host.read_cube(OWNER, "c").version
    later = found(rig.host, rig.embedder, "c", "tea")
    embedded = rig.embedder.embedded
    done = rig.host.roll_back(OWNER, "c", Moment(version=before), "")
    assert (done.to, done.changed, done.version) == (before, 4, changed + 1)
    asked = rig.embedder.embedded
    for text, answer in answers.items():
        now = found(rig.host, rig.embedder, "c", text)
        assert [hit[2:] for hit in now] == [hit[2:] for hit in answer]  # type: ignore[index]
        assert found(rig.host, rig.embedder, "c", text, before) == answer
    assert found(rig.host, rig.embedder, "c", "tea", changed) == later
    rig.host.roll_back(OWNER, "c", Moment(version=changed), "the rollback was wrong")
    assert [hit[2:] for hit in found(rig.host, rig.embedder, "c", "tea")] == [hit[2:] for hit in later]  # type: ignore[index]
    assert rig.embedder.embedded - asked == 3 * 2 + 2, "queries alone"
    assert asked == embedded


def test_frozen_memories_stay_and_are_listed(rig: PlainRig) -> None:
    before = rig.host.read_cube(OWNER, "c").version
    frozen, other = [memory.id for memory in rig.host.add(OWNER, "c", texts("held", "free")).memories]
    rig.host.move_memory(OWNER, "c", MoveMemory(frozen, State.FROZEN))
    done = rig.host.roll_back(OWNER, "c", Moment(version=before), "")
    assert done.frozen == (frozen,)
    states = {memory.id: memory.state for memory in rig.host.list_memories(OWNER, "c", ListMemories()).items}
    assert states == {frozen: State.FROZEN, other: State.ARCHIVED}


@pytest.mark.parametrize(("who", "error"), [("walt", Forbidden), ("rita", Forbidden), ("stranger", CubeNotFound)])
def test_a_rollback_takes_a_curator(rig: PlainRig, who: str, error: type[Exception]) -> None:
    rig.host.add(OWNER, "c", texts("tea"))
    with pytest.raises(error):
        rig.host.roll_back(Caller(who, f"key-{who}", "req"), "c", Moment(version=1), "")


def test_a_time_that_has_not_come_is_refused_wherever_a_moment_is_taken(rig: PlainRig) -> None:
    (memory,) = rig.host.add(OWNER, "c", texts("tea")).memories
    future = Moment(time_us=4_000_000_000_000_000)
    for moment in (future, Moment(version=99)):
        asked: list[Callable[[Moment], object]] = [
            lambda m: rig.host.read_memory(OWNER, "c", memory.id, m),
            lambda m: rig.host.list_memories(OWNER, "c", ListMemories(as_of=m)),
            lambda m: rig.host.search(OWNER, "c", replace(query("tea", rig.embedder), as_of=m)),
            lambda m: rig.host.roll_back(OWNER, "c", m, ""),
            lambda m: rig.host.plan_fork(OWNER, "c", ForkCube("f", m)),
            lambda m: rig.host.compare(OWNER, "c", CompareVersions(Moment(version=1), m)),
            lambda m: rig.host.compare(OWNER, "c", CompareVersions(m, Moment(version=1))),
        ]
        for ask in asked:
            with pytest.raises(VersionNotFound):
                ask(moment)
    [answer] = rig.host.search_many("c", [(OWNER, replace(query("tea", rig.embedder), as_of=future))])
    assert isinstance(answer, VersionNotFound)


def test_a_fork_answers_as_its_origin_did_and_each_goes_its_own_way(rig: PlainRig) -> None:
    ids = [memory.id for memory in rig.host.add(OWNER, "c", texts(*SAID)).memories]
    version = rig.host.read_cube(OWNER, "c").version
    answer = found(rig.host, rig.embedder, "c", "tea with Ann")
    rig.host.add(OWNER, "c", texts("tea, but later"))
    embedded = rig.embedder.embedded
    fork(rig.host, rig.catalogue, "c", "f", version)
    view = rig.host.read_cube(OWNER, "f")
    assert (view.version, view.fork, view.counts) == (
        version + 1,
        ForkPoint("c", version),
        {"plaintext": {"activated": 5}},
    )
    assert rig.embedder.embedded == embedded
    assert found(rig.host, rig.embedder, "f", "tea with Ann") == answer
    assert found(rig.host, rig.embedder, "f", "tea with Ann", version) == answer
    rig.host.add(OWNER, "f", texts("tea in the fork"))
    rig.host.move_memory(OWNER, "f", MoveMemory(ids[0], State.ARCHIVED))
    rig.host.move_memory(OWNER, "c", MoveMemory(ids[2], State.ARCHIVED))
    in_fork = {hit[2] for hit in found(rig.host, rig.embedder, "f", "tea")}  # type: ignore[index]
    in_origin = {hit[2] for hit in found(rig.host, rig.embedder, "c", "tea")}  # type: ignore[index]
    assert "tea in the fork" in in_fork
    assert "tea and cake" in in_fork
    assert "tea with Ann" not in in_fork
    assert "tea, but later" in in_origin
    assert "tea and cake" not in in_origin
    assert "tea with Ann" in in_origin
    assert {memory.cube_id for memory in rig.host.list_memories(OWNER, "f", ListMemories()).items} == {"f"}
    assert {hit.memory.cube_id for hit in rig.host.search(OWNER, "f", query("tea", rig.embedder)).hits} == {"f"}
    assert rig.host.verify(OWNER, "f").problems == ()
    assert rig.host.verify(OWNER, "c").problems == ()


def test_who_may_not_see_the_origin_is_not_told_its_name(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", texts("tea"))
    fork(rig.host, rig.catalogue, "c", "f")
    known = rig.catalogue.cubes["f"]
    rig.catalogue.cubes["f"] = replace(known, grants={"rita": Role.READER, "zoe": Role.READER}, revision=2)
    rig.host.set_access(rig.catalogue.cubes["f"])
    assert rig.host.read_cube(Caller("rita", "key-r", "req"), "f").fork == ForkPoint("c", 2)
    assert rig.host.read_cube(Caller("zoe", "key-z", "req"), "f").fork == ForkPoint("", 2)


@pytest.mark.parametrize("snapshot_events", [1, 10_000])
@pytest.mark.parametrize("fresh_indexes", [False, True])
def test_forks_of_forks_come_back_after_a_kill(snapshot_events: int, fresh_indexes: bool) -> None:
    rig = PlainRig(ShardLimits(index_wait_s=10.0, snapshot_events=snapshot_events))
    rig.catalogue.register("c")
    ids = [memory.id for memory in rig.host.add(OWNER, "c", texts(*SAID)).memories]
    fork(rig.host, rig.catalogue, "c", "f")
    rig.host.change_memory(OWNER, "f", ChangeMemory(ids[0], {"text": "juice with Ann"}))
    rig.host.add(OWNER, "f", texts("tea in the fork"))
    fork(rig.host, rig.catalogue, "f", "g")
    rig.host.roll_back(OWNER, "g", Moment(version=6), "")
    rig.host.add(OWNER, "g", texts("tea in the fork of the fork"))
    fork(rig.host, rig.catalogue, "g", "h", 4)
    cubes = ("c", "f", "g", "h")
    versions = {cube: rig.host.read_cube(OWNER, cube).version for cube in cubes}
    asked = [(cube, v) for cube in cubes for v in range(1, versions[cube] + 1)]
    answers = {at: found(rig.host, rig.embedder, at[0], "tea with Ann", at[1]) for at in asked}
    listed = {cube: rig.host.list_memories(OWNER, cube, ListMemories()) for cube in cubes}
    if fresh_indexes:
        rig.vectors, rig.lexical = PlainVectorIndex(), PlainLexicalIndex()
    rig.reopen()  # no close: the host was killed
    for cube in reversed(cubes):  # a fork first, while its origin is cold
        assert rig.host.list_memories(OWNER, cube, ListMemories()).items == listed[cube].items
        assert rig.host.read_cube(OWNER, cube).version == versions[cube]
        assert rig.host.verify(OWNER, cube).problems == ()
    for at, answer in answers.items():
        assert found(rig.host, rig.embedder, at[0], "tea with Ann", at[1]) == answer
    rig.host.close()
    rig.reopen()
    for at, answer in answers.items():
        assert found(rig.host, rig.embedder, at[0], "tea with Ann", at[1]) == answer


def test_a_fork_that_got_no_further_than_the_catalogue_begins_when_it_is_touched(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", texts(*SAID))
    new = rig.host.plan_fork(OWNER, "c", ForkCube("f"))
    register(rig.catalogue, "f", new.shard, new.fork)
    rig.host.add(OWNER, "c", texts("written meanwhile"))
    rig.reopen()  # killed before the fork's first event
    assert rig.host.read_cube(OWNER, "f").version == 7
    assert len(rig.host.list_memories(OWNER, "f", ListMemories()).items) == 5
    forked = [event for event in rig.storage.events if event.type is EventType.CUBE_FORKED]
    assert [event.version for event in forked] == [7]


def test_an_edited_event_of_the_origin_breaks_its_forks_too(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", texts(*SAID))
    fork(rig.host, rig.catalogue, "c", "f", 4)
    events = rig.storage.events
    events[2] = replace(events[2], principal="mallory")
    assert "event 3" in " ".join(rig.host.verify(OWNER, "f").problems)
    problems = PlainJournal(rig.storage, b"c" * 32).verify()
    assert [problem.split(":")[0] for problem in problems if problem.startswith("cube")] == [
        "cube c, event 3",
        "cube f, event 5",
    ]


def test_an_archived_origin_keeps_its_forks_alive(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", texts(*SAID))
    fork(rig.host, rig.catalogue, "c", "f")
    rig.catalogue.cubes["c"] = replace(rig.catalogue.cubes["c"], archived=True, revision=9)
    rig.reopen()
    with pytest.raises(CubeNotFound):
        rig.host.read_cube(OWNER, "c")
    assert found(rig.host, rig.embedder, "f", "tea")
    assert rig.host.verify(OWNER, "f").problems == ()


def test_the_memory_of_an_origin_leaves_with_the_last_cube_that_uses_it(
    rig: PlainRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    unloaded: list[str] = []
    monkeypatch.setattr(PlainVectorIndex, "unload", lambda self, cube_id: unloaded.append(cube_id))
    rig.host.add(OWNER, "c", texts(*SAID))
    fork(rig.host, rig.catalogue, "c", "f")
    for cube in ("c", "f"):
        found(rig.host, rig.embedder, cube, "tea")
    cubes: OpenCubes = rig.host._shards[0]._cubes
    assert cubes.evict("c")
    assert unloaded == [], "the fork searches them"
    assert cubes.evict("f")
    assert sorted(unloaded) == ["c", "f"]


def test_forks_on_files_come_back_with_the_vectors_and_words_that_were_stored(tmp_path: Path) -> None:
    catalogue, embedder = Catalogue(), HashEmbedder()
    catalogue.register("c")
    host = file_host(tmp_path, catalogue, embedder)
    host.add(OWNER, "c", texts(*SAID))
    fork(host, catalogue, "c", "f", 4)
    host.add(OWNER, "f", texts("tea in the fork"))
    answers = {
        (cube, version): found(host, embedder, cube, "tea", version)
        for cube, last in (("c", 6), ("f", 6))
        for version in range(2, last + 1)
    }
    assert host.verify(OWNER, "f").problems == ()
    host.close()
    embedded = embedder.embedded
    host = file_host(tmp_path, catalogue, embedder)
    for (cube, version), answer in answers.items():
        assert found(host, embedder, cube, "tea", version) == answer
    assert embedder.embedded - embedded == len(answers), "queries alone"
    assert host.verify(OWNER, "f").problems == ()
    host.close()


def test_a_shard_that_another_host_owns_is_named() -> None:
    from actors.errors import Misplaced

    rig = PlainRig()
    rig.catalogue.cubes["f"] = CubeAccess("f", "olga", revision=1, shard=3, fork=ForkPoint("c", 1))
    with pytest.raises(Misplaced) as raised:
        rig.host.read_cube(OWNER, "f")
    assert raised.value.facts == {"shard": 3}
