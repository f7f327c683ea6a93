"""How an event is a row: the table's columns, and rows of other formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa

from actors.errors import Corrupted, NewerFormat
from actors.memory.events import Event, EventType
from actors.memory.upcasting import OLDEST, SCHEMA

COLUMNS = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("cube_id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("memory_id", pa.string(), nullable=False),
        pa.field("memory_version", pa.int64(), nullable=False),
        pa.field("recorded_at_us", pa.int64(), nullable=False),
        pa.field("principal", pa.string(), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("idempotency", pa.string(), nullable=False),
        pa.field("content", pa.binary()),
        pa.field("salt", pa.binary()),
        pa.field("commitment", pa.binary(), nullable=False),
        pa.field("previous_hash", pa.binary(), nullable=False),
        pa.field("hash", pa.binary(), nullable=False),
        pa.field("schema", pa.int32(), nullable=False),
    ]
)
"""One column a field of Event."""

STATISTICS = ("position", "cube_id", "version", "recorded_at_us", "schema")
"""Columns whose smallest and largest values Delta's log and the files may hold: never a content column."""

REPEATING = ("cube_id", "type", "principal")
"""Columns that are worth a dictionary."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a table's files hold: its columns, which of them have statistics and dictionaries, the newest row format."""

    columns: pa.Schema
    statistics: tuple[str, ...]
    repeating: tuple[str, ...]
    newest: int


EVENTS = Shape(COLUMNS, STATISTICS, REPEATING, SCHEMA)
"""The shape of a journal."""
_FIELDS = tuple(f.name for f in fields(Event))


def to_table(events: Sequence[Event]) -> pa.Table:
    """Shape (len(events), columns); the events carry their positions."""
    columns = [[getattr(event, name) for event in events] for name in COLUMNS.names]
    columns[COLUMNS.names.index("type")] = [event.type.value for event in events]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, COLUMNS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=COLUMNS)


def to_events(rows: pa.RecordBatch | pa.Table, source: str) -> Iterator[Event]:
    """The rows as events, as they were sealed. `source` names the file or table in errors.

    Raises NewerFormat for a row that a newer version wrote, Corrupted for one that is no event.
    """
    if set(rows.schema.names) != set(COLUMNS.names):
        raise Corrupted(f"{source} does not have the columns of a journal", file=source)
    columns = [rows.column(name).to_pylist() for name in _FIELDS]
    schema_at = _FIELDS.index("schema")
    for values in zip(*columns, strict=True):
        check_schema(values[schema_at], source)
        row = dict(zip(_FIELDS, values, strict=True))
        try:
            row["type"] = EventType(row["type"])
        except ValueError as error:
            raise Corrupted(f"{source} holds an event of unknown type {row['type']!r}", file=source) from error
        yield Event(**row)


def check_schema(schema: int, source: str, newest: int = SCHEMA) -> None:
    """NewerFormat when a row's format is beyond what this version reads, Corrupted when it never was one."""
    if schema > newest:
        raise NewerFormat(
            f"{source} holds rows of format {schema}; this version reads up to {newest}: use a newer version",
            uri=source,
        )
    if schema < OLDEST:
        raise Corrupted(f"{source} holds an event of format {schema}, which never was", file=source)
