"""Archives of cubes of which something was erased: tombstones travel, and nothing of the content does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from actors.errors import ArchiveRefused, Conflict, MemoryErased
from actors.exporting import text_digest
from actors.memory.archive_events import ArchivedEvent
from actors.memory.archive_format import MANIFEST
from actors.memory.erasure import EraseMemories
from actors.memory.governance import Caller
from actors.memory.item import Reference
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.requests import (
    AddMemories,
    ChangeMemory,
    ExportCube,
    ListMemories,
    Moment,
    MoveMemory,
    NewMemory,
)
from actors.memory.time_requests import ForkCube
from actors.stores.archive.parts import decode_events, decode_vectors, encode_events
from tests.unit.archives import changed, exported, imported, members_of, storied, without_timestamps
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import query, texts

SECRET = "the safe opens with 4711"
EVENTS, VECTORS = "events/000000.parquet", "vectors/000000.safetensors"


async def _erased(rig: GatewayRig) -> tuple[str, int, list[str]]:
    """A cube of which a memory was erased with all that followed from it: its id, the version before that, and the ids
    of what went.
    """
    ids = await storied(rig.gateway, rig.root)
    home = "home"
    [secret] = (await rig.gateway.add(rig.root, home, texts(SECRET))).memories
    derived = NewMemory("so it opens", derived_from=(Reference("", secret.id, 0),), ref="derived")
    [child] = (await rig.gateway.add(rig.root, home, AddMemories((derived,)))).memories
    await rig.gateway.change_memory(rig.root, home, ChangeMemory(secret.id, {"text": f"{SECRET}, twice"}))
    await rig.gateway.move_memory(
        rig.root, home, MoveMemory(ids[1], State.MERGED, "newer", into=secret.id, absorption=Absorption.SUPERSEDED)
    )
    await rig.gateway.roll_back(rig.root, home, Moment(version=11), "as before")
    before = (await rig.gateway.read_cube(rig.root, home)).version
    await rig.gateway.add(rig.root, home, texts("a goat climbs"))
    await rig.gateway.erase_memories(rig.root, home, EraseMemories((secret.id,), "asked for"))
    await rig.gateway.add(rig.root, home, texts("a hen runs"))
    return home, before, [secret.id, child.id]


def _rows(archive: bytes) -> list[ArchivedEvent]:
    return [
        row
        for name, data in members_of(archive).items()
        if name.startswith("events")
        for row in decode_events(name, data)
    ]


async def _listed(rig: GatewayRig, caller: Caller, cube: str, version: int) -> list[tuple[object, ...]]:
    page = await rig.gateway.list_memories(caller, cube, ListMemories(200, as_of=Moment(version=version)))
    return [(m.id, m.version, m.state, m.text, m.recorded_at_us, m.links.into) for m in page.items]


def _row_memories(rig: GatewayRig) -> list[str]:
    with rig.parts[rig.owner("copy")]._shard_for("copy").reading("copy") as cube:
        return list(cube.state.rows.memory_ids)


@runs
async def test_a_cube_with_erased_memories_comes_back_as_it_is_to_the_byte(rig: GatewayRig) -> None:
    home, _, gone = await _erased(rig)
    first = await exported(rig.gateway, rig.root)
    view = await imported(rig.gateway, rig.root, first)
    assert view.version == (await rig.gateway.read_cube(rig.root, home)).version
    rows = _row_memories(rig)
    for _ in range(2):
        assert _row_memories(rig) == rows
        for version in range(1, view.version + 1):
            assert await _listed(rig, rig.root, "copy", version) == await _listed(rig, rig.root, home, version)
        for memory_id in gone:
            for ask in (rig.gateway.history, lambda *of: rig.gateway.read_memory(*of, None)):
                with pytest.raises(MemoryErased) as erased:
                    await ask(rig.root, "copy", memory_id)
                assert erased.value.facts["cube"] == "copy" and erased.value.facts["versions"]
        assert (await rig.gateway.verify(rig.root, "copy")).problems == ()
        assert without_timestamps(await exported(rig.gateway, rig.root, "copy")) == without_timestamps(first)
        found = await rig.gateway.search(rig.root, ["copy"], query("a hen runs", rig.embedder))
        assert found.hits[0].memory.text == "a hen runs"
        for snapshots in rig.snapshots.values():  # the same when it is folded anew
            snapshots.discard()
        for host in range(2):
            rig.restart(host)


@runs
async def test_nothing_of_an_erased_memory_leaves(rig: GatewayRig) -> None:
    _, before, gone = await _erased(rig)
    for request in (ExportCube(), ExportCube(history=False), ExportCube(as_of=Moment(version=before))):
        rows = _rows(await exported(rig.gateway, rig.root, "home", request))
        assert not [row for row in rows if row.content and (b"4711" in row.content or b"so it opens" in row.content)]
        told = {row.memory_id for row in rows if row.type == "memory.erased"}
        assert told == (set(gone) if request.history else set())


@runs
async def test_what_the_journal_still_holds_of_an_erased_memory_stays_there(rig: GatewayRig) -> None:
    """A fork's events of before are its origin's, whose memory is not erased."""
    await storied(rig.gateway, rig.root)
    [secret] = (await rig.gateway.add(rig.root, "home", texts(SECRET))).memories
    await rig.gateway.fork_cube(rig.root, "home", ForkCube("fork"))
    await rig.gateway.erase_memories(rig.root, "fork", EraseMemories((secret.id,), "asked for"))
    assert (await rig.gateway.read_memory(rig.root, "home", secret.id, None)).text == SECRET
    archive = await exported(rig.gateway, rig.root, "fork")
    assert not [row for row in _rows(archive) if row.content and b"4711" in row.content]
    digests, _ = decode_vectors(VECTORS, members_of(archive)[VECTORS], 64)
    told = {bytes(digest) for digest in digests}
    assert len(told) == 4 and told.isdisjoint(bytes(text_digest(text)) for text in (SECRET, ""))
    await imported(rig.gateway, rig.root, archive)
    with pytest.raises(MemoryErased):
        await rig.gateway.read_memory(rig.root, "copy", secret.id, None)
    assert without_timestamps(await exported(rig.gateway, rig.root, "copy")) == without_timestamps(archive)


@runs
async def test_an_archive_of_before_an_erasure_says_what_was_erased_since(rig: GatewayRig) -> None:
    _, before, gone = await _erased(rig)
    archive = await exported(rig.gateway, rig.root, "home", ExportCube(as_of=Moment(version=before)))
    view = await imported(rig.gateway, rig.root, archive)
    assert view.version == before + 3  # two tombstones and their receipt
    assert await _listed(rig, rig.root, "copy", before) == await _listed(rig, rig.root, "home", before)
    with pytest.raises(MemoryErased):
        await rig.gateway.read_memory(rig.root, "copy", gone[0], None)
    assert (await rig.gateway.verify(rig.root, "copy")).problems == ()
    assert without_timestamps(await exported(rig.gateway, rig.root, "copy")) == without_timestamps(archive)
    early = await exported(rig.gateway, rig.root, "home", ExportCube(as_of=Moment(version=5)))
    assert not [row for row in _rows(early) if row.type in ("memory.erased", "erasure.completed")]


@runs
async def test_what_was_derived_in_an_imported_cube_goes_with_its_origin(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    [source] = (await rig.gateway.add(rig.root, "home", texts(SECRET))).memories
    derived = NewMemory("so it opens", derived_from=(Reference("", source.id, 0),))
    [child] = (await rig.gateway.add(rig.root, "home", AddMemories((derived,)))).memories
    for history in (True, False):
        cube = f"copy-{history}"
        await imported(
            rig.gateway, rig.root, await exported(rig.gateway, rig.root, "home", ExportCube(history=history)), cube
        )
        receipt = await rig.gateway.erase_memories(rig.root, cube, EraseMemories((source.id,)))
        assert receipt.derived == ((cube, child.id),)
        again = await rig.gateway.erase_memories(rig.root, cube, EraseMemories((source.id,)))
        assert again == receipt
    assert (await rig.gateway.read_memory(rig.root, "home", child.id, None)).text == "so it opens"


@runs
async def test_an_export_during_which_something_is_erased_is_broken_off(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    [secret] = (await rig.gateway.add(rig.root, "home", texts(SECRET))).memories
    pieces = await rig.gateway.export_cube(rig.root, "home", ExportCube())
    await rig.gateway.erase_memories(rig.root, "home", EraseMemories((secret.id,)))
    with pytest.raises(Conflict, match="export it again"):
        [piece async for piece in pieces]


Change = Callable[[list[ArchivedEvent]], list[ArchivedEvent]]


def _emptied(**fields: Any) -> Change:
    """The first emptied event with some fields changed."""

    def change(rows: list[ArchivedEvent]) -> list[ArchivedEvent]:
        at = next(n for n, row in enumerate(rows) if row.content is None)
        return [replace(row, **fields) if n == at else row for n, row in enumerate(rows)]

    return change


def _told(type: str, **fields: Any) -> Change:
    """The first event of a type with some of its content changed."""

    def change(rows: list[ArchivedEvent]) -> list[ArchivedEvent]:
        at = next(n for n, row in enumerate(rows) if row.type == type)
        known = json.loads(rows[at].content or b"")
        if type == "erasure.completed":
            fields.setdefault("receipt", {**known["receipt"], **fields.pop("of_receipt", {})})
        content = json.dumps({**known, **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return [replace(row, content=content) if n == at else row for n, row in enumerate(rows)]

    return change


def _without_tombstones(rows: list[ArchivedEvent]) -> list[ArchivedEvent]:
    kept = [row for row in rows if not row.type.startswith(("memory.erased", "erasure"))]
    return [replace(row, version=number) for number, row in enumerate(kept, start=1)]


def _twice(rows: list[ArchivedEvent]) -> list[ArchivedEvent]:
    told = [row for row in rows if row.type == "memory.erased"]
    return [*rows, replace(told[0], version=len(rows) + 1, recorded_at_us=rows[-1].recorded_at_us)]


FORGED: dict[str, Change] = {
    "content of a memory that was erased": _emptied(content=b'{"form":"plaintext"}'),
    "content that is gone, and no erasure": _without_tombstones,
    "a memory that is erased twice": _twice,
    "an emptied event of an unknown memory": _emptied(memory_id="mem_" + "0" * 32),
    "an emptied event that begins in the middle": _emptied(memory_version=3),
    "an emptied event about the cube": _emptied(type="cube.changed", memory_id=""),
    "a tombstone with more in it": _told("memory.erased", text=SECRET),
    "a tombstone whose rows are no numbers": _told("memory.erased", rows_at=["x"]),
    "a tombstone whose versions are none": _told("memory.erased", versions=[[1]]),
    "a tombstone of an unknown cause": _told("memory.erased", because="fun"),
    "a receipt of another cube": _told("erasure.completed", of_receipt={"cube_id": "trip"}),
    "a receipt of another cube's memories": _told("erasure.completed", of_receipt={"derived": [["trip", "x"]]}),
    "a receipt of what is there": _told("erasure.completed", of_receipt={"erased": ["mem_" + "1" * 32]}),
    "a receipt that looked elsewhere": _told("erasure.completed", of_receipt={"places": ["moon"]}),
}


def _of_events(change: Change) -> Callable[[bytes], bytes]:
    return lambda data: encode_events(change(list(decode_events(EVENTS, data))))


@runs
async def test_forged_erasures_are_refused(rig: GatewayRig) -> None:
    await _erased(rig)
    archive = await exported(rig.gateway, rig.root)
    for kind, change in FORGED.items():
        forged = changed(archive, EVENTS, _of_events(change))
        with pytest.raises(ArchiveRefused) as refusal:
            await imported(rig.gateway, rig.root, forged)
        assert refusal.value.facts["reason"] == "event", (kind, refusal.value.detail)
    assert await imported(rig.gateway, rig.root, archive)


@runs
async def test_memories_that_are_merged_in_a_circle_are_refused(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    archive = await exported(rig.gateway, rig.root, "home", ExportCube(history=False))

    def circle(data: bytes) -> bytes:
        rows = list(decode_events(EVENTS, data))
        for at, into in ((1, 2), (2, 1)):
            known = json.loads(rows[at].content or b"")
            links = {"into": rows[into].memory_id, "into_version": 1, "kind": "duplicate"}
            told = {**known, "state": "merged", "links": links}
            content = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            rows[at] = replace(rows[at], content=content)
        return encode_events(rows)

    with pytest.raises(ArchiveRefused, match="merged into itself"):
        await imported(rig.gateway, rig.root, changed(archive, EVENTS, circle))


@runs
async def test_what_names_another_cube_is_not_taken_in_under_its_id(rig: GatewayRig) -> None:
    await storied(rig.gateway, rig.root)
    elsewhere = NewMemory("seen on a trip", derived_from=(Reference("trip", "mem_" + "1" * 32, 1),))
    await rig.gateway.add(rig.root, "home", AddMemories((elsewhere,)))
    archive = await exported(rig.gateway, rig.root)
    with pytest.raises(ArchiveRefused, match="under another id"):
        await imported(rig.gateway, rig.root, archive, "trip")
    assert json.loads(members_of(archive)[MANIFEST])["cube"]["id"] == "home"
    await imported(rig.gateway, rig.root, archive, "journey")
