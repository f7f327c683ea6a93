"""An archive as it arrives: checked, and kept in a file that ends with the import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from actors.errors import StorageUnavailable
from actors.memory.archive_check import ArchiveCheck, Member
from actors.memory.archive_format import part_of


class Spool:
    """Not thread-safe. Made in a folder of the host's own, which empties it when it starts."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Raises StorageUnavailable when the file cannot be made."""
        self.check = ArchiveCheck(limit_bytes)
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("x+b")
        except OSError as error:
            raise self._failed(error) from error

    def write(self, offset: int, data: bytes) -> None:
        """Bytes from `offset` on. Raises what the check raises, and StorageUnavailable."""
        if offset != self.check.size:
            raise ValueError(f"the archive has arrived up to byte {self.check.size}, not {offset}")
        self.check.feed(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def members(self, folder: str) -> Iterator[tuple[str, bytes]]:
        """(name, content) of the members of a folder, one at a time."""
        for member in self.check.members:
            part = part_of(member.name)
            if part is not None and part[0] == folder:
                yield member.name, self._read(member)

    def _read(self, member: Member) -> bytes:
        try:
            self._file.seek(member.offset)
            data = self._file.read(member.size)
        except OSError as error:
            raise self._failed(error) from error
        if len(data) != member.size:
            raise StorageUnavailable(f"{self._path} was cut short", uri=str(self._path))
        return data

    def close(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"{self._path} cannot be used: {error.strerror}", uri=str(self._path))
