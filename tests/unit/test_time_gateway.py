"""Forks through the gateway: they live with their origin, whatever their id, and are reached there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.errors import AlreadyExists, CubeNotFound, Unavailable, VersionNotFound
from actors.memory.governance import Role
from actors.memory.requests import ForkPoint, Moment, NewCube
from actors.memory.time_requests import CompareVersions, ForkCube
from cluster.cube_places import CubePlaces
from cluster.directory import LocalDirectory
from cluster.topology import Topology
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import query, texts


def elsewhere(rig: GatewayRig, origin: str) -> str:
    """An id whose hash says another host than `origin` lives on."""
    return next(f"fork-{n}" for n in range(50) if rig.owner(f"fork-{n}") != rig.owner(origin))


async def forked(rig: GatewayRig) -> tuple[str, str]:
    origin, _ = rig.cubes_of_each_host()
    await rig.gateway.create_cube(rig.root, NewCube(origin))
    await rig.gateway.add(rig.root, origin, texts("tea with Ann", "coffee"))
    fork = elsewhere(rig, origin)
    view = await rig.gateway.fork_cube(rig.root, origin, ForkCube(fork))
    assert (view.id, view.version, view.fork) == (fork, 4, ForkPoint(origin, 3))
    return origin, fork


@runs
async def test_a_fork_lives_with_its_origin_and_every_call_finds_it(rig: GatewayRig) -> None:
    origin, fork = await forked(rig)
    rig.directory.calls.clear()
    added = await rig.gateway.add(rig.root, fork, texts("tea in the fork"))
    found = await rig.gateway.search(rig.root, [origin, fork], query("tea", rig.embedder))
    assert {(hit.memory.cube_id, hit.memory.text) for hit in found.hits if "tea" in hit.memory.text} == {
        (origin, "tea with Ann"),
        (fork, "tea with Ann"),
        (fork, "tea in the fork"),
    }
    assert (await rig.gateway.read_memory(rig.root, fork, added.memories[0].id, None)).text == "tea in the fork"
    assert {name for name, _ in rig.directory.calls} == {rig.owner(origin)}
    assert [view.id for view in (await rig.gateway.list_cubes(rig.root, 10, None)).items] == [origin, fork]
    assert rig.system.host.forks_of(origin) == (fork,)


@runs
async def test_a_gateway_that_does_not_know_a_fork_is_told_where_it_lives(rig: GatewayRig) -> None:
    origin, fork = await forked(rig)
    for forget in range(2):
        rig.gateway._places._shards.clear()
        rig.directory.calls.clear()
        if forget:
            assert (await rig.gateway.search(rig.root, [fork], query("tea", rig.embedder))).hits
        else:
            await rig.gateway.add(rig.root, fork, texts("more"))
        assert [name for name, _ in rig.directory.calls] == [rig.owner(fork), rig.owner(origin)]
    rig.gateway._places._shards.clear()
    assert (await rig.gateway.read_cube(rig.root, fork)).version == 5


@runs
async def test_grants_on_a_fork_hold_where_it_lives(rig: GatewayRig) -> None:
    _, fork = await forked(rig)
    rita = await rig.principal("rita")
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(rita, fork)
    rig.gateway._places._shards.clear()
    await rig.gateway.put_grant(rig.root, fork, "rita", Role.READER)
    assert (await rig.gateway.read_cube(rita, fork)).fork == ForkPoint("", 3)
    rig.gateway._places._shards.clear()
    await rig.gateway.remove_grant(rig.root, fork, "rita")
    for _ in range(2):
        with pytest.raises(CubeNotFound):
            await rig.gateway.read_cube(rita, fork)


@runs
async def test_a_reader_may_fork_and_owns_the_fork_and_a_stranger_may_not(rig: GatewayRig) -> None:
    origin, _ = rig.cubes_of_each_host()
    await rig.gateway.create_cube(rig.root, NewCube(origin))
    rita = await rig.principal("rita")
    with pytest.raises(CubeNotFound):
        await rig.gateway.fork_cube(rita, origin, ForkCube("mine"))
    assert rig.system.host.cube_access("mine") is None
    await rig.gateway.put_grant(rig.root, origin, "rita", Role.READER)
    view = await rig.gateway.fork_cube(rita, origin, ForkCube("mine"))
    assert (view.owner, view.grants) == ("rita", {"rita": "owner"})


@runs
async def test_a_fork_onto_a_taken_id_or_of_the_future_leaves_nothing(rig: GatewayRig) -> None:
    origin, fork = await forked(rig)
    with pytest.raises(AlreadyExists):
        await rig.gateway.fork_cube(replace(rig.root, request_id="another"), origin, ForkCube(fork))
    with pytest.raises(AlreadyExists):
        await rig.gateway.fork_cube(rig.root, origin, ForkCube(origin))
    with pytest.raises(VersionNotFound):
        await rig.gateway.fork_cube(rig.root, origin, ForkCube("later", Moment(version=99)))
    assert rig.system.host.cube_access("later") is None


@runs
async def test_a_fork_that_was_only_registered_is_healed_when_touched(rig: GatewayRig) -> None:
    origin, _ = rig.cubes_of_each_host()
    await rig.gateway.create_cube(rig.root, NewCube(origin))
    await rig.gateway.add(rig.root, origin, texts("tea"))
    new = await rig.gateway._host(origin, "plan_fork", rig.root, origin, ForkCube("f"))
    await rig.gateway._system("register_cube", rig.root, new)
    for number in range(2):
        rig.restart(number)
    assert (await rig.gateway.read_cube(rig.root, "f")).version == 3


@runs
async def test_forks_of_forks_are_all_found_from_the_first(rig: GatewayRig) -> None:
    origin, fork = await forked(rig)
    await rig.gateway.fork_cube(rig.root, fork, ForkCube("second"))
    await rig.gateway.fork_cube(rig.root, origin, ForkCube("other"))
    await rig.gateway.archive_cube(rig.root, "second", "")
    assert rig.system.host.forks_of(origin) == (fork, "second", "other")
    assert rig.system.host.forks_of(fork) == ("second",)
    assert rig.system.host.forks_of("other") == ()


@runs
async def test_a_rollback_is_made_once_even_when_its_answer_is_lost(rig: GatewayRig) -> None:
    origin, _ = await forked(rig)
    rig.directory.lose["roll_back"] = 1
    with pytest.raises(Unavailable):
        await rig.gateway.roll_back(rig.root, origin, Moment(version=1), "")
    page = await rig.gateway.compare(rig.root, origin, CompareVersions(Moment(version=3), Moment(version=4), 1))
    assert (page.counts, len(page.items)) == ({"moved": 2}, 1)
    more = CompareVersions(Moment(version=3), Moment(version=4), 1, page.next)
    last = await rig.gateway.compare(rig.root, origin, more)
    assert (last.next, len(last.items), last.items != page.items) == (None, 1, True)


def test_places_forget_the_coldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.cube_places.REMEMBERED", 2)
    topology = Topology(8, 8)
    places = CubePlaces(LocalDirectory({}), topology)
    shard = next(s for s in range(8) if topology.host_of_shard(s) != topology.host_of("a"))
    for cube in ("a", "b", "c"):
        places.learn(cube, shard)
    assert places.owner_of("a") == f"host-{topology.host_of('a')}"
    assert places.owner_of("c") == f"host-{topology.host_of_shard(shard)}"
