"""The vector port on Milvus: one collection a shard and embedding model, the cube as its partition key.

The index (FLAT, inner product) is exact. Vectors are rounded to 16-bit floats as they are put, as faiss's are, so that
scores of the two compare; the arithmetic is the server's, so they may differ in the last bits.

The position is kept in the collection, in an entity of its own, the record. It is written after everything that was
put has been acknowledged, and Milvus has what it acknowledged in its log by then: so a killed server or host
leaves a position that is too low, never one that is ahead.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from actors.errors import ConfigError
from actors.memory.ports import Mask, RowNumbers, Vectors
from actors.stores.vectors import milvus_statements as say
from actors.stores.vectors.milvus_connection import MilvusConnection, NotLoaded
from actors.stores.vectors.milvus_record import Note, read_record, record_entity
from actors.stores.vectors.milvus_schema import (
    create_collection,
    entity,
    put_entities,
    read_listed,
    upserts_by_partition_key,
)
from actors.stores.vectors.milvus_statements import ROW, VECTOR, Rows, SearchBounds
from actors.stores.vectors.segments import STORED
from actors.stores.vectors.store import VectorStoreSpec

R = TypeVar("R")

_PUT_ROWS = 1000
"""Rows of one call; 384 dimensions make that 1.6 MB, of the 64 MB that a server takes."""

Hits = list[tuple[int, float]]


class MilvusVectorIndex:
    """The vectors of a shard in the Milvus of `spec`. Contacts it on the first use, not here.

    Every method raises StorageUnavailable while Milvus is away and works again when it is back; ConfigError when the
    collection's vectors are another model's; NewerFormat; Corrupted when the collection is gone that this index had
    opened: open another one and replay the journal.
    """

    def __init__(
        self,
        spec: VectorStoreSpec,
        shard: str,
        model_id: str,
        dimension: int,
        bounds: SearchBounds | None = None,
    ) -> None:
        self._connection = MilvusConnection(spec)
        self._timeout_s = spec.timeout_s
        self._collection = say.collection_name(spec.prefix, shard, model_id)
        self._note = Note(model_id, dimension, uuid.uuid4().hex)
        self._bounds = bounds or SearchBounds()
        self._joining = threading.Lock()
        self._writing = threading.Lock()
        """Milvus Lite takes one writer of a collection at a time."""
        self._joined = False
        self._seals = False
        self._upserts = True
        self._unsealed = False
        self._position = 0

    @property
    def position(self) -> int:
        self._join()
        return self._position

    # writing

    def put(self, cube_id: str, rows: Sequence[int], vectors: Vectors) -> None:
        if vectors.shape != (len(rows), self._note.dimension):
            raise ValueError(f"expected vectors of shape ({len(rows)}, {self._note.dimension}), got {vectors.shape}")
        cube = say.cube_key(cube_id)
        latest = dict(zip(rows, vectors.astype(STORED).astype(np.float32), strict=True))
        entities = [entity(cube, row, vector) for row, vector in latest.items()]
        self._join()
        with self._writing:
            for start in range(0, len(entities), _PUT_ROWS):
                self._upsert(entities[start : start + _PUT_ROWS])
            self._unsealed = True

    def flush(self, position: int) -> None:
        self._join()
        with self._writing:
            if not self._unsealed and position == self._position:
                return
            if self._seals:
                self._connection.run(lambda client: client.flush(self._collection, timeout=self._timeout_s))
            stored = self._run(self._read_record)
            if stored is None or stored[1].incarnation != self._note.incarnation:
                raise self._connection.unavailable(f"another owner cleared {self._collection} meanwhile")
            self._write_record(position)
            self._unsealed = False

    def erase(self, cube_id: str) -> None:
        """The server frees the space, and with it the last copy of the vectors, when it compacts."""
        cube = say.of_cube(say.cube_key(cube_id))
        self._join()
        with self._writing:
            self._run(lambda client: client.delete(self._collection, filter=cube, timeout=self._timeout_s))

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> str:
        """The last copies leave the server's files when it has compacted, which it is asked for, and collected."""
        keys = [say.entity_key(say.cube_key(cube_id), row) for cube_id, gone in rows.items() for row in gone or ()]
        for cube_id in (cube_id for cube_id, gone in rows.items() if gone is None):
            self.erase(cube_id)
        self._join()
        with self._writing:
            if keys:
                self._run(lambda client: client.delete(self._collection, ids=keys, timeout=self._timeout_s))
            if not self._seals:
                return "deleted in Milvus Lite; its files keep what was deleted until it compacts by itself"
            self._run(lambda client: client.flush(self._collection, timeout=self._timeout_s))
            asked = self._run(lambda client: client.compact(self._collection, timeout=self._timeout_s))
        return f"deleted in Milvus, compaction {asked} asked for; its files go when it collects its garbage"

    def clear(self) -> None:
        with self._joining, self._writing:
            self._joined = False
            self._connection.run(lambda client: client.drop_collection(self._collection, timeout=self._timeout_s))
            self._create()
            self._joined = True

    def _upsert(self, entities: list[dict[str, Any]]) -> None:
        upserts = self._upserts
        self._run(lambda client: put_entities(client, self._collection, entities, self._timeout_s, upserts=upserts))

    def _write_record(self, position: int) -> None:
        record = record_entity(position, self._note)
        self._connection.run(lambda client: client.upsert(self._collection, [record], timeout=self._timeout_s))
        self._position = position

    # reading

    def present(self, cube_id: str) -> int:
        cube = say.of_cube(say.cube_key(cube_id))
        self._join()
        counted = self._run(
            lambda client: client.query(
                self._collection, filter=cube, output_fields=["count(*)"], timeout=self._timeout_s
            )
        )
        return int(counted[0]["count(*)"])

    def search(self, cube_id: str, query: Vectors, allowed: Mask, k: int) -> Hits:
        """Exact under any mask: few rows far apart are listed, in up to `bounds.lists` searches; other masks are
        sifted.
        """
        rows = np.flatnonzero(allowed).astype(np.int64)
        k = min(k, len(rows))
        if k < 1:
            return []
        cube = say.cube_key(cube_id)
        vector = np.ascontiguousarray(query, dtype=np.float32).reshape(-1)
        self._join()
        expressions = say.lists(cube, rows, self._bounds)
        if expressions is None:
            hits = self._sifted(cube, rows, allowed, vector, k)
        else:
            hits = [hit for expression in expressions for hit in self._nearest(expression, vector, k)]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))[:k]

    def _sifted(self, cube: str, rows: Rows, allowed: Mask, query: Vectors, k: int) -> Hits:
        """The best `k` of the allowed rows, or more: fetch more of the span they lie in, and leave out the others.

        Of `k` and as many more as are not allowed, `k` are left: so a mask with few gaps takes one search, and so does
        one whose rows are allowed whatever their scores. Where too few are left, four times as many are fetched, and at
        last all rows, piece by piece. With F rows in an answer that is at most 1 + log4(F) + n/F searches for n rows.
        """
        first, last = int(rows[0]), int(rows[-1])
        span = last - first + 1
        enough = k + span - len(rows)
        limit = min(enough, (3 * k // 2 + 8) * span // len(rows))
        while limit <= self._bounds.fetched_rows:
            hits = self._nearest(say.between(cube, first, last), query, limit)
            kept = [hit for hit in hits if allowed[hit[0]]]
            if len(kept) >= k or len(hits) < limit or limit == enough:
                return kept
            limit = min(enough, 4 * limit)
        every = say.pieces(cube, first, last, self._bounds)
        hits = [hit for piece in every for hit in self._nearest(piece, query, self._bounds.fetched_rows)]
        return [hit for hit in hits if allowed[hit[0]]]

    def _nearest(self, expression: str, query: Vectors, limit: int) -> Hits:
        found = self._run(
            lambda client: client.search(
                self._collection,
                data=[query],
                filter=expression,
                limit=limit,
                output_fields=[ROW],
                anns_field=VECTOR,
                search_params={"metric_type": "IP"},
                timeout=self._timeout_s,
            )
        )
        return [(int(hit["entity"][ROW]), float(hit["distance"])) for hit in found[0]]

    def read(self, cube_id: str, rows: Sequence[int]) -> tuple[RowNumbers, Vectors]:
        wanted = np.sort(np.asarray(rows, dtype=np.int64))
        self._join()
        read = partial(read_listed, collection=self._collection, timeout_s=self._timeout_s)
        listed = say.in_lists(say.cube_key(cube_id), wanted, self._bounds)
        found = dict(held for expression in listed for held in self._run(partial(read, expression=expression)))
        there = [int(row) for row in wanted if int(row) in found]
        vectors = np.array([found[row] for row in there], dtype=np.float32).reshape(-1, self._note.dimension)
        return np.array(there, dtype=np.int64), vectors

    def held_bytes(self, cube_id: str) -> int:
        """Vectors are the server's to hold."""
        return 0

    def unload(self, cube_id: str) -> None:
        """Nothing of a cube is in this process."""

    def close(self) -> None:
        self._connection.close()

    # the collection

    def _run(self, work: Callable[[Any], R]) -> R:
        """Run a call; once more, when the server was restarted and does not serve the collection yet."""
        try:
            return self._connection.run(work)
        except NotLoaded:
            self._connection.run(self._load)
            return self._connection.run(work)

    def _join(self) -> None:
        """Make the collection, or learn what is in it, on first contact."""
        if not self._joined:
            with self._joining:
                self._join_once()

    def _join_once(self) -> None:
        if not self._joined:  # another thread may have been faster
            version = self._connection.run(lambda client: client.get_server_version(timeout=self._timeout_s))
            # A real server seals by itself and limits how often it may be asked; Lite scans what is unsealed in Python.
            self._seals = str(version).startswith("milvus_lite")
            self._upserts = upserts_by_partition_key(str(version))
            record = self._connection.run(self._opened)
            if record is None:
                self._create()
            else:
                self._check(record[1])
                self._position, self._note = record
            self._joined = True

    def _opened(self, client: Any) -> tuple[int, Note] | None:
        """The record of the collection, served from now on; None when there is no collection that can be used."""
        if not client.has_collection(self._collection, timeout=self._timeout_s):
            return None
        client.load_collection(self._collection, timeout=self._timeout_s)
        record = self._read_record(client)
        if record is None:  # left by an owner that was killed before it wrote the record, or damaged
            client.drop_collection(self._collection, timeout=self._timeout_s)
        return record

    def _check(self, note: Note) -> None:
        ours = self._note
        if (note.model_id, note.dimension) != (ours.model_id, ours.dimension):
            raise ConfigError(
                f"collection {self._collection} of {self._connection.uri} holds vectors of {note.model_id} "
                f"({note.dimension} dimensions), the embedder is {ours.model_id} ({ours.dimension}): configure that "
                "one, or run the job `reindex`"
            )

    def _load(self, client: Any) -> None:
        client.load_collection(self._collection, timeout=self._timeout_s)

    def _read_record(self, client: Any) -> tuple[int, Note] | None:
        return read_record(client, self._collection, self._connection.uri, self._timeout_s)

    def _create(self) -> None:
        """An empty collection at position 0."""
        self._note = Note(self._note.model_id, self._note.dimension, uuid.uuid4().hex)
        name, dimension = self._collection, self._note.dimension
        self._connection.run(lambda client: create_collection(client, name, dimension, self._timeout_s))
        self._write_record(0)
        self._unsealed = False
