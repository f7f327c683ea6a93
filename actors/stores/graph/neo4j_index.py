"""The graph port on Neo4j, over Bolt: shards share a database, each under its own name.

The position is kept in a node of its own, the record. It is written after everything that was put has been committed;
so a killed server or host leaves a position that is too low, never one that is ahead.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from actors.errors import Corrupted, NewerFormat
from actors.memory.graph import EVERY_KIND, Edge, EdgeKind, EdgePlace, Ending, Node, NodeKind, reached
from actors.memory.graph_ports import Versions
from actors.stores.graph import neo4j_statements as say
from actors.stores.graph.batches import batches
from actors.stores.graph.edge_rows import NODE_FIELDS, edge_fields, edge_of, node_fields, node_of
from actors.stores.graph.neo4j_connection import Neo4jConnection, Records, Say
from actors.stores.graph.store import GraphStoreSpec

T = TypeVar("T")

FORMAT = 1

_ROWS = 500
"""Of one statement that writes."""


class Neo4jGraphIndex:
    """The graph of a shard in the Neo4j of `spec`. Contacts it on the first use, not here.

    Every method raises StorageUnavailable while Neo4j is away and works again when it is back; ConfigError when it
    refuses the user; NewerFormat; Corrupted when it holds an older format (`clear` it and replay the journal).
    """

    def __init__(self, spec: GraphStoreSpec, shard: str) -> None:
        self._connection = Neo4jConnection(spec)
        self._shard = f"{spec.prefix}/{shard}"
        self._incarnation = uuid.uuid4().hex
        self._position = 0
        self._joining = threading.Lock()
        self._joined = False
        self._writing = threading.Lock()

    @property
    def position(self) -> int:
        self._join()
        return self._position

    # writing

    def put(self, edges: Sequence[Edge]) -> None:
        latest = {edge.id: edge for edge in edges}.values()
        nodes = [node_fields(node) for node in sorted(reached(latest))]
        ties = [{**edge_fields(edge), "cube": edge.cube_id} for edge in latest]
        for row in nodes:
            row["key"] = self._named(row["key"])
        for row in ties:
            row["source"], row["target"] = self._named(row["source"]), self._named(row["target"])
        self._join()
        with self._writing:
            for statement, rows in ((say.MERGE_NODES, nodes), (say.MERGE_TIES, ties)):
                self._write_rows(statement, rows)

    def end(self, endings: Sequence[Ending]) -> None:
        rows = [{"cube": e.cube_id, "memory": e.memory_id, "since": e.since, "until": e.until} for e in endings]
        self._join()
        with self._writing:
            self._write_rows(say.END_TIES, rows)

    def flush(self, position: int) -> None:
        self._join()
        with self._writing:
            if position == self._position:
                return
            asked = {"shard": self._shard, "incarnation": self._incarnation, "position": position}
            if not self._connection.write(lambda tell: tell(say.MOVE_RECORD, asked)):
                raise self._connection.unavailable(f"another owner cleared {self._shard} meanwhile")
            self._position = position

    def erase(self, cube_id: str) -> None:
        self._join()
        with self._writing:
            self._delete_all(say.SOME_OF_CUBE, {"shard": self._shard, "cube": cube_id})

    def erase_memories(self, memories: Mapping[str, Sequence[str] | None]) -> str:
        self._join()
        for cube_id, gone in memories.items():
            if gone is None:
                self.erase(cube_id)
                continue
            for some in batches(gone, _ROWS):
                rows = [self._memory_row(cube_id, memory_id) for memory_id in some]
                with self._writing:
                    self._connection.write(lambda tell, rows=rows: self._erase(tell, rows))  # type: ignore[misc]
        return "deleted in Neo4j; its transaction logs and backups keep what was deleted until they are pruned"

    def _memory_row(self, cube_id: str, memory_id: str) -> dict[str, Any]:
        key = self._named(Node(cube_id, NodeKind.MEMORY, memory_id).key)
        return {"cube": cube_id, "memory": memory_id, "key": key}

    def _erase(self, tell: Say, rows: list[dict[str, Any]]) -> None:
        asked = {"shard": self._shard, "rows": rows}
        ends = [*tell(say.ENDS_OF_TOLD, asked), *tell(say.ENDS_AROUND, {"rows": rows})]
        tell(say.DELETE_TOLD, asked)
        tell(say.DELETE_MEMORIES, {"rows": rows})
        tell(say.DELETE_UNTOUCHED, {"keys": sorted({key for pair in ends for key in pair})})

    def _delete_all(self, some: str, asked: Mapping[str, Any]) -> None:
        while found := self._connection.read(lambda tell: tell(some, {**asked, "limit": _ROWS})):
            rows = [{"key": key} for (key,) in found]
            self._connection.write(lambda tell, rows=rows: tell(say.DELETE_MEMORIES, {"rows": rows}))  # type: ignore[misc]

    def clear(self) -> None:
        with self._joining, self._writing:
            self._joined = False
            self._prepare()
            self._delete_all(say.SOME_OF_SHARD, {"shard": self._shard})
            self._make_record()
            self._joined = True

    def close(self) -> None:
        self._connection.close()

    def _write_rows(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        for some in batches(rows, _ROWS):
            asked = {"shard": self._shard, "rows": some}
            self._connection.write(lambda tell, asked=asked: tell(statement, asked))  # type: ignore[misc]

    # reading

    def touching(
        self, nodes: Collection[Node], versions: Versions, limit: int, kinds: Collection[EdgeKind] = EVERY_KIND
    ) -> list[Edge]:
        rows = [
            {"key": self._named(node.key), "version": versions[node.cube_id]}
            for node in sorted(nodes)
            if node.cube_id in versions
        ]
        self._join()
        if not rows:
            return []
        asked = {"rows": rows, "kinds": [kind.value for kind in kinds], "limit": limit}
        return _edges(self._connection.read(lambda tell: tell(say.TOUCHING, asked)))

    def page(self, versions: Versions, limit: int, after: EdgePlace | None = None) -> list[Edge]:
        self._join()
        found: list[Edge] = []
        for cube_id in sorted(versions):
            if len(found) >= limit or (after is not None and cube_id < after.cube_id):
                continue
            since, edge_id = (after.since, after.edge_id) if after and cube_id == after.cube_id else (-1, "")
            asked = {
                "shard": self._shard,
                "cube": cube_id,
                "version": versions[cube_id],
                "since": since,
                "id": edge_id,
                "limit": limit - len(found),
            }
            read: Callable[[Say], Records] = lambda tell, asked=asked: tell(say.PAGE, asked)  # type: ignore[misc] # noqa: E731
            found += _edges(self._connection.read(read))
        return found

    # the record

    def _named(self, key: str) -> str:
        return f"{self._shard}/{key}"

    def _join(self) -> None:
        """Make the schema and the record, or learn what is there, on first contact."""
        if not self._joined:
            with self._joining:
                if not self._joined:  # another thread may have been faster
                    self._prepare()
                    found = self._connection.read(lambda tell: tell(say.READ_RECORD, {"shard": self._shard}))
                    if found:
                        self._take(found[0])
                    else:
                        self._make_record()
                    self._joined = True

    def _prepare(self) -> None:
        for statement in say.SCHEMA:
            self._connection.outside_of_transactions(statement)

    def _take(self, record: list[Any]) -> None:
        position, format, incarnation = record
        if format > FORMAT:
            raise NewerFormat(f"{self._shard} was written by a newer version", uri=self._connection.uri)
        if format < FORMAT:
            raise Corrupted(f"{self._shard} has format {format}: it must be rebuilt", uri=self._connection.uri)
        self._position, self._incarnation = position, incarnation

    def _make_record(self) -> None:
        self._incarnation, self._position = uuid.uuid4().hex, 0
        asked = {"shard": self._shard, "format": FORMAT, "incarnation": self._incarnation}
        self._connection.write(lambda tell: tell(say.MAKE_RECORD, asked))


def _edges(records: Records) -> list[Edge]:
    nodes, width = len(NODE_FIELDS), 2 * len(NODE_FIELDS)
    return [edge_of(node_of(row[:nodes]), node_of(row[nodes:width]), row[width:]) for row in records]
