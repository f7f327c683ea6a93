"""The graph port on Ladybug, embedded: one database for all cubes of a shard, beside its other indexes.

What was put is committed, with a log that survives a killed process. The position is written after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors.errors import Corrupted, NewerFormat
from actors.memory.graph import EVERY_KIND, Edge, EdgeKind, EdgePlace, Ending, Node, NodeKind, newest_first, reached
from actors.memory.graph_ports import Versions
from actors.stores.graph import ladybug_statements as say
from actors.stores.graph.edge_rows import EDGE_FIELDS, NODE_FIELDS, edge_fields, edge_of, node_fields, node_of
from actors.stores.graph.ladybug_file import LadybugFile, Rows

FORMAT = 1


class LadybugGraphIndex:
    """Opens the index in `folder`, or makes one.

    Raises Corrupted when it cannot be read or is of an older format (`discard` the folder, open it again and replay the
    journal), NewerFormat, StateInUse when another process has it open.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = LadybugFile(folder)
        try:
            self._position = self._read_position()
            self._write_anew_if_marked()
        except BaseException:
            self._file.close()
            raise

    @staticmethod
    def discard(folder: Path) -> None:
        LadybugFile.discard(folder)

    def _read_position(self) -> int:
        found = self._file.read(say.READ_RECORD, {})
        if not found:
            return 0
        position, format = found[0]
        if format > FORMAT:
            raise NewerFormat(f"graph index {self._folder} has format {format}; this build reads {FORMAT}")
        if format < FORMAT:
            raise Corrupted(f"graph index {self._folder} has format {format}: it must be rebuilt from the journal")
        return int(position)

    @property
    def position(self) -> int:
        return self._position

    # writing

    def put(self, edges: Sequence[Edge]) -> None:
        latest = {edge.id: edge for edge in edges}
        if latest:
            with self._file.transaction():
                self._put(latest)

    def _put(self, edges: Mapping[str, Edge]) -> None:
        new = self._add_nodes(reached(edges.values()))
        for source in {edge.source for edge in edges.values()} - new:
            for (edge_id,) in self._file.write(say.TIES_FROM, {"key": source.key}):
                if edge_id in edges:
                    self._file.write(say.DELETE_TIE, {"source": source.key, "id": edge_id})
        for edge in edges.values():
            self._file.write(say.CREATE_TIE, edge_fields(edge))

    def _add_nodes(self, nodes: Iterable[Node]) -> set[Node]:
        """Those that were not there."""
        new = {node for node in nodes if not self._file.write(say.HAS_NODE, {"key": node.key})}
        by_cube: dict[str, list[Node]] = defaultdict(list)
        for node in new:
            by_cube[node.cube_id].append(node)
        for cube_id, theirs in by_cube.items():
            self._file.write(say.MERGE_CUBE, {"key": cube_id})
            self._file.write(say.CREATE_NODES, {"rows": [node_fields(node) for node in theirs]})
            for node in theirs:
                self._file.write(say.HOLD_NODE, {"cube": cube_id, "key": node.key})
        return new

    def end(self, endings: Sequence[Ending]) -> None:
        if not endings:
            return
        with self._file.transaction():
            ended = {}
            for ending in endings:
                for edge in self._told(ending.cube_id, ending.memory_id):
                    if edge.since == ending.since:
                        ended[edge.id] = replace(edge, until=ending.until)
            self._put(ended)

    def _told(self, cube_id: str, memory_id: str) -> list[Edge]:
        """What a memory tells, whether it is live or was."""
        return [edge for edge in self._concerning(cube_id, memory_id) if edge.memory_id == memory_id]

    def _concerning(self, cube_id: str, memory_id: str) -> list[Edge]:
        """What a memory tells, and every edge that touches it."""
        asked = {"key": Node(cube_id, NodeKind.MEMORY, memory_id).key}
        rows = [*self._file.write(say.EVER_OUT_OF, asked), *self._file.write(say.EVER_INTO, asked)]
        aliases = self._file.write(say.ALIASES_TOLD, {**asked, "memory": memory_id})
        return _edges([*rows, *aliases])

    def flush(self, position: int) -> None:
        if position != self._position:
            with self._file.transaction():
                self._file.write(say.WRITE_RECORD, {"position": position, "format": FORMAT})
            self._position = position

    def erase(self, cube_id: str) -> None:
        self.erase_memories({cube_id: None})

    def erase_memories(self, memories: Mapping[str, Sequence[str] | None]) -> str:
        """Writes the file anew when something was there, which takes a second for some 10,000 edges."""
        with self._file.transaction():
            found = False
            for cube_id, gone in memories.items():
                found |= self._erase_cube(cube_id) if gone is None else self._erase_told(cube_id, gone)
            if found:
                self._file.write(say.MARK_ERASED, {})
        self._write_anew_if_marked()
        return ""

    def _write_anew_if_marked(self) -> None:
        """The mark is set with an erasure, so that one which a crash cut short is completed by the next opening."""
        if self._file.read(say.IS_MARKED, {}):
            self._file.write_anew()
            with self._file.transaction():
                self._file.write(say.UNMARK, {})

    def _erase_cube(self, cube_id: str) -> bool:
        keys = self._file.write(say.NODES_OF, {"key": cube_id})
        for (key,) in keys:
            self._file.write(say.DELETE_NODE, {"key": key})
        self._file.write(say.DELETE_CUBE, {"key": cube_id})
        return bool(keys)

    def _erase_told(self, cube_id: str, memory_ids: Sequence[str]) -> bool:
        edges = [edge for memory_id in memory_ids for edge in self._concerning(cube_id, memory_id)]
        gone = {Node(cube_id, NodeKind.MEMORY, memory_id) for memory_id in memory_ids}
        for edge in edges:
            self._file.write(say.DELETE_TIE, {"source": edge.source.key, "id": edge.id})
        for node in reached(edges) | gone:
            if not self._file.write(say.TOUCHED, {"key": node.key}):
                self._file.write(say.DELETE_NODE, {"key": node.key})
        return bool(edges)

    def clear(self) -> None:
        self._file.empty()
        self._position = 0

    def close(self) -> None:
        self._file.close()

    # reading

    def touching(
        self, nodes: Collection[Node], versions: Versions, limit: int, kinds: Collection[EdgeKind] = EVERY_KIND
    ) -> list[Edge]:
        found: dict[str, Edge] = {}
        named = [kind.value for kind in kinds]
        for node in nodes:
            version = versions.get(node.cube_id)
            if version is None or not named:
                continue
            asked = {"key": node.key, "version": version, "kinds": named}
            # What begins at a node is a text's worth; many edges may end at any but a memory.
            into = say.INTO if node.kind is NodeKind.MEMORY else say.newest_into(limit)
            rows = [*self._file.read(say.OUT_OF, asked), *self._file.read(into, asked)]
            found |= {edge.id: edge for edge in _edges(rows)}
        return sorted(found.values(), key=newest_first)[:limit]

    def page(self, versions: Versions, limit: int, after: EdgePlace | None = None) -> list[Edge]:
        found: list[Edge] = []
        for cube_id in sorted(versions):
            if after is not None and cube_id < after.cube_id:
                continue
            since, edge_id = (after.since, after.edge_id) if after and cube_id == after.cube_id else (-1, "")
            asked: dict[str, Any] = {"cube": cube_id, "version": versions[cube_id], "since": since, "id": edge_id}
            found += _edges(self._file.read(say.PAGE, {**asked, "limit": limit - len(found)}))
            if len(found) >= limit:
                break
        return found


def _edges(rows: Rows) -> list[Edge]:
    """Edges of rows that begin with both nodes' fields and the edge's."""
    nodes, width = len(NODE_FIELDS), 2 * len(NODE_FIELDS)
    return [
        edge_of(node_of(row[:nodes]), node_of(row[nodes:width]), row[width : width + len(EDGE_FIELDS)]) for row in rows
    ]
