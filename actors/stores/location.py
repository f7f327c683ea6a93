"""A folder of files: on local storage, where writes are synced, or in an object store, where a put is durable."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.exceptions import DeltaError

from actors.errors import Corrupted, StorageUnavailable
from actors.stores.durability import make_folder, replace_file, sync_file, sync_folder, write_file
from actors.stores.object_store import ObjectStore, object_store


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """Where a store lives: a local path, a `file://` URI or an object store's URI, with its driver's options."""

    uri: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> Path | None:
        """The folder, None when it is in an object store."""
        if "://" not in self.uri:
            return Path(self.uri).absolute()
        parsed = urlparse(self.uri)
        return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


class Location:
    """The files of one folder, by name. Errors come out as StorageUnavailable that name the file."""

    def __init__(self, spec: StorageSpec) -> None:
        self.spec = spec
        self.uri = spec.uri if spec.local is None else str(spec.local)
        self.local = spec.local
        self._opened: ObjectStore | None = None

    def name_of(self, name: str) -> str:
        """How messages name a file."""
        return f"{self.uri.rstrip('/')}/{name}"

    def child(self, name: str) -> Location:
        return Location(StorageSpec(self.name_of(name), self.spec.options))

    @property
    def _remote(self) -> ObjectStore:
        if self._opened is None:
            with storage_errors(self.uri, "opened"):
                self._opened = object_store(self.spec.uri, self.spec.options)
        return self._opened

    def prepare(self) -> None:
        """Make the folder when it is missing."""
        if self.local is not None:
            with storage_errors(self.uri, "created"):
                make_folder(self.local)

    def sizes(self) -> dict[str, int]:
        """The files of the folder itself and their sizes in bytes; empty when there is no folder."""
        with storage_errors(self.uri, "listed"):
            if self.local is not None:
                if not self.local.is_dir():
                    return {}
                with os.scandir(self.local) as entries:
                    return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
            remote = self._remote
            found = remote.files.get_file_info(pafs.FileSelector(remote.folder.rstrip("/"), allow_not_found=True))
            return {info.base_name: info.size for info in found if info.is_file}

    def folders(self) -> list[str]:
        """The names of the folders in it, sorted; empty when there is no folder."""
        with storage_errors(self.uri, "listed"):
            if self.local is not None:
                return (
                    sorted(path.name for path in self.local.iterdir() if path.is_dir()) if self.local.is_dir() else []
                )
            remote = self._remote
            found = remote.files.get_file_info(pafs.FileSelector(remote.folder.rstrip("/"), allow_not_found=True))
            return sorted(info.base_name for info in found if info.type is pafs.FileType.Directory)

    def read(self, name: str) -> bytes | None:
        """The whole file, None when it is missing."""
        try:
            with storage_errors(self.name_of(name), "read"):
                if self.local is not None:
                    return (self.local / name).read_bytes()
                with self._remote.files.open_input_file(self._remote.folder + name) as file:
                    return bytes(file.read())
        except StorageUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def open(self, name: str) -> Any:
        """The file for random access, as a pyarrow source: from an object store it is fetched whole first, so
        that what fails later is decoding. Raises FileNotFoundError when it is missing.
        """
        if self.local is not None:
            return pa.OSFile(str(self.local / name), "rb")
        data = self.read(name)
        if data is None:
            raise FileNotFoundError(self.name_of(name))
        return pa.BufferReader(data)

    def read_part(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes of a file from `offset` on, fewer where it ends. Raises FileNotFoundError when it is missing."""
        with self.open_ranges(name) as source, storage_errors(self.name_of(name), "read"):
            if offset > source.size():
                return b""
            source.seek(offset)
            return bytes(source.read(size))

    def open_ranges(self, name: str) -> Any:
        """The file for reading parts of it, as a pyarrow source: from an object store each part is fetched as it is
        read. Raises FileNotFoundError when it is missing; what fails while reading comes as StorageUnavailable.
        """
        try:
            with storage_errors(self.name_of(name), "opened"):
                if self.local is not None:
                    return pa.OSFile(str(self.local / name), "rb")
                remote = self._remote
                return pa.PythonFile(
                    _RemoteFile(remote.files.open_input_file(remote.folder + name), self.name_of(name))
                )
        except StorageUnavailable as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise FileNotFoundError(self.name_of(name)) from error
            raise

    def write(self, name: str, data: pa.Buffer) -> None:
        """Write a new file, its content durable; its name is so after `sync`."""
        with storage_errors(self.name_of(name), "written"):
            if self.local is not None:
                write_file(self.local / name, memoryview(data))
            else:
                self._remote.put(self._remote.folder + name, data.to_pybytes())

    def replace(self, name: str, data: bytes) -> None:
        """Put `data` in the place of a file, durably and whole."""
        with storage_errors(self.name_of(name), "written"):
            if self.local is not None:
                replace_file(self.local / name, data)
            else:
                self._remote.put(self._remote.folder + name, data)

    def delete(self, name: str) -> None:
        """Remove a file; one that is missing is fine."""
        with storage_errors(self.name_of(name), "deleted"):
            if self.local is not None:
                (self.local / name).unlink(missing_ok=True)
                return
            try:
                self._remote.files.delete_file(self._remote.folder + name)
            except FileNotFoundError:
                return

    def sync(self, *names: str) -> None:
        """Make files that others wrote durable, then the folder; nothing to do in an object store."""
        if self.local is None:
            return
        with storage_errors(self.uri, "synced"):
            for name in names:
                sync_file(self.local / name)
            sync_folder(self.local)


class _RemoteFile:
    """A file in an object store, for pyarrow: a failing request must not look like a file that cannot be decoded."""

    mode = "rb"

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self._name = name
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        with storage_errors(self._name, "read"):
            return bytes(self._file.read(None if size < 0 else size))

    def seek(self, offset: int, whence: int = 0) -> int:
        with storage_errors(self._name, "read"):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def size(self) -> int:
        return int(self._file.size())

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


@contextmanager
def storage_errors(what: str, done: str) -> Iterator[None]:
    """Translate a driver's errors: `what` is the file or URI, `done` what could not be done to it."""
    try:
        yield
    except (OSError, DeltaError, pa.ArrowException) as error:
        raise StorageUnavailable(f"{what} could not be {done}: {first_line(error)}", uri=what) from error


@contextmanager
def decoding_errors(what: str) -> Iterator[None]:
    """Translate what goes wrong in decoding a file that `Location.open` gave: pyarrow reports a bad checksum or
    footer as an OSError without a number.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageUnavailable(f"{what} could not be read: {first_line(error)}", uri=what) from error
        raise Corrupted(f"{what} cannot be decoded: {first_line(error)}", file=what) from error


def first_line(error: Exception) -> str:
    """What a driver says, in one line: deltalake draws its causes as a tree below an empty phrase."""
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip(" \u21b3") for line in str(error).splitlines()]
    return "; ".join(line for line in lines if line)[:400] or type(error).__name__
