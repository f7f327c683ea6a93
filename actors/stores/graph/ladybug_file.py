"""A Ladybug database in a folder: opened, asked, written anew."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ladybug

from actors.errors import Corrupted, MemosError, StateInUse, StorageUnavailable
from actors.stores.graph import ladybug_statements as say

_BUFFER_BYTES = 64 << 20
_LARGEST_BYTES = 1 << 36
"""What is reserved of the address space, not of memory. The default, 8 TiB, leaves none after a dozen shards."""

Rows = list[list[Any]]


class LadybugFile:
    """One process writes a database, and one thread at a time; others read what is committed meanwhile.

    Raises StateInUse when another process has it open, Corrupted when it cannot be opened, StorageUnavailable when a
    statement fails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "graph.lbug"
        self._writing = threading.RLock()
        self._reading = threading.Lock()
        self._closed = True
        self._open()

    def _open(self) -> None:
        with self._translated(Corrupted):
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._copy_folder, ignore_errors=True)
            self._database = ladybug.Database(self._path, **_options())
            self._writer = ladybug.Connection(self._database, num_threads=1)
            self._reader = ladybug.Connection(self._database, num_threads=1)
            for statement in say.SCHEMA:
                self._writer.execute(statement)
        self._closed = False

    def read(self, statement: str, parameters: Mapping[str, Any]) -> Rows:
        """What is committed."""
        with self._reading:
            return self._execute(self._reader, statement, parameters)

    def write(self, statement: str, parameters: Mapping[str, Any]) -> Rows:
        """Within `transaction`; sees what it did so far."""
        return self._execute(self._writer, statement, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within, or nothing of it."""
        with self._writing:
            self.write(say.BEGIN, {})
            try:
                yield
            except BaseException:
                self.write(say.ROLLBACK, {})
                raise
            self.write(say.COMMIT, {})

    def write_anew(self) -> None:
        """Ladybug leaves what was deleted in its file (seen): make another file of what is there, and put it in this
        one's place, at once. A crash leaves the one or the other.
        """
        with self._writing, self._reading:
            self._close()  # what an open one holds of its buffers may be too much for an export
            try:
                self._copy()
                self._place(self._copy_folder / "graph.lbug")
            finally:
                self._open()

    def _copy(self) -> None:
        """Another file of what is there, and none of what was."""
        copy, rows = self._copy_folder, str(self._copy_folder / "rows")
        shutil.rmtree(copy, ignore_errors=True)
        with self._translated(StorageUnavailable):
            copy.mkdir()
            for path, statements in (
                (self._path, [say.export_to(rows)]),
                (copy / "graph.lbug", [say.import_from(rows), say.CHECKPOINT]),
            ):
                with ladybug.Database(path, **_options()) as database, ladybug.Connection(database) as connection:
                    for statement in statements:
                        connection.execute(statement)

    def _place(self, fresh: Path) -> None:
        """The old log goes first: it belongs to the old file, which holds all that it says since it was closed."""
        with self._translated(StorageUnavailable):
            for leftover in self._folder.glob("graph.lbug.*"):
                leftover.unlink()
            os.replace(fresh, self._path)

    def empty(self) -> None:
        with self._writing, self._reading:
            self._close()
            self.discard(self._folder)
            self._open()

    @staticmethod
    def discard(folder: Path) -> None:
        """Remove a database that cannot be opened, whatever its state."""
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def _copy_folder(self) -> Path:
        return self._folder / "copy"

    def close(self) -> None:
        with self._writing, self._reading:
            if not self._closed:
                self._close()

    def _close(self) -> None:
        self._closed = True
        for part in (self._reader, self._writer, self._database):
            part.close()

    def _execute(self, connection: Any, statement: str, parameters: Mapping[str, Any]) -> Rows:
        if self._closed:
            raise StorageUnavailable(f"graph index {self._folder} is closed", uri=str(self._folder))
        # A result that stays open holds buffers.
        with self._translated(StorageUnavailable), connection.execute(statement, dict(parameters)) as result:
            return [list(row) for row in result.get_all()]

    @contextmanager
    def _translated(self, kind: type[MemosError]) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, OSError) as error:  # the driver's only kind
            reason = " ".join(str(error).split())[:300]
            if "Could not set lock" in reason:
                kind = StateInUse
            raise kind(f"graph index {self._folder}: {reason}", uri=str(self._folder)) from error


def _options() -> dict[str, Any]:
    return {"buffer_pool_size": _BUFFER_BYTES, "max_db_size": _LARGEST_BYTES, "max_num_threads": 1}
