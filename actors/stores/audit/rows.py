"""How an audit row is a row of a file, and reading rows from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.errors import Corrupted
from actors.memory.auditing import AuditAction, AuditQuery, AuditRow, SealedRow
from actors.stores.journal.datafiles import DataFile, OpenedFile, check_rows
from actors.stores.journal.schema import Shape
from actors.stores.location import Location, decoding_errors

FORMAT = 1

COLUMNS = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("at_us", pa.int64(), nullable=False),
        pa.field("cube_id", pa.string(), nullable=False),
        pa.field("principal", pa.string(), nullable=False),
        pa.field("key_id", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("memory_id", pa.string(), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("ids", pa.string(), nullable=False),
        pa.field("hash", pa.binary(), nullable=False),
        pa.field("schema", pa.int32(), nullable=False),
    ]
)
"""`ids` are joined by commas: one text a row is a quarter of the cost of a list of them."""

AUDIT = Shape(
    COLUMNS,
    statistics=("position", "at_us", "cube_id", "schema"),
    repeating=("cube_id", "principal", "key_id", "action"),
    newest=FORMAT,
)

_TAKEN = ("at_us", "principal", "key_id", "action", "cube_id", "memory_id", "request_id", "detail", "ids")
"""Columns in the order of AuditRow's fields."""

CHUNK_ROWS = 512


def to_table(rows: Sequence[SealedRow], first: int) -> pa.Table:
    """Shape (len(rows), columns); the first one gets position `first`."""
    plain = [sealed.row for sealed in rows]
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in plain] for name in _TAKEN}
    columns["action"] = [row.action.value for row in plain]
    columns["ids"] = [",".join(row.ids) for row in plain]
    columns["position"] = list(range(first, first + len(rows)))
    columns["hash"] = [sealed.hash for sealed in rows]
    columns["schema"] = [FORMAT] * len(rows)
    return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in COLUMNS], schema=COLUMNS)


def to_rows(found: pa.Table | pa.RecordBatch, source: str) -> Iterator[AuditRow]:
    """The rows of a table. Raises Corrupted for what is no audit row."""
    columns = [found.column(name).to_pylist() for name in _TAKEN]
    for at_us, principal, key_id, action, cube_id, memory_id, request_id, detail, ids in zip(*columns, strict=True):
        try:
            known = AuditAction(action)
        except ValueError as error:
            raise Corrupted(f"{source} holds an audit row of unknown action {action!r}", file=source) from error
        listed = tuple(ids.split(",")) if ids else ()
        yield AuditRow(at_us, principal, key_id, known, cube_id, memory_id, request_id, detail, listed)


def read_sealed(location: Location, file: DataFile) -> Iterator[SealedRow]:
    """A file's rows with their hashes, in order of position. Raises Corrupted naming the file, for a gap too;
    FileNotFoundError when it is missing.
    """
    source = location.name_of(file.name)
    expected = file.first
    with OpenedFile(location, file) as parquet:
        _check_columns(parquet, source)
        check_rows(location, file, parquet)
        for group in range(parquet.num_row_groups):
            with decoding_errors(source):
                table = parquet.read_row_group(group, use_threads=False)
            for batch in table.to_batches(CHUNK_ROWS):
                positions = batch.column("position").to_pylist()
                if positions != list(range(expected, expected + len(positions))):
                    raise Corrupted(f"{source}: audit row {expected} is missing or out of order", file=source)
                expected += len(positions)
                if strange := set(batch.column("schema").to_pylist()) - {FORMAT}:
                    raise Corrupted(f"{source} holds rows of format {strange.pop()}, which never was", file=source)
                hashes = batch.column("hash").to_pylist()
                for row, row_hash in zip(to_rows(batch, source), hashes, strict=True):
                    yield SealedRow(row, row_hash)


def newest_in(
    location: Location, file: DataFile, cube_id: str | None, query: AuditQuery, wanted: int
) -> tuple[list[AuditRow], bool]:
    """A file's newest `wanted` rows that match, newest first, and whether older files may hold more of them."""
    source = location.name_of(file.name)
    found: list[AuditRow] = []
    with OpenedFile(location, file) as parquet:
        _check_columns(parquet, source)
        for group in reversed(range(parquet.num_row_groups)):
            low, high = _times(parquet, group)
            if query.since_us is not None and high < query.since_us:
                return found, False
            if query.before_us is not None and low >= query.before_us:
                continue
            with decoding_errors(source):
                rows = _of_cube(parquet, group, cube_id)
            for end in range(rows.num_rows, 0, -CHUNK_ROWS):
                start = max(0, end - CHUNK_ROWS)
                chunk = reversed(list(to_rows(rows.slice(start, end - start), source)))
                found += [row for row in chunk if query.matches(row)]
                if len(found) >= wanted:
                    return found[:wanted], False
    return found, True


def _of_cube(parquet: pq.ParquetFile, group: int, cube_id: str | None) -> pa.Table:
    """A row group's rows of a cube; whole rows are only decoded where it has some."""
    if cube_id is None:
        return parquet.read_row_group(group, use_threads=False)
    mask = pc.equal(parquet.read_row_group(group, columns=["cube_id"], use_threads=False).column(0), cube_id)
    if not pc.any(mask).as_py():
        return COLUMNS.empty_table()
    return parquet.read_row_group(group, use_threads=False).filter(mask)


def _times(parquet: pq.ParquetFile, group: int) -> tuple[int, int]:
    found = parquet.metadata.row_group(group).column(COLUMNS.names.index("at_us")).statistics
    if found is None or not found.has_min_max:
        raise Corrupted("a row group lacks the bounds of at_us")
    return found.min, found.max


def _check_columns(parquet: pq.ParquetFile, source: str) -> None:
    if parquet.schema_arrow.names != COLUMNS.names:
        raise Corrupted(f"{source} does not have the columns of an audit", file=source)
