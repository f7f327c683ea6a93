"""Snapshots as Parquet files: each write adds a file of the chains that changed; a manifest names the files.

A state is found in the newest file that holds its chain. Files are sorted by chain with small row groups,
so that reading one state reads little. The manifest is replaced last, whole: a crash leaves the earlier one.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import json
import logging
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from actors.errors import Corrupted, NewerFormat
from actors.memory.identity import keyed_digest
from actors.stores.location import Location, StorageSpec, decoding_errors

log = logging.getLogger(__name__)

FORMAT = 1
MANIFEST = "manifest.json"
MERGE_ABOVE = 8
"""With more files than this, the newest are merged."""

ROW_GROUP_BYTES = 256 * 1024
ROW_GROUP_ROWS = 256
_COLUMNS = pa.schema([("cube_id", pa.string()), ("state", pa.large_binary())])

State = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file of states and the digest that its content must have."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the folder holds: states as of a journal position, in `files`, oldest first."""

    position: int = 0
    files: tuple[SnapshotFile, ...] = ()


class ParquetSnapshots:
    """ports.Snapshots in one folder. One thread at a time writes or discards; reads may run beside it."""

    def __init__(self, storage: StorageSpec, key: bytes) -> None:
        """Open the folder; a manifest that cannot be read, or was made without `key`, counts as none.

        Raises StorageUnavailable, NewerFormat.
        """
        self._location = Location(storage)
        self._key = key
        self._location.prepare()
        self._index: dict[str, dict[str, int]] = {}
        """Per file whose digest was checked, the row group of each chain."""
        self._indexing = threading.Lock()
        try:
            self._manifest = self._load()
        except Corrupted as error:
            log.error("%s; recovery folds the journal instead", error)
            self._manifest = Manifest()
        self._drop_unnamed()

    @property
    def position(self) -> int:
        return self._manifest.position

    def write(self, position: int, states: Iterable[State]) -> None:
        """As ports.Snapshots.write. Raises ValueError when `position` lies behind what is stored."""
        if position < self._manifest.position:
            raise ValueError(f"snapshots reach {self._manifest.position} already, not {position}")
        newest = sorted(dict(states).items())
        files = self._manifest.files
        if newest:
            files = (*files, self._store(iter(newest)))
        self._commit(Manifest(position, files))
        if len(files) > MERGE_ABOVE:
            try:
                self._merge()
            except Corrupted as error:
                log.error("%s; its snapshots stay unmerged", error)

    def read(self, cube_id: str) -> bytes | None:
        """As ports.Snapshots.read. When a damaged file may hold the chain, raises Corrupted."""
        while True:
            manifest = self._manifest
            try:
                for file in reversed(manifest.files):
                    group = self._indexed(file).get(cube_id)
                    if group is not None:
                        return self._read_state(file, group, cube_id)
                return None
            except FileNotFoundError as error:
                if manifest is self._manifest:  # not merged away meanwhile: it is gone
                    name = self._location.name_of(file.name)
                    raise Corrupted(f"{name} is missing", file=name) from error

    def discard(self) -> None:
        self._commit(Manifest())

    # files

    def _store(self, states: Iterator[State]) -> SnapshotFile:
        """Write sorted states as one durable file that nothing names yet."""
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            _COLUMNS,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        ) as writer:
            for rows in _row_groups(states):
                columns = [
                    pa.array([r[0] for r in rows], pa.string()),
                    pa.array([r[1] for r in rows], pa.large_binary()),
                ]
                writer.write_table(pa.Table.from_arrays(columns, schema=_COLUMNS), row_group_size=len(rows))
        data = sink.getvalue()
        name = f"s-{uuid.uuid4().hex}.parquet"
        self._location.write(name, data)
        self._location.sync()
        return SnapshotFile(name, hashlib.sha256(data).hexdigest(), data.size)

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
        self._commit(Manifest(self._manifest.position, (*files[:start], self._store(newest))))

    def _ranked(self, file: SnapshotFile, rank: int) -> Iterator[tuple[str, int, bytes]]:
        self._indexed(file)
        name = self._location.name_of(file.name)
        try:
            with self._location.open(file.name) as source, decoding_errors(name):
                parquet = pq.ParquetFile(source, page_checksum_verification=True)
                for group in range(parquet.num_row_groups):
                    rows = parquet.read_row_group(group)
                    ids, states = (rows.column(column).to_pylist() for column in _COLUMNS.names)
                    yield from ((cube_id, rank, state) for cube_id, state in zip(ids, states, strict=True))
        except FileNotFoundError as error:
            raise Corrupted(f"{name} is missing", file=name) from error

    def _indexed(self, file: SnapshotFile) -> dict[str, int]:
        """The row group of each chain in a file. The first time, the file's digest is checked."""
        with self._indexing:
            known = self._index.get(file.name)
            if known is None:
                known = self._index[file.name] = self._build_index(file)
            return known

    def _build_index(self, file: SnapshotFile) -> dict[str, int]:
        name = self._location.name_of(file.name)
        data = self._location.read(file.name)
        if data is None:
            raise FileNotFoundError(2, "missing", name)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise Corrupted(f"{name} is not what was written: its SHA-256 differs", file=name)
        index = {}
        with decoding_errors(name):
            parquet = pq.ParquetFile(pa.BufferReader(data))
            for group in range(parquet.num_row_groups):
                ids = parquet.read_row_group(group, columns=["cube_id"]).column("cube_id").to_pylist()
                index.update(dict.fromkeys(ids, group))
        return index

    def _read_state(self, file: SnapshotFile, group: int, cube_id: str) -> bytes:
        name = self._location.name_of(file.name)
        with self._location.open(file.name) as source:
            if source.size() != file.size:
                raise Corrupted(f"{name} has {source.size()} bytes, {file.size} were written", file=name)
            with decoding_errors(name):
                rows = pq.ParquetFile(source, page_checksum_verification=True).read_row_group(group)
        ids = rows.column("cube_id").to_pylist()
        if cube_id not in ids:
            raise Corrupted(f"{name} no longer holds cube {cube_id} where it was", file=name)
        return bytes(rows.column("state")[ids.index(cube_id)].as_py())

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
            with self._indexing:
                self._index.pop(name, None)
            self._location.delete(name)

    def _drop_unnamed(self) -> None:
        """Delete what a crash left: files that were written, but that no manifest came to name."""
        named = {file.name for file in self._manifest.files}
        for name in self._location.sizes():
            if name.startswith("s-") and name not in named:
                self._location.delete(name)


def _row_groups(states: Iterator[State]) -> Iterator[list[State]]:
    rows: list[State] = []
    size = 0
    for state in states:
        rows.append(state)
        size += len(state[1])
        if size >= ROW_GROUP_BYTES or len(rows) >= ROW_GROUP_ROWS:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows
