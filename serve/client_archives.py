"""How the client moves archives: from the server into a file, and from a file to the server, a piece at a time."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from actors.errors import MemosError
from actors.memory.archive_check import ArchiveCheck
from serve.client_transport import MemosConnectionError, Transport
from serve.client_types import Cube, read

PIECE_BYTES = 1 << 20

Progress = Callable[[int], None]
"""Told the number of bytes that have been moved so far."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive in a file, its checksums checked. `version` counts the events in it, `exported_cube` is the cube where
    its history began.
    """

    path: Path
    size: int
    exported_cube: str
    version: int
    history: bool


def save(pieces: Iterator[bytes], target: Path, progress: Progress) -> Archive:
    """Write an archive to a file that appears, in the place of one that is there, once every checksum holds.

    Raises MemosConnectionError when what came is no whole archive, OSError; then the target is as it was.
    """
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    check = ArchiveCheck(limit_bytes=1 << 62)
    try:
        with partial.open("xb") as file:
            for piece in pieces:
                check.feed(piece)
                file.write(piece)
                progress(check.size)
            manifest = check.finish()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except MemosError as error:
        raise MemosConnectionError(f"the archive did not arrive as it was sent: {error.detail}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Archive(target, check.size, manifest.cube_id, manifest.version, manifest.history)


def pieces_of(source: Path, progress: Progress) -> Iterator[bytes]:
    """The content of a file. Raises OSError."""
    sent = 0
    with source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            sent += len(piece)
            progress(sent)


class CubeArchives:
    """The part of the client that moves cubes, and has them again."""

    _transport: Transport

    def export_cube(
        self,
        cube_id: str,
        target: Path,
        *,
        as_of: int | str | None = None,
        history: bool = True,
        progress: Progress = lambda size: None,
    ) -> Archive:
        """Write a cube to a file, which appears once it is whole and its checksums hold. `progress` is told bytes."""
        query = {"as_of": as_of, "history": str(history).lower()}
        with self._transport.download(f"/v1/cubes/{quote(cube_id, safe='')}/export", query) as pieces:
            return save(pieces, target, progress)

    def import_cube(
        self,
        source: Path,
        cube_id: str | None = None,
        name: str | None = None,
        *,
        progress: Progress = lambda size: None,
    ) -> Cube:
        """Make a cube of an archive, with the archive's id when none is given; the caller owns it."""
        size, query = source.stat().st_size, {"id": cube_id, "name": name}
        sent = self._transport.upload("/v1/cubes/import", pieces_of(source, progress), size, query)
        return read(Cube, sent.json())

    def revive_cube(self, cube_id: str) -> Cube:
        """Have an archived cube again."""
        return read(Cube, self._transport.request("POST", f"/v1/cubes/{quote(cube_id, safe='')}/revive").json())
