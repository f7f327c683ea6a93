"""A cube that is archived is hidden and kept: its owner can have it again, or have nothing of it left."""

from __future__ import annotations

import pytest

from actors.errors import Conflict, CubeNotFound, Forbidden
from actors.memory.auditing import AuditAction, AuditQuery
from actors.memory.erasure import EraseMemories
from actors.memory.governance import Role
from actors.memory.requests import ListMemories, NewCube
from actors.memory.time_requests import ForkCube
from serve.client import MemosHTTPError
from tests.unit.edge import Edge, check_problem
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import texts
from tests.unit.test_cli import Shell
from tests.unit.test_http_archives import client


@runs
async def test_an_archived_cube_comes_back_as_it_was(rig: GatewayRig) -> None:
    ada, bob = await rig.principal("ada"), await rig.principal("bob")
    await rig.gateway.create_cube(ada, NewCube("c"))
    await rig.gateway.add(ada, "c", texts("tea"))
    await rig.gateway.put_grant(ada, "c", "bob", Role.CURATOR)
    before = await rig.gateway.read_cube(ada, "c")
    await rig.gateway.archive_cube(ada, "c", "done with it")
    for caller in (ada, bob, rig.root):
        with pytest.raises(CubeNotFound):
            await rig.gateway.read_cube(caller, "c")
    with pytest.raises(CubeNotFound):  # hidden from all but owners
        await rig.gateway.revive_cube(bob, "c")
    assert await rig.gateway.revive_cube(ada, "c") == before
    assert await rig.gateway.revive_cube(ada, "c") == before
    with pytest.raises(Forbidden):
        await rig.gateway.revive_cube(bob, "c")
    assert [m.text for m in (await rig.gateway.list_memories(bob, "c", ListMemories())).items] == ["tea"]
    assert [view.id for view in (await rig.gateway.list_cubes(ada, 10, None)).items] == ["c"]
    rows = rig.system.host.audit(ada, "c", AuditQuery(action=AuditAction.TRANSITION))
    assert ['"activated"' in row.detail for row in rows] == [True, True, False]
    rig.system.reopen()
    kept = rig.system.host.cube_access("c")
    assert kept is not None and not kept.archived


@runs
async def test_an_archived_cube_can_be_erased_by_its_owner_alone(rig: GatewayRig) -> None:
    ada, bob = await rig.principal("ada"), await rig.principal("bob")
    await rig.gateway.create_cube(ada, NewCube("c"))
    [memory] = (await rig.gateway.add(ada, "c", texts("the safe opens with 4711"))).memories
    await rig.gateway.put_grant(ada, "c", "bob", Role.CURATOR)
    await rig.gateway.fork_cube(ada, "c", ForkCube("fork"))
    await rig.gateway.archive_cube(ada, "c", "")
    for stranger in (bob, await rig.principal("eve")):
        with pytest.raises(CubeNotFound):
            await rig.gateway.erase_cube(stranger, "c", "")
    with pytest.raises(Conflict, match="forks"):
        await rig.gateway.erase_cube(ada, "c", "")
    with pytest.raises(CubeNotFound):  # a memory of it is hidden like all of it
        await rig.gateway.erase_memories(ada, "c", EraseMemories((memory.id,)))
    await rig.gateway.erase_cube(ada, "fork", "")
    receipt = await rig.gateway.erase_cube(ada, "c", "asked")
    assert receipt.erased == (memory.id,)
    for call in (rig.gateway.revive_cube(ada, "c"), rig.gateway.erase_cube(ada, "c", "")):
        with pytest.raises(CubeNotFound):
            await call
    recorded = [event for storage in rig.storage.values() for event in storage.events if event.cube_id == "c"]
    assert not [event for event in recorded if event.content and b"4711" in event.content]


@runs
async def test_the_reason_of_an_erasure_passes_the_redaction_of_its_cube(rig: GatewayRig) -> None:
    for mode in ("redact", "mask"):
        await rig.gateway.create_cube(rig.root, NewCube(mode, policy={"redaction": {"mode": mode}}))
        [memory] = (await rig.gateway.add(rig.root, mode, texts("tea with a friend"))).memories
        await rig.gateway.erase_memories(rig.root, mode, EraseMemories((memory.id,), "ann@x.org asked for it"))
        await rig.gateway.erase_cube(rig.root, mode, "ann@x.org asked for all")
    storages = [*rig.storage.values(), rig.system.storage]
    contents = b"".join(event.content or b"" for storage in storages for event in storage.events)
    assert b"ann@x.org" not in contents
    assert contents.count(b"<EMAIL_ADDRESS> asked for it") == contents.count(b"<EMAIL_ADDRESS> asked for all") == 2


def test_through_http_and_the_sdk() -> None:
    edge = Edge()
    edge.cube("home")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "writer"})
    assert edge.call("DELETE", "/v1/cubes/home?reason=done").status_code == 200
    check_problem(edge.call("GET", "/v1/cubes/home"), 404, "cube-not-found")
    check_problem(edge.call("POST", "/v1/cubes/home/revive", key="rita-key"), 404, "cube-not-found")
    check_problem(edge.call("POST", "/v1/cubes/none/revive"), 404, "cube-not-found")
    assert edge.call("POST", "/v1/cubes/home/revive").json()["id"] == "home"
    assert edge.call("GET", "/v1/cubes/home").status_code == 200
    with client(edge) as memos:
        memos.delete_cube("home")
        assert memos.revive_cube("home").id == "home"
        with pytest.raises(MemosHTTPError):
            memos.revive_cube("other")


def test_through_the_command_line(tmp_path: object) -> None:
    shell = Shell(tmp_path)  # type: ignore[arg-type]
    shell.edge.cube("home")
    shell.ok("cube", "delete", "home", "--yes")
    assert "home is there again" in shell.ok("cube", "revive", "home")
    assert shell("cube", "revive", "none").exit_code == 1
