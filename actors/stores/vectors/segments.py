"""Stored vectors of a shard: immutable Parquet segments and a manifest that names them.

A segment holds rows (cube, row, vector in 16-bit floats) sorted by cube, in small row groups, so that a cube is
read without the others. Of two entries of the same (cube, row) the one in the later segment counts. The
manifest lists the segments, oldest first, with the model, its dimension and the position. It is replaced by
one rename, after the segments that it names: a killed process leaves the old state or the new one, and
files that no manifest names are removed at the next opening. A power cut may tear a file; page checksums
show it. Segments of similar size are merged while flushing, so that there are few.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.errors import ConfigError, Corrupted, NewerFormat, StorageUnavailable

FORMAT = 1
STORED = np.float16
"""What a vector is rounded to when it is put, so that scores do not change when it is read back."""

_MANIFEST = "manifest.json"
_ROW_GROUP_ROWS = 4096
_FAN_IN = 8
"""Segments of one size class that are merged into one of the next."""

_SMALLEST_CLASS_ROWS = 512
_MERGED_ROWS_MAX = 262_144
"""A segment of this size is left alone: merging holds its rows in memory."""

Half = npt.NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Segment:
    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    model_id: str
    dimension: int
    position: int = 0
    segments: tuple[Segment, ...] = ()


class VectorSegments:
    """Not thread-safe: its owner lets one thread in at a time."""

    def __init__(self, folder: Path, model_id: str, dimension: int) -> None:
        """Raises Corrupted (naming the file), ConfigError for another model's vectors, NewerFormat."""
        self._folder = folder
        self._fresh = Manifest(model_id, dimension)
        self._schema = pa.schema(
            [("cube", pa.string()), ("row", pa.int64()), ("vector", pa.binary(dimension * STORED().itemsize))]
        )
        with _translated(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._manifest = self._read_manifest()
        self._check_files()

    @property
    def position(self) -> int:
        return self._manifest.position

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self._manifest.segments

    # reading

    def read(self, cube_id: str) -> tuple[npt.NDArray[np.int64], Half]:
        """A cube's (rows, vectors), each row once, in order of row. Raises Corrupted, naming the file."""
        tables = [self._read_segment(segment, cube_id) for segment in self.segments]
        return self._columns(pa.concat_tables(tables) if tables else self._schema.empty_table())

    def _read_segment(self, segment: Segment, cube_id: str | None = None) -> pa.Table:
        path = self._folder / segment.name
        try:
            with pq.ParquetFile(path, page_checksum_verification=True, memory_map=False) as file:
                wanted = range(file.num_row_groups) if cube_id is None else _groups_with(file, cube_id)
                table = file.read_row_groups(list(wanted), columns=self._schema.names)
        except (pa.ArrowException, OSError) as error:
            raise Corrupted(f"vector file {path} is damaged: {error}", uri=str(path)) from error
        if not table.schema.equals(self._schema):
            raise Corrupted(f"vector file {path} has another schema than was written", uri=str(path))
        return table if cube_id is None else table.filter(pc.equal(table["cube"], cube_id))

    def _columns(self, table: pa.Table) -> tuple[npt.NDArray[np.int64], Half]:
        rows = table["row"].to_numpy()
        packed = pa.concat_arrays(table["vector"].chunks or [pa.array([], self._schema.field("vector").type)])
        width = self._fresh.dimension
        start = packed.offset * width
        flat = np.frombuffer(packed.buffers()[1] or b"", dtype=STORED)[start : start + len(packed) * width]
        # np.unique finds first occurrences: turned around, those are the latest entries.
        unique, latest = np.unique(rows[::-1], return_index=True)
        return unique.astype(np.int64), flat.reshape(-1, width)[len(rows) - 1 - latest]

    # writing

    def append(self, vectors: Mapping[str, Mapping[int, Half]], position: int) -> None:
        """Store {cube: {row: vector}} and `position`; durable against a killed process when it returns."""
        with _translated(self._folder):
            segments = self.segments
            if vectors:
                segments = (*segments, self._write_segment(self._table(vectors)))
            merged = self._merged(segments)
            self._commit(replace(self._manifest, position=position, segments=merged))

    def erase(self, cube_id: str) -> None:
        """Rewrite every segment that holds the cube."""
        with _translated(self._folder):
            kept = []
            for segment in self.segments:
                table = self._read_segment(segment)
                without = table.filter(pc.not_equal(table["cube"], cube_id))
                if len(without) == len(table):
                    kept.append(segment)
                elif len(without):
                    kept.append(self._write_segment(without))
            self._commit(replace(self._manifest, segments=tuple(kept)))

    def clear(self) -> None:
        with _translated(self._folder):
            self._commit(self._fresh)

    def _table(self, vectors: Mapping[str, Mapping[int, Half]]) -> pa.Table:
        entries = [(cube, row, v.tobytes()) for cube, held in vectors.items() for row, v in held.items()]
        entries.sort(key=lambda entry: entry[:2])
        cubes, rows, packed = zip(*entries, strict=True)
        columns = [pa.array(values, f.type) for values, f in zip((cubes, rows, packed), self._schema, strict=True)]
        return pa.table(columns, schema=self._schema)

    def _write_segment(self, table: pa.Table) -> Segment:
        segment = Segment(f"{uuid.uuid4().hex}.parquet", len(table))
        pq.write_table(
            table,
            self._folder / segment.name,
            row_group_size=_ROW_GROUP_ROWS,
            compression="none",
            use_dictionary=["cube"],
            write_statistics=["cube", "row"],
            write_page_checksum=True,
        )
        return segment

    def _merged(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Merge the newest segments, as long as enough of them are of one size class or below."""
        while segments:
            largest = _size_class(segments[-1])
            start = len(segments)
            while start and _size_class(segments[start - 1]) <= largest:
                start -= 1
            if len(segments) - start < _FAN_IN or sum(s.rows for s in segments[start:]) > _MERGED_ROWS_MAX:
                break
            table = pa.concat_tables([self._read_segment(segment) for segment in segments[start:]])
            segments = (*segments[:start], self._write_segment(_latest(table)))
        return segments

    def _commit(self, manifest: Manifest) -> None:
        body: dict[str, Any] = {"format": FORMAT, **asdict(manifest)}
        text = json.dumps({"body": body, "crc": _crc(body)})
        new = self._folder / (_MANIFEST + ".new")
        new.write_text(text)
        new.replace(self._folder / _MANIFEST)
        self._manifest = manifest
        self._remove_unnamed()

    def _remove_unnamed(self) -> None:
        named = {segment.name for segment in self.segments} | {_MANIFEST}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink(missing_ok=True)

    # opening

    def _read_manifest(self) -> Manifest:
        path = self._folder / _MANIFEST
        try:
            stored = json.loads(path.read_bytes())
            body = dict(stored["body"])
            intact = stored["crc"] == _crc(body)
        except FileNotFoundError:
            stray = sorted(p.name for p in self._folder.glob("*.parquet"))
            if len(stray) > 1:  # one may be left by a process that was killed in its first flush
                raise Corrupted(f"{path} is missing beside {len(stray)} vector files", uri=str(path)) from None
            return self._fresh
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(f"{path} is damaged: {error}", uri=str(path)) from error
        if not intact:
            raise Corrupted(f"{path} has another checksum than when it was written", uri=str(path))
        if body.pop("format") > FORMAT:
            raise NewerFormat(f"{path} was written by a newer version", uri=str(path))
        manifest = Manifest(**{**body, "segments": tuple(Segment(**segment) for segment in body["segments"])})
        if (manifest.model_id, manifest.dimension) != (self._fresh.model_id, self._fresh.dimension):
            raise ConfigError(
                f"{self._folder} holds vectors of {manifest.model_id} ({manifest.dimension} dimensions), the embedder "
                f"is {self._fresh.model_id} ({self._fresh.dimension}): configure that one, or run the job `reindex`"
            )
        return manifest

    def _check_files(self) -> None:
        for segment in self.segments:
            if not (self._folder / segment.name).is_file():
                raise Corrupted(f"vector file {self._folder / segment.name} is missing", uri=str(self._folder))
        with _translated(self._folder):
            self._remove_unnamed()


def _groups_with(file: pq.ParquetFile, cube_id: str) -> list[int]:
    """The row groups whose span of cube ids includes `cube_id`."""
    groups = []
    for number in range(file.num_row_groups):
        statistics = file.metadata.row_group(number).column(0).statistics
        if statistics is None or not statistics.has_min_max or statistics.min <= cube_id <= statistics.max:
            groups.append(number)
    return groups


def _latest(table: pa.Table) -> pa.Table:
    """The last entry of each (cube, row), sorted by cube and row."""
    numbered = table.append_column("entry", pa.array(np.arange(len(table))))
    last = numbered.group_by(["cube", "row"]).aggregate([("entry", "max")])
    last = last.sort_by([("cube", "ascending"), ("row", "ascending")])
    return table.take(last["entry_max"])


def _size_class(segment: Segment) -> int:
    size, rows = 0, segment.rows
    while rows > _SMALLEST_CLASS_ROWS:
        rows //= _FAN_IN
        size += 1
    return size


def _crc(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(f"vectors in {folder}: {error}", uri=str(folder)) from error
