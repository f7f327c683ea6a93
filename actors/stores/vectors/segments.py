"""Stored vectors of a shard: immutable Parquet segments and a manifest that names them, in one folder of a storage.

A segment holds rows (cube, row, vector in 16-bit floats) sorted by cube, in small row groups, so that a cube is
read without the others: of a file in an object store, too, only the ranges that are needed are fetched. Of two
entries of the same (cube, row) the one in the later segment counts. The manifest is replaced whole, after the
segments that it names: a crash leaves the old state or the new one. Page checksums show damage. Segments of
similar size are merged while flushing, so that there are few.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.errors import ConfigError, Corrupted
from actors.stores.location import Location, StorageSpec, decoding_errors
from actors.stores.vectors.footers import Footer, digests_entry
from actors.stores.vectors.manifests import GraphFile, Manifest, Manifests, Segment, graph_name, segment_name
from actors.stores.vectors.merging import FAN_IN, latest, size_class

STORED = np.float16
"""What a vector is rounded to when it is put, so that scores do not change when it is read back."""

ROW_GROUP_ROWS = 1024
"""What opening a small cube reads of a segment: 0.8 MB at 384 dimensions."""

_WRITTEN_ROWS = 16 * ROW_GROUP_ROWS
"""Rows that are put in order at a time."""

_MERGED_ROWS_MAX = 131_072
"""A segment of this size is left alone: merging holds its rows in memory twice, 200 MB at 384 dimensions."""

Half = npt.NDArray[np.float16]


class VectorSegments:
    """Not thread-safe: its owner lets one thread in at a time."""

    def __init__(self, storage: StorageSpec, model_id: str, dimension: int, epoch: int) -> None:
        """Take the folder over as owner `epoch`. Raises Corrupted (naming the file), ConfigError for another model's
        vectors, NewerFormat, Fenced when a later owner has it.
        """
        self._begin(storage, model_id, dimension, epoch)
        self._manifest = self._manifests.adopt(self._fresh)
        self._check_model()
        self._check_files()
        self._manifests.delete_leftovers(self._manifest)

    @classmethod
    def begin_anew(cls, storage: StorageSpec, model_id: str, dimension: int, epoch: int) -> VectorSegments:
        """Take the folder over and forget what is in it, whatever its state. Raises Fenced, StorageUnavailable."""
        segments = cls.__new__(cls)
        segments._begin(storage, model_id, dimension, epoch)
        segments._manifests.refuse_later()
        segments._manifests.write(segments._fresh)
        segments._manifests.delete_leftovers(segments._fresh)
        return segments

    def _begin(self, storage: StorageSpec, model_id: str, dimension: int, epoch: int) -> None:
        self._location = Location(storage)
        self._location.prepare()
        self._epoch = epoch
        self._manifests = Manifests(self._location, epoch)
        self._manifest = self._fresh = Manifest(model_id, dimension)
        self._footers: dict[str, Footer] = {}
        self._unnamed: set[str] = set()
        """Files of this owner that its manifest does not name: written just now, or not to be deleted yet."""
        self._schema = pa.schema(
            [("cube", pa.string()), ("row", pa.int64()), ("vector", pa.binary(dimension * STORED().itemsize))]
        )

    @property
    def uri(self) -> str:
        return self._location.uri

    @property
    def position(self) -> int:
        return self._manifest.position

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self._manifest.segments

    # reading

    def read(self, cube_id: str) -> tuple[npt.NDArray[np.int64], Half]:
        """A cube's (rows, vectors), each row once, in order of row. Raises Corrupted, naming the file; Fenced when a
        later owner has deleted it.
        """
        tables = [self._read_cube(segment, cube_id) for segment in self.segments]
        return self._columns(pa.concat_tables(tables) if tables else self._schema.empty_table())

    def _read_cube(self, segment: Segment, cube_id: str) -> pa.Table:
        groups = self._footer(segment).groups_with(cube_id)
        if not groups:
            return self._schema.empty_table()
        table = self._read_groups(segment, groups)
        return table.filter(pc.equal(table["cube"], cube_id))

    def _read_segment(self, segment: Segment) -> pa.Table:
        return self._read_groups(segment, list(range(self._footer(segment).metadata.num_row_groups)))

    def _read_groups(self, segment: Segment, groups: list[int]) -> pa.Table:
        footer = self._footer(segment)
        with self._opened(segment, footer.metadata) as file:
            table = file.read_row_groups(groups, columns=self._schema.names, use_threads=False)
            return table.replace_schema_metadata(None)

    def _footer(self, segment: Segment) -> Footer:
        footer = self._footers.get(segment.name)
        if footer is None:
            with self._opened(segment, None) as file:
                if not file.schema_arrow.equals(self._schema):
                    name = self._location.name_of(segment.name)
                    raise Corrupted(f"vector file {name} has another schema than was written", uri=name)
                footer = self._footers[segment.name] = Footer.of(file.metadata)
        return footer

    @contextmanager
    def _opened(self, segment: Segment, metadata: pq.FileMetaData | None) -> Iterator[pq.ParquetFile]:
        name = self._location.name_of(segment.name)
        try:
            with self._location.open_ranges(segment.name) as source, decoding_errors(f"vector file {name}"):
                yield pq.ParquetFile(source, metadata=metadata, page_checksum_verification=True, pre_buffer=True)
        except FileNotFoundError as error:
            self._manifests.refuse_later()
            raise Corrupted(f"vector file {name} is missing", uri=name) from error

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
        """Store {cube: {row: vector}} and `position`; durable when it returns. Raises Fenced, at the latest when
        segments are merged.
        """
        segments = self.segments
        if vectors:
            segments = (*segments, self._write_segment(self._table(vectors)))
        self._commit(replace(self._manifest, position=position, segments=self._merged(segments)))

    def erase(self, cube_id: str) -> None:
        """Rewrite every segment that holds the cube."""
        self._rewrite({cube_id: None})

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> None:
        """Rewrite every segment that holds some of the rows, and drop the graphs of their cubes, whose links tell of
        what was near. The old files are gone from storage when it returns.
        """
        self._rewrite(rows)
        self._location.sync()

    def _rewrite(self, leaving: Mapping[str, Sequence[int] | None]) -> None:
        """Without the rows of `leaving`, or whole cubes where it says None."""
        kept = []
        for segment in self.segments:
            if not any(self._footer(segment).groups_with(cube_id) for cube_id in leaving):
                kept.append(segment)
                continue
            table = self._read_segment(segment)
            without = table
            for cube_id, rows in leaving.items():
                going = pc.equal(without["cube"], cube_id)
                if rows is not None:
                    going = pc.and_(going, pc.is_in(without["row"], pa.array(rows, pa.int64())))
                without = without.filter(pc.invert(going))
            if len(without) == len(table):
                kept.append(segment)
            elif len(without):
                kept.append(self._write_segment(without))
        graphs = tuple(graph for graph in self._manifest.graphs if graph.cube_id not in leaving)
        self._commit(replace(self._manifest, segments=tuple(kept), graphs=graphs))

    # graphs

    def read_graph(self, cube_id: str) -> bytes | None:
        """The stored graph of a cube, None when there is none. Raises Corrupted, naming the file."""
        graph = next((graph for graph in self._manifest.graphs if graph.cube_id == cube_id), None)
        if graph is None:
            return None
        data, name = self._location.read(graph.name), self._location.name_of(graph.name)
        if data is None or zlib.crc32(data) != graph.crc:
            raise Corrupted(f"graph file {name} is missing or not what was written", uri=name)
        return data

    def write_graph(self, cube_id: str, rows: int, data: bytes) -> None:
        """Keep the graph of a cube's first `rows` rows in the place of an earlier one. Durable when it returns."""
        graph = GraphFile(cube_id, graph_name(self._epoch, uuid.uuid4().hex), rows, zlib.crc32(data))
        self._unnamed.add(graph.name)
        self._location.write(graph.name, pa.py_buffer(data))
        self._location.sync()
        self._commit(replace(self._manifest, graphs=(*self._graphs_without(cube_id), graph)))

    def _graphs_without(self, cube_id: str) -> tuple[GraphFile, ...]:
        return tuple(graph for graph in self._manifest.graphs if graph.cube_id != cube_id)

    # forgetting

    def clear(self) -> None:
        self._commit(self._fresh)

    def _table(self, vectors: Mapping[str, Mapping[int, Half]]) -> pa.Table:
        entries = [(cube, row, v.tobytes()) for cube, held in vectors.items() for row, v in held.items()]
        entries.sort(key=lambda entry: entry[:2])
        cubes, rows, packed = zip(*entries, strict=True)
        columns = [pa.array(values, f.type) for values, f in zip((cubes, rows, packed), self._schema, strict=True)]
        return pa.table(columns, schema=self._schema)

    def _write_segment(self, table: pa.Table, order: npt.NDArray[np.int64] | None = None) -> Segment:
        """Store the rows of `table`, those of `order` alone when it is given, as a segment that nothing names yet."""
        order = np.arange(len(table)) if order is None else order
        segment = Segment(segment_name(self._epoch, uuid.uuid4().hex), len(order))
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            self._schema,
            compression="none",
            use_dictionary=["cube"],
            write_statistics=["cube", "row"],
            write_page_checksum=True,
        ) as writer:
            for start in range(0, len(order), _WRITTEN_ROWS):
                part = table.take(pa.array(order[start : start + _WRITTEN_ROWS]))
                writer.write_table(part, row_group_size=ROW_GROUP_ROWS)
            writer.add_key_value_metadata(digests_entry(pc.unique(table["cube"]).to_pylist()))
        self._unnamed.add(segment.name)
        self._location.write(segment.name, sink.getvalue())
        self._location.sync()
        return segment

    def _merged(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Merge the newest segments, as long as enough of them are of one size class or below."""
        while segments:
            largest = size_class(segments[-1])
            start = len(segments)
            while start and size_class(segments[start - 1]) <= largest:
                start -= 1
            if len(segments) - start < FAN_IN or sum(s.rows for s in segments[start:]) > _MERGED_ROWS_MAX:
                break
            table = pa.concat_tables([self._read_segment(segment) for segment in segments[start:]])
            segments = (*segments[:start], self._write_segment(table, latest(table)))
        return segments

    def _commit(self, manifest: Manifest) -> None:
        """Make `manifest` the one that counts, then delete what this owner wrote or took over and it does not name."""
        self._manifests.write(manifest)
        self._unnamed |= self._manifest.files
        self._unnamed -= manifest.files
        self._manifest = manifest
        for name in self._unnamed:
            self._footers.pop(name, None)
        self._manifests.delete(self._unnamed)
        self._unnamed = set()

    # opening

    def _check_model(self) -> None:
        manifest, fresh = self._manifest, self._fresh
        if (manifest.model_id, manifest.dimension) != (fresh.model_id, fresh.dimension):
            raise ConfigError(
                f"{self.uri} holds vectors of {manifest.model_id} ({manifest.dimension} dimensions), the embedder "
                f"is {fresh.model_id} ({fresh.dimension}): configure that one, or run the job `reindex`"
            )

    def _check_files(self) -> None:
        there = self._location.sizes()
        for segment in self.segments:
            if segment.name not in there:
                name = self._location.name_of(segment.name)
                raise Corrupted(f"vector file {name} is missing", uri=name)
