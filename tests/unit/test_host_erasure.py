"""Erasure in a host on files, and over the hosts of a gateway: who may, what goes, what stays, what an answer shows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from actors.errors import CubeNotFound, Forbidden, MemoryErased, Unavailable
from actors.host import CubeHost
from actors.memory.analysis import terms_of
from actors.memory.erasure import EraseMemories
from actors.memory.governance import Caller, Role
from actors.memory.item import Reference
from actors.memory.lifecycle import State
from actors.memory.requests import AddMemories, Moment, MoveMemory, NewCube, NewMemory
from actors.memory.search_requests import Channel, SearchCube
from actors.shard import ShardLimits
from jobs.bench.state_search import find
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import OWNER, Catalogue, HashEmbedder, file_host, query, texts
from tests.unit.test_projection import eventually

SECRET = "zyzzyvaplover"
NEEDLES = {"secret": SECRET.encode()}
WORDS = frozenset(terms_of(SECRET))
GOVERNOR = Caller("gov", "key-g", "req")


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue()
    for cube in ("home", "other"):
        catalogue.register(cube, rita=Role.WRITER, carl=Role.CURATOR)
    return catalogue


def _open(folder: Path, catalogue: Catalogue) -> CubeHost:
    return file_host(folder, catalogue, HashEmbedder(), ShardLimits(snapshot_events=5))


def _derived(host: CubeHost, cube: str, text: str, *parents: tuple[str, str]) -> str:
    references = tuple(Reference(parent_cube, parent, 1) for parent_cube, parent in parents)
    return host.add(OWNER, cube, AddMemories((NewMemory(text, derived_from=references),))).memories[0].id


def test_nothing_is_left_in_any_file_nor_found_by_any_search(tmp_path: Path, catalogue: Catalogue) -> None:
    host = _open(tmp_path, catalogue)
    embedder = HashEmbedder()
    host.add(OWNER, "home", texts(*(f"friend {n}" for n in range(12))))
    secret = host.add(OWNER, "home", texts(f"the code is {SECRET}", key="k")).memories[0].id
    host.add(OWNER, "home", texts(*(f"neighbour {n}" for n in range(12))))
    assert find(tmp_path, NEEDLES, WORDS)
    receipt = host.erase(OWNER, "home", EraseMemories((secret,), "asked"))
    assert receipt.erased == (secret,)
    removed = {place.kind: place.removed for place in receipt.places}
    assert removed["journal events"] == removed["dense index"] == removed["lexical index"] == 1
    assert find(tmp_path, NEEDLES, WORDS) == []
    wanted = query(f"code {SECRET}", embedder, top_k=50)
    for as_of in (None, *(Moment(version=v) for v in range(14, 27))):
        for channels in (frozenset(Channel), frozenset({Channel.DENSE}), frozenset({Channel.LEXICAL})):
            request = SearchCube(wanted.query, wanted.query_vector, wanted.model_id, 50, None, as_of, channels)
            assert secret not in [hit.memory.id for hit in host.search(OWNER, "home", request).hits]
    assert host.add(OWNER, "home", texts(f"the code is {SECRET}", key="k")).memories[0].id == secret  # only answered
    assert host.verify(OWNER, "home").problems == ()
    host.close()
    assert find(tmp_path, NEEDLES, WORDS) == []
    host = _open(tmp_path, catalogue)
    found = host.search(OWNER, "home", query("neighbour 7", embedder)).hits[0]
    assert found.memory.text == "neighbour 7"
    assert host.erase(OWNER, "home", EraseMemories((secret,), "asked")) == receipt
    host.close()


def test_who_may_and_what_holds_it(tmp_path: Path, catalogue: Catalogue) -> None:
    host = _open(tmp_path, catalogue)
    root = host.add(OWNER, "home", texts("root")).memories[0].id
    copy = _derived(host, "other", "copy", ("home", root))
    rita, carl = Caller("rita", "k", "r"), Caller("carl", "k", "r")
    with pytest.raises(Forbidden):
        host.erase(rita, "home", EraseMemories((root,)))
    with pytest.raises(CubeNotFound):
        host.erase(Caller("nobody", "k", "r"), "home", EraseMemories((root,)))
    derived = EraseMemories((copy,), "asked", origins=(("home", root),))
    with pytest.raises(Forbidden):
        host.erase_derived(rita, "other", derived)
    unrelated = host.add(OWNER, "other", texts("unrelated")).memories[0].id
    with pytest.raises(Forbidden):
        host.erase_derived(carl, "other", EraseMemories((unrelated,), origins=(("home", root),)))
    host.move_memory(OWNER, "other", MoveMemory(copy, State.FROZEN))
    with pytest.raises(Forbidden) as told:
        host.plan_derived_erasure(carl, "other", derived)
    assert "other" not in str(told.value) and copy not in str(told.value)
    assert host.read_memory(OWNER, "other", copy, None).text == "copy"
    assert host.erase_derived(GOVERNOR, "other", derived).derived == (("other", copy),)
    with pytest.raises(MemoryErased):
        host.read_memory(OWNER, "other", copy, None)
    host.close()


def test_an_index_that_is_away_delays_the_receipt_and_is_rid_of_it_later(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = _open(tmp_path, catalogue)
    secret = host.add(OWNER, "home", texts(SECRET)).memories[0].id
    shard = host._shard_for("home")
    broken = True
    erase_rows = shard._parts.lexical.erase_rows

    def failing(rows: Any) -> None:
        if broken:
            raise OSError("the disk is away")
        erase_rows(rows)

    monkeypatch.setattr(shard._parts.lexical, "erase_rows", failing)
    with pytest.raises(Unavailable, match="an index still has to forget it"):
        host.erase(OWNER, "home", EraseMemories((secret,), "asked"))
    assert any("erasure that is being finished" in reason for reason in host.ready())
    with pytest.raises(MemoryErased):
        host.read_memory(OWNER, "home", secret, None)
    broken = False
    eventually(lambda: host.ready() == [])
    receipt = host.erase(OWNER, "home", EraseMemories((secret,), "asked"))
    assert receipt.erased == (secret,)
    host.close()
    assert find(tmp_path, NEEDLES, WORDS) == []


def test_an_expired_memory_is_not_found(tmp_path: Path, catalogue: Catalogue) -> None:
    host = _open(tmp_path, catalogue)
    now_us = int(time.time() * 1_000_000)
    expiring = NewMemory("expired note", expires_at_us=now_us - 1)
    host.add(OWNER, "home", AddMemories((expiring, NewMemory("kept note", expires_at_us=now_us + 10**12))))
    found = host.search(OWNER, "home", query("note", HashEmbedder())).hits
    assert [hit.memory.text for hit in found] == ["kept note"]
    [due] = host.due(OWNER, "home")
    assert due.reason == "it expired"
    assert [item.memory_id for item in host.archive_due(OWNER, "home", 10)] == [due.memory_id]
    assert host.read_memory(OWNER, "home", due.memory_id, None).state is State.ARCHIVED
    host.close()


def test_a_whole_cube_leaves_nothing(tmp_path: Path, catalogue: Catalogue) -> None:
    host = _open(tmp_path, catalogue)
    ids = [memory.id for memory in host.add(OWNER, "home", texts(*(f"{SECRET} {n}" for n in range(8)))).memories]
    host.change_cube(OWNER, "home", f"name of {SECRET}", None)
    kept = host.add(OWNER, "other", texts("kept")).memories[0].id
    with pytest.raises(Forbidden):
        host.erase_cube(Caller("carl", "k", "r"), "home", "", [])
    receipt = host.erase_cube(OWNER, "home", "asked", [("other", "x")])
    assert receipt.erased == tuple(ids) and receipt.derived == (("other", "x"),)
    assert find(tmp_path, NEEDLES, WORDS) == []
    assert host.read_cube(OWNER, "home").counts == {}
    with pytest.raises(CubeNotFound):
        host.add(OWNER, "home", texts("again"))
    assert host.verify(OWNER, "home").problems == ()
    host.close()
    for path in tmp_path.glob("shards/*/snapshots/*"):
        path.unlink()
    host = _open(tmp_path, catalogue)
    assert host.erase_cube(OWNER, "home", "asked", []) == receipt
    assert host.search(OWNER, "home", query(SECRET, HashEmbedder())).hits == ()
    assert host.read_memory(OWNER, "other", kept, None).text == "kept"
    host.close()


async def _add(rig: GatewayRig, cube: str, text: str, *parents: tuple[str, str]) -> str:
    references = tuple(Reference(parent_cube, parent, 1) for parent_cube, parent in parents)
    added = await rig.gateway.add(rig.root, cube, AddMemories((NewMemory(text, derived_from=references),)))
    return added.memories[0].id


@runs
async def test_what_was_derived_goes_on_every_host_and_is_shown_to_those_who_may_read_it(rig: GatewayRig) -> None:
    a, b = rig.cubes_of_each_host()
    for cube in (a, b):
        await rig.gateway.create_cube(rig.root, NewCube(cube))
    carl = await rig.principal("carl")
    await rig.gateway.put_grant(rig.root, a, "carl", Role.CURATOR)
    root = await _add(rig, a, "root")
    there = await _add(rig, b, "in another cube", (a, root))
    further = await _add(rig, b, "further", (b, there))
    back = await _add(rig, a, "and back", (b, further))
    kept = await _add(rig, b, "kept")
    receipt = await rig.gateway.erase_memories(carl, a, EraseMemories((root,), "asked"))
    assert receipt.erased == (root,) and receipt.derived == ((a, back),)
    for cube, memory_id in ((a, root), (b, there), (b, further), (a, back)):
        with pytest.raises(MemoryErased):
            await rig.gateway.read_memory(rig.root, cube, memory_id, None)
    assert (await rig.gateway.read_memory(rig.root, b, kept, None)).text == "kept"
    shown = await rig.gateway.erase_memories(rig.root, a, EraseMemories((root,)))
    assert set(shown.derived) == {(b, there), (b, further), (a, back)}


@runs
async def test_what_is_held_anywhere_stops_it_before_anything_is_gone(rig: GatewayRig) -> None:
    a, b = rig.cubes_of_each_host()
    for cube in (a, b):
        await rig.gateway.create_cube(rig.root, NewCube(cube))
    carl = await rig.principal("carl")
    await rig.gateway.put_grant(rig.root, a, "carl", Role.CURATOR)
    root = await _add(rig, a, "root")
    held = await _add(rig, b, "held", (a, root))
    free = await _add(rig, b, "free", (a, root))
    await rig.gateway.move_memory(rig.root, b, MoveMemory(held, State.FROZEN))
    with pytest.raises(Forbidden):
        await rig.gateway.erase_memories(carl, a, EraseMemories((root,), "asked"))
    for cube, memory_id in ((a, root), (b, held), (b, free)):
        await rig.gateway.read_memory(rig.root, cube, memory_id, None)
    rig.directory.lose["erase"] = 1
    await rig.gateway.erase_memories(rig.root, a, EraseMemories((root,), "court order"))
    with pytest.raises(MemoryErased):
        await rig.gateway.read_memory(rig.root, b, held, None)


@runs
async def test_retention_archives_erases_and_leaves_what_is_held(rig: GatewayRig) -> None:
    await rig.gateway.create_cube(rig.root, NewCube("c", policy={"retention": {"erase_after_days": 0}}))
    old, held, origin = [await _add(rig, "c", text) for text in ("old", "held", "origin")]
    await _add(rig, "c", "frozen copy", ("c", origin))
    frozen = (await rig.gateway.due(rig.root, "c")), await _add(rig, "c", "copy", ("c", origin))
    for memory_id in (held, frozen[1]):
        await rig.gateway.move_memory(rig.root, "c", MoveMemory(memory_id, State.FROZEN))
    for memory_id in (old, origin):
        await rig.gateway.move_memory(rig.root, "c", MoveMemory(memory_id, State.ARCHIVED))
    done = await rig.gateway.apply_retention(rig.root, "c")
    assert [item.memory_id for item in done.erased] == [old]
    assert [item.memory_id for item in done.held] == [origin]
    assert (await rig.gateway.read_memory(rig.root, "c", frozen[1], None)).state is State.FROZEN
    with pytest.raises(MemoryErased):
        await rig.gateway.read_memory(rig.root, "c", old, None)


@runs
async def test_a_cube_is_gone_and_its_id_stays_taken(rig: GatewayRig) -> None:
    await rig.gateway.create_cube(rig.root, NewCube("c", f"Cube of {SECRET}"))
    memory_id = await _add(rig, "c", SECRET)
    receipt = await rig.gateway.erase_cube(rig.root, "c", "asked")
    assert receipt.erased == (memory_id,)
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(rig.root, "c")
    assert (await rig.gateway.list_cubes(rig.root, 10, None)).items == ()
    assert rig.system.host.verify() == []
    assert SECRET.encode() not in b"".join(event.content or b"" for event in rig.system.storage.events)
    assert SECRET not in str(rig.system.snapshots.states)
    with pytest.raises(Exception, match="taken"):
        await rig.gateway.create_cube(rig.root, NewCube("c"))
