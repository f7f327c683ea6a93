"""Where the parts meet: merges, rollbacks, forks, erasure, masks, the audit and archives, of one and the same cube."""

from __future__ import annotations

import pytest

from actors.errors import Conflict, MemoryErased
from actors.memory.auditing import AuditAction, AuditQuery
from actors.memory.erasure import EraseMemories
from actors.memory.governance import Caller, Role
from actors.memory.lifecycle import State
from actors.memory.merging import SplitMemory
from actors.memory.provenance import ReadProvenance
from actors.memory.requests import AddMemories, Moment, MoveMemory, NewCube, NewMemory
from actors.memory.time_requests import CompareVersions, ForkCube
from tests.unit.archives import exported, imported, without_timestamps
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import OWNER, PlainRig, query, texts

MAIL = "zoe@example.org"
READER = Caller("rita", "key-r", "req")


async def repeated(rig: GatewayRig) -> tuple[str, str, str]:
    """A cube, a memory of it, and the repeat that it absorbed."""
    origin, _ = rig.cubes_of_each_host()
    await rig.gateway.create_cube(rig.root, NewCube(origin))
    added = await rig.gateway.add(rig.root, origin, texts("the secret garden", "the secret garden", "tea"))
    first, second, _ = added.memories
    assert (first.state, second.state) == (State.ACTIVATED, State.MERGED)
    return origin, first.id, second.id


@runs
async def test_a_rollback_undoes_a_split_and_a_fork_keeps_its_merges(rig: GatewayRig) -> None:
    origin, first, second = await repeated(rig)
    gateway = rig.gateway
    before = (await gateway.read_cube(rig.root, origin)).version
    await gateway.split(rig.root, origin, SplitMemory(second))
    assert (await gateway.read_memory(rig.root, origin, first, None)).sources == 1
    await gateway.roll_back(rig.root, origin, Moment(version=before), "no")
    again = await gateway.read_memory(rig.root, origin, second, None)
    assert (again.state, again.links.into, again.reason) == (State.MERGED, first, "no")
    assert (await gateway.read_memory(rig.root, origin, first, None)).sources == 2
    await gateway.fork_cube(rig.root, origin, ForkCube("f"))
    found = await gateway.provenance(rig.root, "f", ReadProvenance(first))
    assert [(tied.reference.cube_id, tied.reference.memory_id) for tied in found.related] == [("f", second)]
    assert all(version.by is not None for version in found.versions)


@runs
async def test_erasing_reaches_what_was_absorbed_and_every_fork_of_a_fork(rig: GatewayRig) -> None:
    origin, first, second = await repeated(rig)
    gateway = rig.gateway
    await gateway.fork_cube(rig.root, origin, ForkCube("f"))
    await gateway.fork_cube(rig.root, "f", ForkCube("g"))
    with pytest.raises(Conflict):
        await gateway.erase_cube(rig.root, origin, "asked")
    receipt = await gateway.erase_memories(rig.root, origin, EraseMemories((first,), "asked"))
    assert set(receipt.erased) == {first, second}
    assert {(cube, memory) for cube in ("f", "g") for memory in (first, second)} <= set(receipt.derived)
    for number in range(2):
        rig.restart(number)
    for cube in (origin, "f", "g"):
        with pytest.raises(MemoryErased):
            await gateway.read_memory(rig.root, cube, first, None)
        hits = (await gateway.search(rig.root, [cube], query("secret garden", rig.embedder))).hits
        assert {hit.memory.text for hit in hits} <= {"tea"}
        assert (await gateway.verify(rig.root, cube)).problems == ()
    rolled = await gateway.roll_back(rig.root, origin, Moment(version=4), "")
    with pytest.raises(MemoryErased):
        await gateway.read_memory(rig.root, origin, first, None)
    assert rolled.frozen == ()


@runs
async def test_a_history_of_merges_and_rollbacks_comes_back_from_an_archive(rig: GatewayRig) -> None:
    origin, first, second = await repeated(rig)
    gateway = rig.gateway
    await gateway.split(rig.root, origin, SplitMemory(second))
    await gateway.move_memory(rig.root, origin, MoveMemory(first, State.FROZEN, "held"))
    await gateway.roll_back(rig.root, origin, Moment(version=4), "")
    archive = await exported(gateway, rig.root, origin)
    await imported(gateway, rig.root, archive, "copy")
    assert without_timestamps(await exported(gateway, rig.root, "copy")) == without_timestamps(archive)
    theirs = await gateway.read_memory(rig.root, origin, second, None)
    ours = await gateway.read_memory(rig.root, "copy", second, None)
    assert (ours.state, ours.links) == (theirs.state, theirs.links)
    await gateway.erase_memories(rig.root, "copy", EraseMemories((second,), "asked"))
    await imported(gateway, rig.root, await exported(gateway, rig.root, "copy"), "again")
    for cube in ("copy", "again"):
        with pytest.raises(MemoryErased):
            await gateway.read_memory(rig.root, cube, second, None)


def test_a_reader_sees_masks_in_provenance_and_differences_and_each_look_is_recorded() -> None:
    rig = PlainRig()
    rig.catalogue.register("c", rita=Role.READER)
    rig.host.change_cube(OWNER, "c", None, {"redaction": {"mode": "mask", "entities": []}})
    [made] = rig.host.add(OWNER, "c", AddMemories((NewMemory(f"write to {MAIL}"),))).memories
    found = rig.host.lineage.provenance(READER, "c", ReadProvenance(made.id))
    page = rig.host.compare(READER, "c", CompareVersions(Moment(version=1), Moment(version=3)))
    assert MAIL not in found.memory.text
    assert [MAIL in (each.after.text if each.after else "") for each in page.items] == [False]
    rig.host.roll_back(OWNER, "c", Moment(version=3), f"asked by {MAIL}")
    rows = [row for row in rig.host.audit(OWNER, "c", AuditQuery()) if row.action is not AuditAction.DENIED]
    said = {row.detail for row in rows}
    for what in ("provenance", "diff", "rollback"):
        assert any(f'"{what}"' in detail for detail in said)
    assert not any(MAIL in detail for detail in said)
