"""Exports and imports over the cluster: sessions that hosts keep, driven chunk by chunk."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from actors.errors import AlreadyExists, ArchiveRefused, Conflict, MemosError
from actors.memory.archive_check import ArchiveCheck
from actors.memory.archive_format import BLOCK_BYTES, MANIFEST_BYTES
from actors.memory.events import EventType
from actors.memory.governance import Caller, CubeAccess
from actors.memory.identity import check_cube_id
from actors.memory.requests import ExportCube, ImportCube, ImportedCube, NewCube

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
"""What is sent to a host at a time, at most about twice."""

OUTCOME_S = 5.0
"""How long one call waits for an import to be worked off."""

_HEAD_BYTES = 2 * BLOCK_BYTES + MANIFEST_BYTES


Call = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Calls:
    """The gateway's ways to call: `system(method, …)`, and a cube's host by `host(cube, method, …)`, both repeated
    while their part restarts, or by `once(cube, method, …)`, which is not.
    """

    system: Call
    host: Call
    once: Call


class ArchiveCalls:
    """For one event loop."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._settling: set[asyncio.Task[Any]] = set()

    # out

    async def export_cube(self, caller: Caller, cube_id: str, request: ExportCube) -> AsyncGenerator[bytes]:
        """The bytes of an archive, once it is known that there is one. Close the generator, or let it end: until then
        the host keeps the export, or for a minute in which nobody asks for more.
        """
        name: str = await self._calls.host(cube_id, "begin_export", caller, cube_id, request)
        return self._exported(caller, cube_id, name)

    async def _exported(self, caller: Caller, cube_id: str, name: str) -> AsyncGenerator[bytes]:
        try:
            number = 0
            while chunk := await self._calls.once(cube_id, "export_chunk", caller, name, number):
                yield chunk
                number += 1
        finally:
            self._later(self._calls.once(cube_id, "end_export", name))

    # in

    async def import_cube(self, caller: Caller, archive: AsyncIterator[bytes], request: ImportCube) -> str:
        """The id of the cube that an archive became, visible to its importer. Raises as soon as something is wrong with
        what has arrived; then no cube is left. It goes on once the archive is complete, whoever waits.
        """
        chunks = _regular(archive)
        head, cube_id = await _head(chunks, request.cube_id)
        access = await self._reserved(caller, check_cube_id(cube_id))
        try:
            await self._send(caller, access, request.name, head, chunks)
        except BaseException as error:
            self._later(self._undo(access))
            if not isinstance(error, MemosError):
                raise
            await self._settled()
            raise
        return await asyncio.shield(self._later(self._outcome(caller, access)))

    async def _send(
        self, caller: Caller, access: CubeAccess, name: str | None, head: bytes, chunks: AsyncIterator[bytes]
    ) -> None:
        cube_id, importing = access.cube_id, access.importing
        await self._calls.once(cube_id, "begin_import", caller, access, name)
        await self._calls.once(cube_id, "import_chunk", caller, importing, 0, head)
        offset = len(head)
        async for chunk in chunks:
            await self._calls.once(cube_id, "import_chunk", caller, importing, offset, chunk)
            offset += len(chunk)
        await self._calls.once(cube_id, "finish_import", caller, importing)

    async def _outcome(self, caller: Caller, access: CubeAccess) -> str:
        cube_id, importing = access.cube_id, access.importing
        done: ImportedCube | None = None
        try:
            while done is None:
                done = await self._calls.once(cube_id, "import_outcome", caller, importing, OUTCOME_S)
        except MemosError:
            if not await self._undo(access):
                raise
        else:
            await self._settle(access, EventType.CUBE_IMPORTED)
            self._later(self._calls.once(cube_id, "end_import", importing))
        return cube_id

    async def settle(self, cube_id: str) -> bool:
        """Whether the id is free now: of an import that was cut short it is found out, and recorded, what became of it.
        False, too, while one goes on.
        """
        access: CubeAccess | None = await self._calls.system("cube_access", cube_id)
        if access is None or not access.importing:
            return False
        try:
            there: bool = await self._calls.host(cube_id, "settle_import", access)
        except Conflict:
            return False
        await self._settle(access, EventType.CUBE_IMPORTED if there else EventType.CUBE_RELEASED)
        return not there

    async def registered(self, caller: Caller, new: NewCube) -> CubeAccess:
        """A new cube, entered into the catalogue. Raises AlreadyExists."""
        return await self._entered(new.id, "register_cube", caller, new)

    async def _reserved(self, caller: Caller, cube_id: str) -> CubeAccess:
        """The id, taken for a new import."""
        return await self._entered(cube_id, "reserve_cube", caller, cube_id, secrets.token_hex(16))

    async def _entered(self, cube_id: str, method: str, *args: Any) -> CubeAccess:
        """What the system host answers, once more when the id was held by an import that was cut short."""
        try:
            access: CubeAccess = await self._calls.system(method, *args)
        except AlreadyExists:
            if not await self.settle(cube_id):
                raise
            access = await self._calls.system(method, *args)
        return access

    async def _undo(self, access: CubeAccess) -> bool:
        """Nothing came of an import, as far as is known: let go of it, and of its id when the host confirms. Whether
        the cube is there all the same.
        """
        try:
            await self._calls.host(access.cube_id, "end_import", access.importing)
            return not await self.settle(access.cube_id)
        except MemosError as error:
            log.warning("cube %s stays reserved until its id is asked for: %s", access.cube_id, error)
            return False

    async def _settle(self, access: CubeAccess, type: EventType) -> None:
        settled: CubeAccess = await self._calls.system("settle_cube", access.cube_id, access.importing, type)
        await self._calls.host(access.cube_id, "set_access", settled)

    def _later(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """Do it whatever becomes of the request."""

        async def quietly() -> Any:
            return await work

        task = asyncio.ensure_future(quietly())
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task

    async def _settled(self) -> None:
        await asyncio.gather(*self._settling, return_exceptions=True)


async def _regular(archive: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of CHUNK_BYTES and more, up to what arrives at once; few calls, none of them large."""
    held = bytearray()
    async for piece in archive:
        held += piece
        while len(held) >= CHUNK_BYTES:
            yield bytes(held[:CHUNK_BYTES])
            del held[:CHUNK_BYTES]
    if held:
        yield bytes(held)


async def _head(chunks: AsyncIterator[bytes], cube_id: str | None) -> tuple[bytes, str]:
    """The beginning of an archive, up to its manifest at least, and the id of the cube that it is to become."""
    head = bytearray()
    check = ArchiveCheck(limit_bytes=1 << 62)
    async for chunk in chunks:
        known = len(head)
        head += chunk
        check.feed(bytes(head[known:]))
        if check.manifest is not None:
            return bytes(head), cube_id if cube_id is not None else check.manifest.cube_id
        if len(head) > _HEAD_BYTES:
            break
    check.finish()
    raise ArchiveRefused("the archive is refused: it has no manifest", reason="truncated")
