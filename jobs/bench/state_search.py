"""Looking for bytes in a whole state folder: every file whatever its name, as it is and decoded.

Parquet is decoded (every column, statistics, metadata), compressed frames are found by their first bytes wherever they
stand and taken apart, and inverted indexes are asked for their words, those of deleted documents too.
"""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tantivy

ZSTD, GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"
_PIECE_BYTES = 1 << 20

Needles = Mapping[str, bytes]
"""Name -> the bytes to look for."""


def find(folder: Path, needles: Needles, words: frozenset[str] = frozenset()) -> list[str]:
    """Where the bytes are, in words: "FILE (how it was read): NAME". `words` are looked for in inverted indexes."""
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                continue
            data = path.read_bytes()
        except FileNotFoundError:  # replaced since the folder was listed
            continue
        for how, content in _readings(path, data):
            hits = sorted(name for name, needle in needles.items() if needle in content)
            found += [f"{path.relative_to(folder)} ({how}): {name}" for name in hits]
        if path.name == "meta.json" and words:
            found += [f"{path.parent.relative_to(folder)} (words): {word}" for word in _words(path.parent, words)]
    return found


def _readings(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "as it is", data
    for magic, codec in ((ZSTD, "zstd"), (GZIP, "gzip")):
        at = data.find(magic)
        while at >= 0:
            end = _end_of_frame(data, at) if codec == "zstd" else len(data)
            inner = _decompressed(data[at:end], codec)
            yield f"{codec} at {at}", inner
            if ZSTD in inner:  # a large state in a block of snapshots
                yield from ((f"{codec} at {at}, {how}", read) for how, read in _readings(path, inner))
            at = data.find(magic, at + 1)
    if data[:4] == b"PAR1" and data[-4:] == b"PAR1":
        yield from _parquet(data)


def _end_of_frame(data: bytes, at: int) -> int:
    """Where a Zstandard frame ends (RFC 8878, 3.1.1), 0 or the end of the data when it is none: what follows it would
    be read as another.
    """
    if at + 6 > len(data):
        return 0
    described = data[at + 4]
    single, checksum = described >> 5 & 1, described >> 2 & 1
    content_size = (0, 2, 4, 8)[described >> 6] or single
    place = at + 5 + (1 - single) + (0, 1, 2, 4)[described & 3] + content_size
    last = 0
    while not last and place + 3 <= len(data):
        header = int.from_bytes(data[place : place + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        place += 3 + (1 if kind == 1 else size)
    return place + 4 * checksum


def _decompressed(data: bytes, codec: str) -> bytes:
    """As much as there is of a frame: what looks like one may be none."""
    out = bytearray()
    try:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            while piece := stream.read(_PIECE_BYTES):
                out += piece
    except (OSError, pa.ArrowException, gzip.BadGzipFile):
        return bytes(out)
    return bytes(out)


def _parquet(data: bytes) -> Iterator[tuple[str, bytes]]:
    file = pq.ParquetFile(pa.BufferReader(data))
    yield (
        "Parquet metadata",
        json.dumps(file.metadata.to_dict(), default=repr).encode() + repr(file.metadata.metadata).encode(),
    )
    for name, column in zip(file.schema_arrow.names, file.read().columns, strict=True):
        values = [value for value in column.to_pylist() if value is not None]
        joined = b"\0".join(v if isinstance(v, bytes) else str(v).encode() for v in values)
        yield f"Parquet column {name}", joined


def _words(folder: Path, words: frozenset[str]) -> list[str]:
    """Those of the words that the index holds, of documents that are deleted too."""
    if not tantivy.Index.exists(str(folder)):
        return []
    searcher = tantivy.Index.open(str(folder)).searcher()
    return sorted(word for word in words if searcher.terms_with_prefix("body", word))
