"""An edge as the stores hold it: plain values under the same names in each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.memory.graph import Edge, EdgeKind, Node, NodeKind

NODE_FIELDS = ("cube", "kind", "name")
EDGE_FIELDS = (
    *("kind", "memory", "memory_version", "since", "until"),
    *("recorded_us", "occurred_us", "evidence", "words"),
)
"""Besides these every node has its `key`, every edge its `id`."""


def node_fields(node: Node) -> dict[str, Any]:
    return {"key": node.key, "cube": node.cube_id, "kind": node.kind.value, "name": node.name}


def edge_fields(edge: Edge) -> dict[str, Any]:
    """The edge, and as `source` and `target` the keys of its nodes."""
    return {
        "source": edge.source.key,
        "target": edge.target.key,
        "id": edge.id,
        "kind": edge.kind.value,
        "memory": edge.memory_id,
        "memory_version": edge.memory_version,
        "since": edge.since,
        "until": edge.until,
        "recorded_us": edge.recorded_at_us,
        "occurred_us": edge.occurred_at_us,
        "evidence": edge.evidence,
        "words": edge.words,
    }


def node_of(values: Sequence[Any]) -> Node:
    """`values` in the order of NODE_FIELDS."""
    cube_id, kind, name = values
    return Node(cube_id, NodeKind(kind), name)


def edge_of(source: Node, target: Node, values: Sequence[Any]) -> Edge:
    """`values` in the order of EDGE_FIELDS."""
    kind, memory_id, *rest = values
    return Edge(EdgeKind(kind), source, target, memory_id, *rest)
