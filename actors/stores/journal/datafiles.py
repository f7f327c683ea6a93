"""The table's Parquet files: their names, what the log says of them, and reading events from them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.errors import Corrupted, StorageUnavailable
from actors.memory.events import Event
from actors.stores.journal.schema import COLUMNS, EVENTS, Shape, check_schema, to_events
from actors.stores.location import Location, decoding_errors

ROW_GROUP_ROWS = 16_384
BATCH_ROWS = 4_096

_NAME = re.compile(r"e(\d{8})-(\d{16})-([aci])([0-9a-f]{32})\.parquet")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One committed file: events `first` to `last` by position, without gaps. `size` is in bytes."""

    name: str
    size: int
    first: int
    last: int

    @property
    def appended(self) -> bool:
        """Whether an append wrote it, not a compaction."""
        return _match(self.name)[3] == "a"

    @property
    def bulk(self) -> str:
        """The commit of several files that it belongs to; empty for any other file."""
        match = _match(self.name)
        return match[4] if match[3] == "i" else ""

    @property
    def epoch(self) -> int:
        """Of the owner that wrote it."""
        return int(_match(self.name)[1])


def new_name(epoch: int, first: int, *, compacted: bool) -> str:
    """A fresh name. It tells the owner's epoch, so that what a dead owner left uncommitted is known as such."""
    return f"e{epoch:08d}-{first:016d}-{'c' if compacted else 'a'}{uuid.uuid4().hex}.parquet"


def bulk_name(epoch: int, first: int, commit: str) -> str:
    """The name of a file of a commit of several, `commit` being 32 hexadecimal digits that it has to itself."""
    return f"e{epoch:08d}-{first:016d}-i{commit}.parquet"


def epoch_of(name: str) -> int | None:
    """The epoch in a data file's name, None for any other file."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def _match(name: str) -> re.Match[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise Corrupted(f"{name} is no file of a journal", file=name)
    return match


def encode(table: pa.Table, shape: Shape = EVENTS) -> pa.Buffer:
    """A Parquet file as bytes: checksummed pages, statistics of non-content columns only."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=ROW_GROUP_ROWS,
        compression="zstd",
        compression_level=1,
        use_dictionary=list(shape.repeating),
        write_statistics=list(shape.statistics),
        write_page_checksum=True,
    )
    return sink.getvalue()


def statistics(table: pa.Table, shape: Shape = EVENTS) -> str:
    """What Delta's log says of a file: row count, smallest and largest values of the non-content columns."""
    smallest, largest = {}, {}
    for name in shape.statistics:
        bounds = pc.min_max(table.column(name)).as_py()
        smallest[name], largest[name] = bounds["min"], bounds["max"]
    nulls = dict.fromkeys(shape.statistics, 0)
    return json.dumps(
        {"numRecords": table.num_rows, "minValues": smallest, "maxValues": largest, "nullCount": nulls},
        separators=(",", ":"),
    )


def from_log(rows: Sequence[dict[str, Any]], uri: str, shape: Shape = EVENTS) -> tuple[DataFile, ...]:
    """The files that the log names, in order of position.

    Raises Corrupted when they leave a gap or overlap, NewerFormat when one holds events of a newer format.
    """
    files = []
    for row in rows:
        name = row["path"]
        if None in (row.get("min.position"), row.get("max.position"), row.get("max.schema")):
            raise Corrupted(f"the log of {uri} lacks the positions of {name}", file=name)
        _match(name)
        check_schema(row["max.schema"], uri, shape.newest)
        files.append(DataFile(name, row["size_bytes"], row["min.position"], row["max.position"]))
    files.sort(key=lambda file: file.first)
    expected = 1
    for file in files:
        if file.first != expected or file.last < file.first:
            raise Corrupted(f"{uri}: events {expected} to {file.first - 1} are missing or doubled", uri=uri)
        expected = file.last + 1
    return tuple(files)


def read_table(location: Location, file: DataFile, shape: Shape = EVENTS) -> pa.Table:
    """A whole file. Raises Corrupted naming it; FileNotFoundError when it is missing."""
    with OpenedFile(location, file) as parquet, decoding_errors(location.name_of(file.name)):
        table = parquet.read(use_threads=False)
        check_rows(location, file, parquet)
    return table.cast(shape.columns) if table.schema.names == shape.columns.names else table


def read_events(location: Location, file: DataFile, after: int) -> Iterator[Event]:
    """A file's events beyond a position, in order. Raises as read_table does; Corrupted for a gap."""
    expected = max(after + 1, file.first)
    source = location.name_of(file.name)
    with OpenedFile(location, file) as parquet:
        check_rows(location, file, parquet)
        groups = [g for g in range(parquet.num_row_groups) if _bounds(parquet, g, "position")[1] > after]
        for batch in _batches(parquet, groups, source):
            for event in to_events(batch, source):
                if event.position < expected:
                    continue
                if event.position != expected:
                    raise Corrupted(f"{source}: event {expected} is missing or out of order", file=source)
                expected += 1
                yield event
    if expected != file.last + 1:
        raise Corrupted(f"{source}: events {expected} to {file.last} are missing", file=source)


def read_cube_events(location: Location, file: DataFile, cube_id: str, after: int) -> Iterator[Event]:
    """One cube's events in a file beyond a position. Decodes whole rows only where the cube has some."""
    source = location.name_of(file.name)
    with OpenedFile(location, file) as parquet:
        check_rows(location, file, parquet)
        for group in range(parquet.num_row_groups):
            low, high = _bounds(parquet, group, "cube_id")
            if not low <= cube_id <= high or _bounds(parquet, group, "position")[1] <= after:
                continue
            with decoding_errors(source):
                ids = parquet.read_row_group(group, columns=["cube_id", "position"])
                mask = pc.and_(pc.equal(ids.column("cube_id"), cube_id), pc.greater(ids.column("position"), after))
                if not pc.any(mask).as_py():
                    continue
                rows = parquet.read_row_group(group).filter(mask)
            yield from to_events(rows, source)


def read_cube_hash(location: Location, file: DataFile, cube_id: str, version: int) -> bytes | None:
    """The hash of one event of a cube, None when it is not in the file. Decodes no content."""
    with OpenedFile(location, file) as parquet, decoding_errors(location.name_of(file.name)):
        check_rows(location, file, parquet)
        for group in range(parquet.num_row_groups):
            low, high = _bounds(parquet, group, "cube_id")
            if low <= cube_id <= high:
                rows = parquet.read_row_group(group, columns=["cube_id", "version", "hash"])
                mask = pc.and_(pc.equal(rows.column("cube_id"), cube_id), pc.equal(rows.column("version"), version))
                found = rows.column("hash").filter(mask)
                if len(found):
                    return bytes(found[0].as_py())
    return None


def read_mentions(location: Location, file: DataFile, text: bytes) -> Iterator[Event]:
    """The events of a file whose content holds these bytes. Decodes whole rows only where there are some."""
    source = location.name_of(file.name)
    with OpenedFile(location, file) as parquet:
        check_rows(location, file, parquet)
        for group in range(parquet.num_row_groups):
            with decoding_errors(source):
                found = pc.match_substring(parquet.read_row_group(group, columns=["content"]).column("content"), text)
                if not pc.any(found).as_py():
                    continue
                rows = parquet.read_row_group(group).filter(found)
            yield from to_events(rows, source)


def read_hashes(location: Location, file: DataFile) -> list[bytes]:
    """The hashes of a file's events, in order of position. Raises Corrupted for a gap, or a damaged file."""
    with OpenedFile(location, file) as parquet, decoding_errors(location.name_of(file.name)):
        check_rows(location, file, parquet)
        rows = parquet.read(columns=["position", "hash"])
    if rows.column("position").to_pylist() != list(range(file.first, file.last + 1)):
        source = location.name_of(file.name)
        raise Corrupted(f"{source}: its events are not {file.first} to {file.last} in order", file=source)
    return list(rows.column("hash").to_pylist())


class OpenedFile:
    """A Parquet file for reading; what goes wrong in opening comes out as Corrupted that names the file."""

    def __init__(self, location: Location, file: DataFile) -> None:
        self._location, self._file = location, file
        self._source: Any = None

    def __enter__(self) -> pq.ParquetFile:
        name = self._location.name_of(self._file.name)
        try:
            self._source = self._location.open(self._file.name)
        except FileNotFoundError:
            raise  # the reader looks whether a compaction replaced it
        except OSError as error:
            raise StorageUnavailable(f"{name} could not be opened: {error}", uri=name) from error
        try:
            size = self._source.size()
            if size != self._file.size:
                raise Corrupted(f"{name} has {size} bytes, {self._file.size} were written", file=name)
            with decoding_errors(name):
                return pq.ParquetFile(self._source, page_checksum_verification=True)
        except BaseException:
            self._source.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._source.close()


def check_rows(location: Location, file: DataFile, parquet: pq.ParquetFile) -> None:
    expected = file.last - file.first + 1
    if parquet.metadata.num_rows != expected:
        name = location.name_of(file.name)
        raise Corrupted(f"{name} holds {parquet.metadata.num_rows} events, {expected} were written", file=name)


def _bounds(parquet: pq.ParquetFile, group: int, column: str) -> tuple[Any, Any]:
    found = parquet.metadata.row_group(group).column(COLUMNS.names.index(column)).statistics
    if found is None or not found.has_min_max:
        raise Corrupted(f"a row group lacks the bounds of {column}")
    return found.min, found.max


def _batches(parquet: pq.ParquetFile, groups: list[int], source: str) -> Iterator[pa.RecordBatch]:
    if not groups:
        return
    batches = parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, use_threads=False)
    while True:
        with decoding_errors(source):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
