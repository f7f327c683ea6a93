"""The members of an archive: events as Parquet, vectors as safetensors. What is decoded was written by anybody.

The same rows always become the same bytes: plain pages, no statistics, and no name of the library that wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load, save

from actors.memory.archive_check import refused
from actors.memory.archive_events import ArchivedEvent
from actors.stores.archive.pages import UnsafePages, unfolded_bytes

COLUMNS = pa.schema(
    [
        pa.field("version", pa.int64(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("memory_id", pa.string(), nullable=False),
        pa.field("memory_version", pa.int64(), nullable=False),
        pa.field("recorded_at_us", pa.int64(), nullable=False),
        pa.field("principal", pa.string(), nullable=False),
        pa.field("content", pa.binary()),
    ]
)
"""One column a field of ArchivedEvent."""

EVENTS_PER_PART = 4096
CONTENT_PER_PART = 4 << 20
"""A part ends with the event that takes its content beyond this."""

VECTORS_PER_PART = 4096
DIGEST_BYTES = 16
"""Of the SHA-256 of a row's text, which tells whose vector it is."""

UNFOLDED_BYTES = 48 << 20
"""What one part may take in memory when it is decoded."""

LARGEST_DIMENSION = 8192

_FOOTER_BYTES = 64 << 10
_HEADER_BYTES = 4 << 10
_WRITER = b"memos"

Half = npt.NDArray[np.float16]
Digests = npt.NDArray[np.uint8]


# events


def encode_events(events: Sequence[ArchivedEvent]) -> bytes:
    columns = [[getattr(event, field.name) for event in events] for field in fields(ArchivedEvent)]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, COLUMNS, strict=True)]
    return _written(pa.Table.from_arrays(arrays, schema=COLUMNS))


def decode_events(name: str, data: bytes) -> Iterator[ArchivedEvent]:
    """The events of a part. Raises ArchiveRefused, naming it, before it unfolds to more than UNFOLDED_BYTES."""
    try:
        table = _opened(name, data).read(use_threads=False)
        columns = [table.column(field.name).to_pylist() for field in fields(ArchivedEvent)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refused(f"{name} cannot be decoded", "content") from error
    return (ArchivedEvent(*values) for values in zip(*columns, strict=True))


def _opened(name: str, data: bytes) -> pq.ParquetFile:
    """A Parquet file that is what an archive holds, and does not unfold to too much."""
    footer = int.from_bytes(data[-8:-4], "little")
    if data[-4:] != b"PAR1" or not 0 < footer <= min(_FOOTER_BYTES, len(data) - 8):
        raise refused(f"{name} is no Parquet file", "content")
    metadata = pq.read_metadata(pa.BufferReader(data))
    if metadata.metadata or not metadata.schema.equals(_expected_schema()) or metadata.num_row_groups != 1:
        raise refused(f"{name} does not have the columns of an archive", "content")
    group, unfolded = metadata.row_group(0), 0
    if not 0 < group.num_rows <= EVENTS_PER_PART:
        raise refused(f"{name} holds {group.num_rows} events; it may hold 1 to {EVENTS_PER_PART}", "size")
    for number in range(group.num_columns):
        column = group.column(number)
        start = column.data_page_offset
        if column.has_dictionary_page or not 0 < start <= start + column.total_compressed_size <= len(data):
            raise refused(f"{name} is not encoded as archives are", "content")
        try:
            chunk = memoryview(data)[start : start + column.total_compressed_size]
            unfolded += unfolded_bytes(chunk, group.num_rows)
        except UnsafePages as unsafe:
            raise refused(f"{name} holds {unsafe}", "content") from unsafe
    if unfolded > UNFOLDED_BYTES:
        raise refused(f"{name} unfolds to {unfolded} bytes; {UNFOLDED_BYTES} are allowed", "size")
    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)


@lru_cache(maxsize=1)
def _expected_schema() -> pq.ParquetSchema:
    return pq.read_metadata(pa.BufferReader(_written(COLUMNS.empty_table()))).schema


def _written(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=EVENTS_PER_PART,
        compression="zstd",
        compression_level=3,
        use_dictionary=False,
        write_statistics=False,
        column_encoding=dict.fromkeys(COLUMNS.names, "PLAIN"),
        data_page_version="1.0",
        store_schema=False,
        write_page_checksum=True,
    )
    return _unsigned(sink.getvalue().to_pybytes())


def _unsigned(data: bytes) -> bytes:
    """A Parquet file with our name in the place of its library's, whose version would change the bytes."""
    size = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - size], data[-8 - size : -8]
    writer = pq.read_metadata(pa.BufferReader(data)).created_by.encode()
    named, ours = bytes([len(writer)]) + writer, bytes([len(_WRITER)]) + _WRITER
    footer = footer.replace(named, ours)
    return body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


# vectors


def encode_vectors(digests: Digests, vectors: Half) -> bytes:
    """`digests` of shape (rows, DIGEST_BYTES), `vectors` of shape (rows, dimension), of unit length."""
    return save({"texts": np.ascontiguousarray(digests), "vectors": np.ascontiguousarray(vectors)})


def decode_vectors(name: str, data: bytes, dimension: int) -> tuple[Digests, Half]:
    """(digests, vectors) of a part. Raises ArchiveRefused, naming it."""
    size = int.from_bytes(data[:8], "little")
    if size > min(_HEADER_BYTES, len(data) - 8):
        raise refused(f"{name} is no safetensors file", "content")
    try:
        header = json.loads(data[8 : 8 + size])
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise refused(f"{name} cannot be decoded", "content") from error
    if set(header) != {"texts", "vectors"} or set(tensors) != set(header):
        raise refused(f"{name} holds other tensors than texts and vectors", "content")
    digests, vectors = tensors["texts"], tensors["vectors"]
    rows = len(vectors) if vectors.ndim else 0
    fits = digests.shape == (rows, DIGEST_BYTES) and vectors.shape == (rows, dimension)
    if not fits or digests.dtype != np.uint8 or vectors.dtype != np.float16 or not 0 < rows <= VECTORS_PER_PART:
        raise refused(f"{name} does not hold 1 to {VECTORS_PER_PART} vectors of {dimension} dimensions", "content")
    wide = vectors.astype(np.float32)
    if not np.isfinite(wide).all() or not np.all(np.abs(np.linalg.norm(wide, axis=1) - 1.0) < 0.01):
        raise refused(f"{name} holds a vector that is not of unit length", "content")
    return digests, vectors
