"""Cubes and archives for tests: a cube with a history, its archive, and archives that were tampered with."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from actors.memory.archive_format import CHECKSUMS, MANIFEST, ArchiveWriter
from actors.memory.governance import Caller
from actors.memory.lifecycle import State
from actors.memory.requests import ChangeMemory, ExportCube, ImportCube, MoveMemory, NewCube
from cluster.gateway import Gateway
from tests.unit.hosts import texts

Members = dict[str, bytes]


async def storied(gateway: Gateway, owner: Caller, cube_id: str = "home") -> list[str]:
    """A cube with every kind of event: memories that were added, changed, archived, revived and frozen; their ids."""
    await gateway.create_cube(owner, NewCube(cube_id, "At home"))
    added = await gateway.add(
        owner, cube_id, texts("the cat sleeps", "the dog barks", "a bird sings", "the cat sleeps")
    )
    ids = [memory.id for memory in added.memories]
    await gateway.change_memory(owner, cube_id, ChangeMemory(ids[0], {"text": "the cat is awake", "tags": ("pets",)}))
    await gateway.move_memory(owner, cube_id, MoveMemory(ids[1], State.ARCHIVED, "too loud"))
    await gateway.move_memory(owner, cube_id, MoveMemory(ids[1], State.ACTIVATED, "quiet again"))
    await gateway.move_memory(owner, cube_id, MoveMemory(ids[2], State.FROZEN, "evidence"))
    await gateway.change_cube(owner, cube_id, "At home again", None)
    return ids


async def exported(gateway: Gateway, caller: Caller, cube_id: str = "home", request: ExportCube | None = None) -> bytes:
    pieces = await gateway.export_cube(caller, cube_id, request or ExportCube())
    return b"".join([piece async for piece in pieces])


async def imported(
    gateway: Gateway, caller: Caller, archive: bytes, cube_id: str | None = "copy", name: str | None = None
) -> Any:
    return await gateway.import_cube(caller, in_pieces(archive), ImportCube(cube_id, name))


async def in_pieces(archive: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(archive), size):
        yield archive[start : start + size]


def members_of(archive: bytes) -> Members:
    """{name: content}, as the standard library's tar sees it."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]


def packed(members: Mapping[str, bytes]) -> bytes:
    """An archive of these members, its checksums in order."""
    writer = ArchiveWriter()
    pieces = [piece for name, data in members.items() if name != CHECKSUMS for piece in writer.member(name, data)]
    return b"".join([*pieces, *writer.end()])


def changed(archive: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with one member made into something else, and checksums that hold."""
    return packed({known: change(data) if known == name else data for known, data in members_of(archive).items()})


def without_timestamps(archive: bytes) -> Members:
    """The members, but for the checksums, with the timestamps of the manifest put to nothing."""
    members = members_of(archive)
    head, _, rest = members[MANIFEST].partition(b'"exported_at": "')
    return {**members, MANIFEST: head + rest.partition(b'"')[2], CHECKSUMS: b""}


def spool_is_empty(folder: Path) -> bool:
    return not any(path.is_file() for path in folder.rglob("*"))
