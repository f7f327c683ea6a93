"""Which store holds a shard's graph: what settings become and adapters are opened from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class GraphBackend(StrEnum):
    LADYBUG = "ladybug"
    NEO4J = "neo4j"
    NEBULA = "nebula"


@dataclass(frozen=True, slots=True)
class GraphStoreSpec:
    """Ladybug keeps its graph beside the shard's other indexes and needs nothing else of this.

    `addresses`: for Neo4j one URI (`bolt://`, `neo4j://`, with `+s` for TLS), for NebulaGraph the graphds, `host:port`.
    `prefix` begins the name of what belongs to a shard: what shares a store needs prefixes of its own. `timeout_s` is
    the longest that one call of it may take, its repetitions included. `partitions` and `replicas` are of spaces that
    NebulaGraph is told to make; nothing is put into a new one for `settle_s`, two heartbeats of its servers, since one
    that does not know an index yet would leave out of it what it is given.
    """

    backend: GraphBackend = GraphBackend.LADYBUG
    addresses: tuple[str, ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = "neo4j"
    prefix: str = "memos"
    timeout_s: float = 5.0
    partitions: int = 10
    replicas: int = 1
    settle_s: float = 20.0
