"""The graph port in plain Python: the reference that other adapters are compared with. Nothing is stored."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from actors.memory.graph import EVERY_KIND, Edge, EdgeKind, EdgePlace, Ending, Node, NodeKind, newest_first
from actors.memory.graph_ports import Versions


class PlainGraphIndex:
    """Keeps every edge as given, by cube."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cubes: dict[str, dict[str, Edge]] = defaultdict(dict)
        self._position = 0

    @property
    def position(self) -> int:
        return self._position

    def put(self, edges: Sequence[Edge]) -> None:
        with self._lock:
            for edge in edges:
                self._cubes[edge.cube_id][edge.id] = edge

    def end(self, endings: Sequence[Ending]) -> None:
        until = {(ending.cube_id, ending.memory_id, ending.since): ending.until for ending in endings}
        with self._lock:
            for cube_id in {ending.cube_id for ending in endings}:
                for edge in list(self._cubes[cube_id].values()):
                    told = cube_id, edge.memory_id, edge.since
                    if told in until:
                        self._cubes[cube_id][edge.id] = replace(edge, until=until[told])

    def flush(self, position: int) -> None:
        self._position = position

    def touching(
        self, nodes: Collection[Node], versions: Versions, limit: int, kinds: Collection[EdgeKind] = EVERY_KIND
    ) -> list[Edge]:
        wanted = set(nodes)
        found = [edge for edge in self._live(versions) if {edge.source, edge.target} & wanted and edge.kind in kinds]
        return sorted(found, key=newest_first)[:limit]

    def page(self, versions: Versions, limit: int, after: EdgePlace | None = None) -> list[Edge]:
        found = [edge for edge in self._live(versions) if after is None or edge.place > after]
        return sorted(found, key=lambda edge: edge.place)[:limit]

    def _live(self, versions: Versions) -> list[Edge]:
        with self._lock:
            return [
                edge
                for cube_id, version in versions.items()
                for edge in self._cubes.get(cube_id, {}).values()
                if edge.live_at(version)
            ]

    def erase(self, cube_id: str) -> None:
        with self._lock:
            self._cubes.pop(cube_id, None)

    def erase_memories(self, memories: Mapping[str, Sequence[str] | None]) -> str:
        with self._lock:
            for cube_id, gone in memories.items():
                if gone is None:
                    self._cubes.pop(cube_id, None)
                    continue
                nodes = {Node(cube_id, NodeKind.MEMORY, memory_id) for memory_id in gone}
                for edge in list(self._cubes[cube_id].values()):
                    if edge.memory_id in gone or {edge.source, edge.target} & nodes:
                        del self._cubes[cube_id][edge.id]
        return ""

    def clear(self) -> None:
        with self._lock:
            self._cubes.clear()
            self._position = 0

    def close(self) -> None:
        return None
