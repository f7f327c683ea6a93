"""Archives through the gateway, over real hosts: what goes out comes in again, whole or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from actors.errors import AlreadyExists, CubeNotFound, Forbidden, MemosError, Overloaded, Unavailable, VersionNotFound
from actors.memory.auditing import AuditAction, AuditQuery
from actors.memory.erasure import EraseMemories
from actors.memory.governance import Caller, Role
from actors.memory.item import Reference
from actors.memory.requests import AddMemories, ExportCube, ImportCube, ListMemories, Moment, NewCube, NewMemory
from actors.memory.time_requests import ForkCube
from tests.unit.archives import exported, imported, in_pieces, members_of, storied, without_timestamps
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import query, texts


async def _listed(rig: GatewayRig, caller: Caller, cube: str, as_of: Moment | None = None) -> list[tuple[object, ...]]:
    page = await rig.gateway.list_memories(caller, cube, ListMemories(200, as_of=as_of))
    return [(m.id, m.version, m.state, m.text, m.tags, m.recorded_at_us) for m in page.items]


@runs
async def test_what_is_exported_imported_and_exported_again_is_the_same_to_the_byte(rig: GatewayRig) -> None:
    ada, bob = await rig.principal("ada"), await rig.principal("bob")
    await storied(rig.gateway, ada)
    for history in (True, False):
        first = await exported(rig.gateway, ada, "home", ExportCube(history=history))
        view = await imported(rig.gateway, bob, first, f"copy-{history}")
        again = await exported(rig.gateway, bob, view.id, ExportCube(history=history))
        assert (view.owner, view.name, view.grants) == ("bob", "At home again", {"bob": "owner"})
        assert without_timestamps(again) == without_timestamps(first)
        assert len(first) == len(again)


@runs
async def test_a_fork_is_younger_than_its_memories_and_comes_back_without_history_too(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    await rig.gateway.fork_cube(rig.root, "home", ForkCube("branch", Moment(version=4)))
    for history in (True, False):
        first = await exported(rig.gateway, rig.root, "branch", ExportCube(history=history))
        view = await imported(rig.gateway, rig.root, first, f"copy-{history}")
        again = await exported(rig.gateway, rig.root, view.id, ExportCube(history=history))
        assert without_timestamps(again) == without_timestamps(first)
        assert view.counts == (await rig.gateway.read_cube(rig.root, "branch")).counts


@runs
async def test_what_was_derived_goes_with_its_source_in_an_imported_cube_too(rig: GatewayRig) -> None:
    gateway = rig.gateway
    await gateway.create_cube(rig.root, NewCube("home"))
    [source] = (await gateway.add(rig.root, "home", texts("the tram leaves at nine"))).memories
    derived = NewMemory("so be there early", derived_from=(Reference("", source.id, 0),))
    [answer] = (await gateway.add(rig.root, "home", AddMemories((derived,)))).memories
    await gateway.fork_cube(rig.root, "home", ForkCube("branch"))
    for origin in ("home", "branch"):
        for history in (True, False):
            archive = await exported(gateway, rig.root, origin, ExportCube(history=history))
            copy = (await imported(gateway, rig.root, archive, f"{origin}-{history}")).id
            found = await gateway.read_memory(rig.root, copy, answer.id, None)
            assert found.derived_from == (Reference(copy, source.id, 1),)
            again = await exported(gateway, rig.root, copy, ExportCube(history=history))
            assert without_timestamps(again) == without_timestamps(archive)
            receipt = await gateway.erase_memories(rig.root, copy, EraseMemories((source.id,), "asked"))
            assert receipt.derived == ((copy, answer.id),)
    assert (await gateway.read_memory(rig.root, "home", answer.id, None)).text == "so be there early"


@runs
async def test_an_import_has_every_version_at_its_time_and_embeds_nothing(rig: GatewayRig) -> None:
    ids = await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root)
    embedded = rig.embedder.embedded
    view = await imported(rig.gateway, rig.root, archive)
    assert rig.embedder.embedded == embedded
    for version in range(1, view.version + 1):
        at = Moment(version=version)
        assert await _listed(rig, rig.root, "copy", at) == await _listed(rig, rig.root, "home", at)
    assert [m.text for m in await rig.gateway.history(rig.root, "copy", ids[0])] == [
        "the cat sleeps",
        "the cat is awake",
    ]
    found = await rig.gateway.search(rig.root, ["copy"], query("a bird sings", rig.embedder))
    assert found.hits[0].memory.text == "a bird sings" and found.degraded == ()
    assert (await rig.gateway.verify(rig.root, "copy")).problems == ()
    await rig.gateway.add(rig.root, "copy", texts("a fish swims"))
    assert (await rig.gateway.verify(rig.root, "copy")).problems == ()


@runs
async def test_an_archive_is_of_one_version_whatever_is_added_meanwhile(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    before = await exported(rig.gateway, rig.root)
    pieces = await rig.gateway.export_cube(rig.root, "home", ExportCube())
    await rig.gateway.add(rig.root, "home", texts("too late"))
    assert without_timestamps(b"".join([p async for p in pieces])) == without_timestamps(before)
    at = await exported(rig.gateway, rig.root, "home", ExportCube(as_of=Moment(version=5)))
    assert (await imported(rig.gateway, rig.root, at)).version == 5
    assert await _listed(rig, rig.root, "copy") == await _listed(rig, rig.root, "home", Moment(version=5))


@runs
async def test_without_history_there_is_what_stood(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root, "home", ExportCube(history=False))
    view = await imported(rig.gateway, rig.root, archive)
    assert view.version == 5
    assert sorted(await _listed(rig, rig.root, "copy"), key=str) == sorted(
        await _listed(rig, rig.root, "home"), key=str
    )


@runs
async def test_vectors_of_another_model_are_made_anew(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    rig.embedder.model_id = "other@2"
    for host in range(2):
        rig.restart(host)
    archive = await exported(rig.gateway, rig.root)
    rig.embedder.model_id = "hash@1"
    for host in range(2):
        rig.restart(host)
    embedded = rig.embedder.embedded
    await imported(rig.gateway, rig.root, archive)
    found = await rig.gateway.search(rig.root, ["copy"], query("a bird sings", rig.embedder))
    assert found.hits[0].memory.text == "a bird sings"
    assert rig.embedder.embedded > embedded


@runs
async def test_it_takes_a_curator_to_export(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    ada = await rig.principal("ada")
    with pytest.raises(CubeNotFound):
        await exported(rig.gateway, ada)
    await rig.gateway.put_grant(rig.root, "home", "ada", Role.WRITER)
    with pytest.raises(Forbidden, match="curator"):
        await exported(rig.gateway, ada)
    await rig.gateway.put_grant(rig.root, "home", "ada", Role.CURATOR)
    assert members_of(await exported(rig.gateway, ada))


@runs
async def test_names_in_a_history_give_nobody_a_role(rig: GatewayRig) -> None:
    ada, bob = await rig.principal("ada"), await rig.principal("bob")
    await storied(rig.gateway, ada)
    await rig.gateway.put_grant(ada, "home", "bob", Role.CURATOR)
    view = await imported(rig.gateway, bob, await exported(rig.gateway, bob))
    assert view.grants == {"bob": "owner"}
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(ada, "copy")


@runs
async def test_an_id_that_is_taken_is_refused_before_anything_is_sent(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root)
    with pytest.raises(AlreadyExists):
        await imported(rig.gateway, rig.root, archive, "home")
    with pytest.raises(AlreadyExists):
        await imported(rig.gateway, rig.root, archive, None)  # the archive's own id
    assert ("host-0", "import_chunk") not in rig.directory.calls and (
        "host-1",
        "import_chunk",
    ) not in rig.directory.calls


@runs
async def test_an_import_may_give_another_name(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    view = await imported(rig.gateway, rig.root, await exported(rig.gateway, rig.root), name="Elsewhere")
    assert view.name == "Elsewhere"
    assert (await rig.gateway.verify(rig.root, "copy")).problems == ()


@runs
async def test_a_version_that_is_not_there_is_refused(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    for moment in (Moment(version=99), Moment(version=0), Moment(time_us=5)):
        with pytest.raises(VersionNotFound):
            await exported(rig.gateway, rig.root, "home", ExportCube(as_of=moment))


@runs
async def test_a_client_that_hangs_up_frees_the_export(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    for _ in range(20):  # more than a host keeps at once
        pieces = await rig.gateway.export_cube(rig.root, "home", ExportCube())
        await anext(pieces)
        await pieces.aclose()
        await rig.gateway._archives._settled()


@runs
async def test_exports_at_once_are_bounded_and_end_when_nobody_goes_on(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    host = rig.parts[rig.owner("home")]
    begun = [await rig.gateway.export_cube(rig.root, "home", ExportCube()) for _ in range(8)]
    with pytest.raises(Overloaded):
        await rig.gateway.export_cube(rig.root, "home", ExportCube())
    host._exports._clock = lambda: float("inf")
    await rig.gateway.export_cube(rig.root, "home", ExportCube())
    with pytest.raises(Unavailable, match="nobody went on"):
        await anext(begun[0])


@runs
async def test_a_client_that_hangs_up_half_way_leaves_no_cube(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root)

    async def half() -> AsyncIterator[bytes]:
        async for piece in in_pieces(archive[: len(archive) // 2]):
            yield piece
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rig.gateway.import_cube(rig.root, half(), ImportCube("copy"))
    await rig.gateway._archives._settled()
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(rig.root, "copy")
    assert (await rig.gateway.create_cube(rig.root, NewCube("copy"))).version == 1


@runs
async def test_an_import_whose_host_dies_leaves_its_id_to_whoever_comes_next(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root)

    async def dying() -> AsyncIterator[bytes]:
        yield archive[:9000]
        rig.directory.down.add(rig.owner("copy"))
        yield archive[9000:]

    with pytest.raises(MemosError):
        await rig.gateway.import_cube(rig.root, dying(), ImportCube("copy"))
    rig.directory.down.clear()
    rig.restart(int(rig.owner("copy").removeprefix("host-")))
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(rig.root, "copy")
    bob = await rig.principal("bob")
    view = await rig.gateway.create_cube(bob, NewCube("copy"))
    assert (view.owner, view.version, view.counts) == ("bob", 1, {})


@runs
async def test_an_import_whose_answer_is_lost_is_there_once_it_is_looked_for(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root)
    rig.directory.lose = {"import_outcome": 1}
    view = await imported(rig.gateway, rig.root, archive)
    assert view.version == 10


@runs
async def test_an_import_is_in_the_audit_of_the_cube_itself(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root)
    with pytest.raises(MemosError):
        await imported(rig.gateway, rig.root, archive[:-5000])
    bob = await rig.principal("bob")
    await imported(rig.gateway, bob, archive)
    rows = rig.parts[rig.owner("copy")].audit(bob, "copy", AuditQuery())
    [row] = [row for row in rows if row.action is AuditAction.CREATE]
    told = json.loads(row.detail)
    assert (row.principal, row.key_id, row.request_id) == ("bob", bob.key_id, bob.request_id)
    assert (told["what"], told["version"], told["memories"], len(told["archive"])) == ("import", 10, 4, 64)
