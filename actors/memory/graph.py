"""The graph of a cube: what its memories mention, who said them where, and how they are tied to each other.

Everything is told by a memory. An edge holds in the versions of its cube in which the text that tells it is live, and a
node is there as long as an edge touches it. So nothing of an erased memory is left once its edges are gone. Edges join
nodes of one cube; what cubes share is found out when several are read together (`twins`), never stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from actors.memory.intervals import OPEN

UNKNOWN_US = -(1 << 62)
"""In place of a time that nobody told. A number, so that stores need no notion of nothing."""


class NodeKind(StrEnum):
    MEMORY = "memory"
    """Named by the memory's id."""
    ENTITY = "entity"
    """Whoever or whatever texts speak of, named in one spelling (`entity_name`)."""
    SESSION = "session"
    SPEAKER = "speaker"


class EdgeKind(StrEnum):
    """What an edge says, read from its source to its target."""

    MENTIONS = "mentions"
    """memory → entity"""
    SAID_BY = "said-by"
    """memory → speaker"""
    IN_SESSION = "in-session"
    """memory → session"""
    NEXT = "next"
    """memory → the one that follows it in its session, which tells it; read from its target it is `previous`."""
    SAME_ENTITY = "same-entity"
    """entity → another name of it, which a memory tells that mentions the first"""
    DERIVED_FROM = "derived-from"
    """memory → what it was made of"""
    CONTRADICTS = "contradicts"
    """memory → the one that it speaks against"""


EVERY_KIND = tuple(EdgeKind)

_NAMED_ALIKE = (NodeKind.ENTITY, NodeKind.SPEAKER)
"""Kinds whose nodes mean the same when their names are the same: who speaks is spoken of too."""


def entity_name(words: str) -> str:
    """The one spelling under which an entity is known, however a text writes it: case and blanks do not count."""
    return " ".join(words.casefold().split())


@dataclass(frozen=True, slots=True, order=True)
class Node:
    cube_id: str
    kind: NodeKind
    name: str

    @property
    def key(self) -> str:
        """32 hex digits that stand for this node and no other, whatever it is called."""
        return _digest(self.cube_id, self.kind.value, self.name)


@dataclass(frozen=True, slots=True)
class Edge:
    """Live in the versions `since` to before `until` of its cube. Times are microseconds since the epoch, UTC.

    `memory_id` and `memory_version` say whose text tells it, `evidence` how it was read out of it, `words` how the text
    names the target. Edges of the same id are the same, with what was said of them last.
    """

    kind: EdgeKind
    source: Node
    target: Node
    memory_id: str
    memory_version: int
    since: int
    until: int = OPEN
    recorded_at_us: int = UNKNOWN_US
    occurred_at_us: int = UNKNOWN_US
    evidence: str = ""
    words: str = ""

    @property
    def cube_id(self) -> str:
        return self.source.cube_id

    @property
    def id(self) -> str:
        """32 hex digits: who tells it, since when, and what."""
        return _digest(self.kind.value, self.source.key, self.target.key, self.memory_id, self.since)

    @property
    def place(self) -> EdgePlace:
        return EdgePlace(self.cube_id, self.since, self.id)

    def live_at(self, version: int) -> bool:
        return self.since <= version < self.until


@dataclass(frozen=True, slots=True, order=True)
class EdgePlace:
    """Where an edge stands when the edges of cubes are listed."""

    cube_id: str
    since: int
    edge_id: str


@dataclass(frozen=True, slots=True)
class Ending:
    """What a memory tells from `since` on holds before version `until` alone: its text went."""

    cube_id: str
    memory_id: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Step:
    """An edge that was found `distance` hops from where one began, 1 for those that touch the beginning."""

    distance: int
    edge: Edge


def newest_first(edge: Edge) -> tuple[int, str]:
    """Sorts edges as every index answers them: by age, and those of one version in an order of their own."""
    return -edge.since, edge.id


def twins(nodes: Iterable[Node], cubes: Iterable[str]) -> set[Node]:
    """The nodes of these cubes, and those that mean the same by name in any of them."""
    cube_ids, found = set(cubes), set()
    for node in nodes:
        if node.kind not in _NAMED_ALIKE:
            found.add(node)
            continue
        name = entity_name(node.name)
        found |= {Node(cube_id, kind, each) for cube_id in cube_ids for kind, each in _spellings(node, name)}
    return {node for node in found if node.cube_id in cube_ids}


def _spellings(node: Node, name: str) -> list[tuple[NodeKind, str]]:
    return [(kind, name) for kind in _NAMED_ALIKE] + [(node.kind, node.name)]


def reached(edges: Iterable[Edge]) -> set[Node]:
    return {node for edge in edges for node in (edge.source, edge.target)}


def _digest(*parts: str | int) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
