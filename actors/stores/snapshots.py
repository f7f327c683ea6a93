"""Snapshots as files of states: each write adds a file of the chains that changed; a manifest names the files.

A state is found in the newest file that holds its chain. The manifest is replaced last, whole: a crash leaves the
earlier one.
"""

from __future__ import annotations

import heapq
import hmac
import json
import logging
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

from actors.errors import Corrupted, NewerFormat
from actors.memory.identity import keyed_digest
from actors.stores.location import Location, StorageSpec
from actors.stores.snapshot_files import (
    Directory,
    SnapshotFile,
    State,
    read_directory,
    read_state,
    read_states,
    write_states,
)

log = logging.getLogger(__name__)

FORMAT = 3
"""Of the states, too: from 3 on large ones are compressed by themselves. Those of 2 are read."""
OLDEST = 2
MANIFEST = "manifest.json"
MERGE_ABOVE = 8
"""With more files than this, the newest are merged."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the folder holds: states as of a journal position, in `files`, oldest first."""

    position: int = 0
    files: tuple[SnapshotFile, ...] = ()


class SnapshotFolder:
    """ports.Snapshots in one folder. One thread at a time writes or discards; reads may run beside it."""

    def __init__(self, storage: StorageSpec, key: bytes) -> None:
        """Open the folder; a manifest that cannot be read, or was made without `key`, counts as none.

        Raises StorageUnavailable, NewerFormat.
        """
        self._location = Location(storage)
        self._key = key
        self._location.prepare()
        self._directories: dict[str, Directory] = {}
        """Per file that was read, its directory, whose digest was checked."""
        self._reading = threading.Lock()
        try:
            self._manifest = self._load()
        except Corrupted as error:
            log.error("%s; recovery folds the journal instead", error)
            self._manifest = Manifest()
        self._drop_unnamed()

    @property
    def position(self) -> int:
        return self._manifest.position

    def write(self, position: int, states: Iterable[State], anew: Collection[str] = ()) -> int:
        """As ports.Snapshots.write. Raises ValueError when `position` lies behind what is stored, and Corrupted for a
        damaged file that may hold a chain of `anew`.
        """
        if position < self._manifest.position:
            raise ValueError(f"snapshots reach {self._manifest.position} already, not {position}")
        newest = sorted(dict(states).items())
        files = self._without(anew)
        replaced = sum(file not in files for file in self._manifest.files)
        if newest:
            files = (*files, write_states(self._location, iter(newest)))
        self._commit(Manifest(position, files))
        if anew:
            self._location.sync()  # the names of what was replaced are gone, after a power cut too
        if len(files) > MERGE_ABOVE:
            try:
                self._merge()
            except Corrupted as error:
                log.error("%s; its snapshots stay unmerged", error)
        return replaced

    def read(self, cube_id: str) -> bytes | None:
        """As ports.Snapshots.read. When a damaged file may hold the chain, raises Corrupted."""
        while True:
            manifest = self._manifest
            try:
                for file in reversed(manifest.files):
                    state = read_state(self._location, file, self._directory(file), cube_id)
                    if state is not None:
                        return state
                return None
            except FileNotFoundError as error:
                if manifest is self._manifest:  # not merged away meanwhile: it is gone
                    name = self._location.name_of(file.name)
                    raise Corrupted(f"{name} is missing", file=name) from error

    def discard(self) -> None:
        self._commit(Manifest())

    # files

    def _without(self, chains: Collection[str]) -> tuple[SnapshotFile, ...]:
        """The files, those with one of the chains replaced by durable copies without it. Nothing names those yet."""
        if not chains:
            return self._manifest.files
        files = []
        for file in self._manifest.files:
            try:
                directory = self._directory(file)
                if not any(directory.block_of(cube_id) for cube_id in chains):
                    files.append(file)
                    continue
                kept = [state for state in read_states(self._location, file, directory) if state[0] not in chains]
            except FileNotFoundError as error:
                name = self._location.name_of(file.name)
                raise Corrupted(f"{name} is missing", file=name) from error
            if kept:
                files.append(write_states(self._location, iter(kept)))
        return tuple(files)

    def _merge(self) -> None:
        """Replace the newest files by one: as many as are not far bigger than what is newer than they."""
        files = self._manifest.files
        start, total = len(files) - 1, files[-1].size
        while start > 0 and (files[start - 1].size <= 2 * total or start == len(files) - 1):
            start -= 1
            total += files[start].size
        merging = files[start:]
        streams = [self._ranked(file, -age) for age, file in enumerate(merging)]
        ordered = heapq.merge(*streams, key=lambda row: (row[0], row[1]))
        newest = ((cube_id, next(rows)[2]) for cube_id, rows in groupby(ordered, key=lambda row: row[0]))
        self._commit(Manifest(self._manifest.position, (*files[:start], write_states(self._location, newest))))

    def _ranked(self, file: SnapshotFile, rank: int) -> Iterator[tuple[str, int, bytes]]:
        try:
            for cube_id, state in read_states(self._location, file, self._directory(file)):
                yield cube_id, rank, state
        except FileNotFoundError as error:
            name = self._location.name_of(file.name)
            raise Corrupted(f"{name} is missing", file=name) from error

    def _directory(self, file: SnapshotFile) -> Directory:
        with self._reading:
            known = self._directories.get(file.name)
        if known is None:
            known = read_directory(self._location, file)
            with self._reading:
                self._directories[file.name] = known
        return known

    # the manifest

    def _load(self) -> Manifest:
        name = self._location.name_of(MANIFEST)
        data = self._location.read(MANIFEST)
        if data is None:
            return Manifest()
        try:
            record = json.loads(data)
            if record["format"] > FORMAT:
                raise NewerFormat(f"{name} was written by a newer version", uri=name)
            if record["format"] < OLDEST:
                log.warning("%s is of an older format: recovery folds the journal once", name)
                return Manifest()
            manifest = Manifest(record["position"], tuple(SnapshotFile(**file) for file in record["files"]))
            sound = hmac.compare_digest(self._mac(manifest), record["mac"])
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(f"{name} cannot be decoded", file=name) from error
        if not sound:
            raise Corrupted(f"{name} was edited, or made with another key", file=name)
        return manifest

    def _mac(self, manifest: Manifest) -> str:
        return keyed_digest(self._key, "snapshots", json.dumps(asdict(manifest), sort_keys=True))

    def _commit(self, manifest: Manifest) -> None:
        """Make `manifest` the one that counts, then delete the files that it no longer names."""
        record = {"format": FORMAT, **asdict(manifest), "mac": self._mac(manifest)}
        self._location.replace(MANIFEST, json.dumps(record).encode())
        dropped = {file.name for file in self._manifest.files} - {file.name for file in manifest.files}
        self._manifest = manifest
        for name in dropped:
            with self._reading:
                self._directories.pop(name, None)
            self._location.delete(name)

    def _drop_unnamed(self) -> None:
        """Delete what a crash left: files that were written, but that no manifest came to name."""
        named = {file.name for file in self._manifest.files}
        for name in self._location.sizes():
            if name.startswith("s-") and name not in named:
                self._location.delete(name)
