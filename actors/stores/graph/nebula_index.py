"""The graph port on NebulaGraph: a space a shard, made on first contact.

NebulaGraph has no transactions over several vertices, so what is put becomes visible piece by piece: nodes first, then
edges, each of which is read whole. Every statement can be repeated. The position is kept in a vertex of its own, the
record, written after everything that was put has been acknowledged.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from actors.errors import ConfigError, Corrupted, NewerFormat
from actors.memory.graph import EVERY_KIND, Edge, EdgeKind, EdgePlace, Ending, Node, NodeKind, newest_first, reached
from actors.memory.graph_ports import Versions
from actors.stores.graph import nebula_statements as say
from actors.stores.graph.batches import batches
from actors.stores.graph.nebula_sessions import NebulaRefused, NebulaSessions, Rows
from actors.stores.graph.store import GraphStoreSpec

T = TypeVar("T")

FORMAT = 1

_ROWS = 200
"""Of one statement; an edge takes half a kilobyte, a statement may have four megabytes."""

SCHEMA_WAIT_S = 30.0
"""How long a new space, tag or index may take to be known to every server: two of their heartbeats and more."""

_SCHEMA_PAUSE_S = 0.2


class NebulaGraphIndex:
    """The graph of a shard in the NebulaGraph of `spec`. Contacts it on the first use, not here.

    Every method raises StorageUnavailable while it is away and works again when it is back; ConfigError when it refuses
    the user; NewerFormat; Corrupted when it holds an older format (`clear` it and replay the journal).
    """

    def __init__(self, spec: GraphStoreSpec, shard: str) -> None:
        try:
            self._space = say.space_name(spec.prefix, shard)
        except ValueError as error:
            raise ConfigError(f"graph.prefix {spec.prefix!r}: letters, digits and '_' name a space") from error
        self._spec = spec
        self._outside = NebulaSessions(spec, "")
        self._sessions = NebulaSessions(spec, self._space)
        self._incarnation = uuid.uuid4().hex
        self._position = 0
        self._joining = threading.Lock()
        self._joined = False
        self._settles_at_s: float | None = None
        self._writing = threading.Lock()

    @property
    def position(self) -> int:
        self._join()
        return self._position

    # writing

    def put(self, edges: Sequence[Edge]) -> None:
        latest = list({edge.id: edge for edge in edges}.values())
        self._join()
        with self._writing:
            self._put(latest)

    def _put(self, edges: Sequence[Edge]) -> None:
        for nodes in batches(sorted(reached(edges)), _ROWS):
            self._sessions.run(say.insert_nodes(nodes))
        for some in batches(edges, _ROWS):
            self._sessions.run(say.insert_edges(some))

    def end(self, endings: Sequence[Ending]) -> None:
        self._join()
        with self._writing:
            ended: dict[str, Edge] = {}
            for ending in endings:
                told = self._edges(say.ever_told(ending.cube_id, ending.memory_id))
                ended |= {edge.id: replace(edge, until=ending.until) for edge in told if edge.since == ending.since}
            self._put(list(ended.values()))

    def flush(self, position: int) -> None:
        self._join()
        with self._writing:
            if position == self._position:
                return
            reached = self._sessions.run(say.move_record(position, self._incarnation))
            if reached != [[position]] or self._read_record()[0][2] != self._incarnation:
                raise self._sessions.unavailable(f"another owner cleared {self._space} meanwhile")
            self._position = position

    def erase(self, cube_id: str) -> None:
        self._join()
        with self._writing:
            while found := self._sessions.run(say.some_of_cube(cube_id, _ROWS)):
                self._sessions.run(say.delete_nodes(str(node) for (node,) in found))

    def erase_memories(self, memories: Mapping[str, Sequence[str] | None]) -> str:
        self._join()
        for cube_id, gone in memories.items():
            if gone is None:
                self.erase(cube_id)
                continue
            with self._writing:
                for memory_id in gone:
                    self._erase(cube_id, memory_id)
        return "deleted in NebulaGraph; its files and logs keep what was deleted until they are compacted"

    def _erase(self, cube_id: str, memory_id: str) -> None:
        node = Node(cube_id, NodeKind.MEMORY, memory_id)
        told = self._edges(say.ever_told(cube_id, memory_id))
        around = self._edges(say.ever_touching(node.key))
        for some in batches(told, _ROWS):
            self._sessions.run(say.delete_edges(some))
        self._sessions.run(say.delete_nodes([node.key]))
        for other in sorted(reached([*told, *around]) - {node}):
            if not self._sessions.run(say.one_touching(other.key)):
                self._sessions.run(say.delete_nodes([other.key]))

    def clear(self) -> None:
        with self._joining, self._writing:
            self._joined = False
            if not self._enter():
                self._settle()
            self._outside.run(say.clear(self._space))
            self._make_record()
            self._joined = True

    def close(self) -> None:
        self._sessions.close()
        self._outside.close()

    # reading

    def touching(
        self, nodes: Collection[Node], versions: Versions, limit: int, kinds: Collection[EdgeKind] = EVERY_KIND
    ) -> list[Edge]:
        self._join()
        by_version: dict[int, set[Node]] = defaultdict(set)
        for node in nodes:
            if node.cube_id in versions and kinds:
                by_version[versions[node.cube_id]].add(node)
        named = [kind for kind in EdgeKind if kind in kinds]
        found: dict[str, Edge] = {}
        for version, theirs in by_version.items():
            for some in batches(sorted(theirs), _ROWS):
                edges = self._edges(say.touching(some, version, named, limit))
                found |= {edge.id: edge for edge in edges}
        return sorted(found.values(), key=newest_first)[:limit]

    def page(self, versions: Versions, limit: int, after: EdgePlace | None = None) -> list[Edge]:
        self._join()
        found: list[Edge] = []
        for cube_id in sorted(versions):
            if len(found) >= limit or (after is not None and cube_id < after.cube_id):
                continue
            since, edge_id = (after.since, after.edge_id) if after and cube_id == after.cube_id else (0, "")
            found += self._edges(say.page(cube_id, versions[cube_id], since, edge_id, limit - len(found)))
        return found

    def _edges(self, statement: str) -> list[Edge]:
        return say.edges_of(self._sessions.run(statement))

    # the space and its record

    def _join(self) -> None:
        """Make the space, its schema and the record, or learn what is there, on first contact."""
        if not self._joined:
            with self._joining:
                if not self._joined:  # another thread may have been faster
                    found = self._enter()
                    if found:
                        self._take(found[0])
                    else:
                        self._settle()
                        self._make_record()
                    self._joined = True

    def _enter(self) -> Rows:
        """The record of the space, made if it was not there; none of a space that was never used."""
        if self._settles_at_s is None:
            self._outside.run(say.create_space(self._space, self._spec.partitions, self._spec.replicas))
            for statement in say.schema():
                self._known(lambda statement=statement: self._sessions.run(statement))  # type: ignore[misc]
        return self._known(self._read_record)

    def _settle(self) -> None:
        """Raise StorageUnavailable until the servers have had the time to learn of a space that was just made."""
        now_s = time.monotonic()
        if self._settles_at_s is None:
            self._settles_at_s = now_s + self._spec.settle_s
        if now_s < self._settles_at_s:
            raise self._sessions.unavailable(f"the space {self._space} was just made, and its servers learn of it")

    def _known(self, work: Callable[[], T]) -> T:
        """What needs a space, tag or index that was just made, which servers learn of with their next heartbeats."""
        until = time.monotonic() + SCHEMA_WAIT_S
        while True:
            try:
                return work()
            except NebulaRefused:
                if time.monotonic() > until:
                    raise
                time.sleep(_SCHEMA_PAUSE_S)

    def _read_record(self) -> Rows:
        return self._sessions.run(say.read_record())

    def _take(self, record: Sequence[str | int]) -> None:
        position, form, incarnation = record
        if int(form) > FORMAT:
            raise NewerFormat(f"space {self._space} was written by a newer version", uri=self._sessions.uri)
        if int(form) < FORMAT:
            raise Corrupted(f"space {self._space} has format {form}: it must be rebuilt", uri=self._sessions.uri)
        self._position, self._incarnation = int(position), str(incarnation)

    def _make_record(self) -> None:
        self._incarnation, self._position = uuid.uuid4().hex, 0
        self._known(lambda: self._sessions.run(say.make_record(FORMAT, self._incarnation)))
