"""The archives of the plain backend: real ones, of cubes whose bytes a test gives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from actors.memory.archive_check import ArchiveCheck
from actors.memory.archive_format import MANIFEST, ArchiveWriter, Manifest, part_name
from actors.memory.governance import Action, Caller
from actors.memory.requests import CubeView, ExportCube, ImportCube, NewCube


def archive(cube_id: str = "home", size: int = 200_000) -> bytes:
    """An archive whose tar, manifest and checksums hold; what its events are is not looked at here."""
    writer = ArchiveWriter()
    manifest = Manifest(cube_id, "Home", 1, True, "plain", 2, 1_700_000_000_000_000)
    pieces = [*writer.member(MANIFEST, manifest.encode()), *writer.member(part_name("events", 0), b"e" * size)]
    return b"".join([*pieces, *writer.end()])


class PlainArchives:
    """`exports` is what cubes are exported as, in pieces; `closed` counts the exports that were let go of."""

    exports: dict[str, list[bytes]]
    requested: list[ExportCube]
    closed: int

    async def export_cube(self, caller: Caller, cube_id: str, request: ExportCube) -> AsyncGenerator[bytes]:
        self._enter(caller, Action.EXPORT, cube_id)  # type: ignore[attr-defined]
        self.requested.append(request)
        return self._pieces(self.exports[cube_id])

    async def _pieces(self, pieces: list[bytes]) -> AsyncGenerator[bytes]:
        try:
            for piece in pieces:
                yield piece
        finally:
            self.closed += 1

    async def import_cube(self, caller: Caller, archive: AsyncIterator[bytes], request: ImportCube) -> CubeView:
        check = ArchiveCheck(limit_bytes=16 << 20)
        async for piece in archive:
            check.feed(piece)
        manifest = check.finish()
        cube_id = request.cube_id or manifest.cube_id
        name = manifest.name if request.name is None else request.name
        view: CubeView = await self.create_cube(caller, NewCube(cube_id, name))  # type: ignore[attr-defined]
        return view
