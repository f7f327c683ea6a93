"""The port of graph indexes, and what is asked of one over several hops."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from actors.memory.graph import (
    EVERY_KIND,
    Edge,
    EdgeKind,
    EdgePlace,
    Ending,
    Node,
    Step,
    reached,
    twins,
)

Versions = Mapping[str, int]
"""Cube -> the version at which it is looked at. A cube that is not in it is not looked at."""


class GraphIndex(Protocol):
    """The edges of cubes, and the nodes that they touch. A projection, as VectorIndex is: it may lag, and be rebuilt.

    `put` and `end` are idempotent, and found when they return. What they were given before a `flush` that returned
    survives a killed process. Reading and writing from several threads is safe. While its store is away an index
    raises StorageUnavailable; it works again, without being opened anew, when the store is back. A call that raised may
    have been done in part: repeat it.
    """

    @property
    def position(self) -> int:
        """Journal position up to which everything is stored durably."""
        ...

    def put(self, edges: Sequence[Edge]) -> None:
        """Edges of an id that is there already take its place; in one call the last of an id counts."""
        ...

    def end(self, endings: Sequence[Ending]) -> None:
        """Give edges their ends. What is not there is left out."""
        ...

    def flush(self, position: int) -> None: ...

    def touching(
        self, nodes: Collection[Node], versions: Versions, limit: int, kinds: Collection[EdgeKind] = EVERY_KIND
    ) -> list[Edge]:
        """The `limit` newest edges of some kinds that are live and begin or end at one of these nodes, newest first."""
        ...

    def page(self, versions: Versions, limit: int, after: EdgePlace | None = None) -> list[Edge]:
        """The first `limit` live edges of these cubes beyond a place, in order of their places."""
        ...

    def erase(self, cube_id: str) -> None:
        """Forget a cube, on storage too."""
        ...

    def erase_memories(self, memories: Mapping[str, Sequence[str] | None]) -> str:
        """Forget what memories of cubes tell and every edge that touches them, or whole cubes (None), durably. Nodes
        that nothing touches any more go with them, so that no name is left of a text that was erased. Answers what is
        not in this index's hands, in words.
        """
        ...

    def clear(self) -> None:
        """Forget everything: position 0, to be rebuilt from the journal."""
        ...

    def close(self) -> None: ...


def neighbourhood(
    index: GraphIndex,
    seeds: Collection[Node],
    versions: Versions,
    *,
    hops: int,
    limit: int,
    kinds: Collection[EdgeKind] = EVERY_KIND,
) -> list[Step]:
    """What is at most `hops` edges away from the seeds, nearest first, then newest; `limit` edges at most.

    A hop from an entity or a speaker begins at its twins too, so that what another cube tells of the same name is
    found: of the cubes in `versions` alone. One call of the index a hop.
    """
    steps: dict[str, Step] = {}
    passed: set[Node] = set()
    frontier = twins(seeds, versions)
    for distance in range(1, hops + 1):
        if not frontier or len(steps) >= limit:
            break
        passed |= frontier
        found = index.touching(frontier, versions, limit, kinds)
        new = [edge for edge in found if edge.id not in steps][: limit - len(steps)]
        steps |= {edge.id: Step(distance, edge) for edge in new}
        frontier = twins(reached(new), versions) - passed
    return list(steps.values())
