"""The gateway routes, fans out, repeats what may be repeated, and makes a change of access hold before it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from actors.errors import (
    CubeNotFound,
    Forbidden,
    Unauthenticated,
    Unavailable,
)
from actors.memory.governance import Role
from actors.memory.lifecycle import State
from actors.memory.requests import (
    ChangeMemory,
    ListMemories,
    MoveMemory,
    NewCube,
    NewKey,
)
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import query, texts


async def created(rig: GatewayRig, *cubes: str) -> None:
    for cube in cubes:
        await rig.gateway.create_cube(rig.root, NewCube(cube, f"Name of {cube}"))


@runs
async def test_a_cube_lives_with_its_host(rig: GatewayRig) -> None:
    a, b = rig.cubes_of_each_host()
    await created(rig, a, b)
    for cube in (a, b):
        added = await rig.gateway.add(rig.root, cube, texts(f"in {cube}"))
        assert (await rig.gateway.read_memory(rig.root, cube, added.memories[0].id, None)).text == f"in {cube}"
    assert {name for name, method in rig.directory.calls if method == "add_many"} == {"host-0", "host-1"}
    assert [v.id for v in (await rig.gateway.list_cubes(rig.root, 10, None)).items] == [a, b]


@runs
async def test_a_cube_that_was_only_registered_is_healed_when_touched(rig: GatewayRig) -> None:
    rig.directory.down = {"host-0", "host-1"}
    with pytest.raises(Unavailable):
        await created(rig, "c")
    rig.directory.down.clear()
    view = await rig.gateway.read_cube(rig.root, "c")
    assert (view.version, view.name, view.owner) == (1, "Name of c", "root")


@runs
async def test_an_add_whose_answer_was_lost_is_there_once(rig: GatewayRig) -> None:
    await created(rig, "c")
    rig.directory.lose["add_many"] = 3
    added = await rig.gateway.add(rig.root, "c", texts("once"))
    page = await rig.gateway.list_memories(rig.root, "c", ListMemories())
    assert [m.id for m in page.items] == [added.memories[0].id]


@runs
async def test_reads_and_adds_wait_for_a_host_that_restarts(rig: GatewayRig) -> None:
    await created(rig, "c")
    host = rig.owner("c")
    await rig.gateway.add(rig.root, "c", texts("before"))
    rig.directory.down = {host}

    async def restart() -> None:
        await asyncio.sleep(0.2)
        rig.restart(int(host[-1]))
        rig.directory.down.clear()

    _, view, added = await asyncio.gather(
        restart(), rig.gateway.read_cube(rig.root, "c"), rig.gateway.add(rig.root, "c", texts("meanwhile"))
    )
    assert view.id == "c"
    assert added.version == 3


@runs
async def test_changes_and_moves_are_not_repeated(rig: GatewayRig) -> None:
    await created(rig, "c")
    memory_id = (await rig.gateway.add(rig.root, "c", texts("one"))).memories[0].id
    actions: dict[str, Callable[[], Awaitable[object]]] = {
        "change_memory": lambda: rig.gateway.change_memory(rig.root, "c", ChangeMemory(memory_id, {"text": "two"})),
        "move_memory": lambda: rig.gateway.move_memory(rig.root, "c", MoveMemory(memory_id, State.ARCHIVED)),
    }
    for method, call in actions.items():
        rig.directory.lose[method] = 1
        with pytest.raises(Unavailable):
            await call()
        assert [m for _, m in rig.directory.calls].count(method) == 1
    history = await rig.gateway.history(rig.root, "c", memory_id)
    assert [m.text for m in history] == ["one", "two", "two"]


@runs
async def test_what_stays_down_is_unavailable(rig: GatewayRig) -> None:
    await created(rig, "c")
    rig.directory.down = {rig.owner("c")}
    with pytest.raises(Unavailable):
        await rig.gateway.read_cube(rig.root, "c")


@runs
async def test_a_grant_holds_when_it_returns_and_its_end_too(rig: GatewayRig) -> None:
    ann = await rig.principal("ann")
    await created(rig, "c")
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(ann, "c")
    view = await rig.gateway.put_grant(rig.root, "c", "ann", Role.READER)
    assert view.grants == {"root": "owner", "ann": "reader"}
    assert (await rig.gateway.read_cube(ann, "c")).id == "c"
    with pytest.raises(Forbidden):
        await rig.gateway.add(ann, "c", texts("x"))
    with pytest.raises(Forbidden):
        await rig.gateway.put_grant(ann, "c", "ann", Role.OWNER)
    assert (await rig.gateway.remove_grant(rig.root, "c", "ann")).grants == {"root": "owner"}
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(ann, "c")


@runs
async def test_who_takes_its_own_role_away_is_answered_once_more(rig: GatewayRig) -> None:
    ann = await rig.principal("ann")
    await created(rig, "c")
    await rig.gateway.put_grant(rig.root, "c", "ann", Role.READER)
    with pytest.raises(Forbidden):
        await rig.gateway.remove_grant(ann, "c", "ann")
    await rig.gateway.put_grant(rig.root, "c", "ann", Role.OWNER)
    assert (await rig.gateway.remove_grant(ann, "c", "ann")).grants == {"root": "owner"}
    with pytest.raises(CubeNotFound):
        await rig.gateway.remove_grant(ann, "c", "ann")


@runs
async def test_an_archived_cube_is_gone_at_once(rig: GatewayRig) -> None:
    await created(rig, "c")
    await rig.gateway.add(rig.root, "c", texts("x"))
    assert (await rig.gateway.archive_cube(rig.root, "c", "over")).version == 2
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(rig.root, "c")
    with pytest.raises(CubeNotFound):
        await rig.gateway.archive_cube(rig.root, "c", "again")


@runs
async def test_a_revoked_key_is_refused_by_every_host_at_once(rig: GatewayRig) -> None:
    cubes = rig.cubes_of_each_host()
    issued = await rig.gateway.create_key(rig.root, NewKey("ann"))
    ann = (await rig.gateway.authenticate(issued.secret, "r")).caller
    for cube in cubes:
        await rig.gateway.create_cube(ann, NewCube(cube))
    await rig.gateway.revoke_key(rig.root, issued.view.id)
    for cube in cubes:
        with pytest.raises(Unauthenticated):
            await rig.gateway.read_cube(ann, cube)
    with pytest.raises(Unauthenticated):
        await rig.gateway.authenticate(issued.secret, "r")


@runs
async def test_a_key_is_looked_up_once_and_again_after_a_while(rig: GatewayRig) -> None:
    for request in ("r1", "r2"):
        assert (await rig.gateway.authenticate(rig.system.secret.text, request)).caller.request_id == request
    asked = [m for _, m in rig.directory.calls].count("authenticate")
    assert asked == 1
    rig.system.clock.at_us += 3600 * 1_000_000
    await rig.gateway.authenticate(rig.system.secret.text, "r3")
    assert [m for _, m in rig.directory.calls].count("authenticate") == 2


@runs
async def test_an_expired_key_is_not_remembered(rig: GatewayRig) -> None:
    until = rig.system.clock.at_us + 1_000_000
    issued = await rig.gateway.create_key(rig.root, NewKey("ann", expires_at_us=until))
    await rig.gateway.authenticate(issued.secret, "r")
    rig.system.clock.at_us = until
    with pytest.raises(Unauthenticated):
        await rig.gateway.authenticate(issued.secret, "r")


@runs
async def test_a_new_governor_governs_at_once(rig: GatewayRig) -> None:
    ann = await rig.principal("ann")
    await created(rig, "c")
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(ann, "c")
    await rig.gateway.create_key(rig.root, NewKey("ann", governor=True))
    assert (await rig.gateway.read_cube(ann, "c")).id == "c"


@runs
async def test_a_search_over_cubes_is_merged_by_score(rig: GatewayRig) -> None:
    a, b = rig.cubes_of_each_host()
    await created(rig, a, b)
    await rig.gateway.add(rig.root, a, texts("green tea in the morning", "nothing of it"))
    await rig.gateway.add(rig.root, b, texts("tea", "a walk"))
    found = await rig.gateway.search(rig.root, [a, b, a], query("tea", rig.embedder, 3))
    assert found.degraded == ()
    assert len(found.hits) == 3
    assert {h.memory.cube_id for h in found.hits[:2]} == {a, b}
    assert [h.score for h in found.hits] == sorted((h.score for h in found.hits), reverse=True)


@runs
async def test_a_host_that_is_down_is_a_shortfall_and_a_hidden_cube_an_error(rig: GatewayRig) -> None:
    a, b = rig.cubes_of_each_host()
    await created(rig, a, b)
    await rig.gateway.add(rig.root, a, texts("tea"))
    rig.directory.down = {rig.owner(b)}
    found = await rig.gateway.search(rig.root, [a, b], query("tea", rig.embedder))
    assert [h.memory.text for h in found.hits] == ["tea"]
    assert [s.part for s in found.degraded] == [f"cube:{b}"]
    ann = await rig.principal("ann")
    with pytest.raises(CubeNotFound):
        await rig.gateway.search(ann, [a], query("tea", rig.embedder))


@runs
async def test_status_and_readiness_name_what_is_down(rig: GatewayRig) -> None:
    assert await rig.gateway.ready() == []
    rig.directory.down = {"host-1"}
    assert await rig.gateway.ready() == ["host-1: host-1 is down"]
    status = await rig.gateway.status()
    assert status["unanswered"] == [{"part": "host-1", "reason": "host-1 is down"}]
    assert [host["name"] for host in status["hosts"]] == ["host-0"]


def test_local_calls_that_take_too_long_are_unavailable() -> None:
    import time

    from cluster.directory import LocalDirectory

    class Slow:
        def sleep(self, seconds: float) -> None:
            time.sleep(seconds)

    async def call(part: str) -> Any:
        return await LocalDirectory({"slow": Slow()}, timeout_s=0.01).call(part, "sleep", 0.05)

    for part in ("slow", "missing"):
        with pytest.raises(Unavailable):
            asyncio.run(call(part))
