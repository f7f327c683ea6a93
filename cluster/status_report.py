"""The status of a system, put together from what each part says of itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.errors import MemosError
from actors.memory.ports import JsonObject
from cluster.directory import EMBEDDER, REDACTOR, SYSTEM, Node
from cluster.topology import Topology

Said = Mapping[str, JsonObject | MemosError]
"""Part -> its own status, or why there is none."""


def status_report(topology: Topology, nodes: Sequence[Node] | MemosError, said: Said) -> JsonObject:
    """As `serve.contract.status` documents it. A part that did not answer is named in `unanswered`, with the reason,
    and is missing elsewhere.
    """
    answers = {name: answer for name, answer in said.items() if not isinstance(answer, MemosError)}
    silent = {name: error for name, error in said.items() if isinstance(error, MemosError)}
    if isinstance(nodes, MemosError):
        silent["nodes"], nodes = nodes, ()
    memory = {answer.get("node", ""): answer["machine"] for answer in answers.values()}
    hosts = [_host(name, answer) for name, answer in answers.items() if name not in (SYSTEM, EMBEDDER, REDACTOR)]
    return {
        "shards": topology.shards,
        "nodes": [_node(node, memory.get(node.id)) for node in nodes],
        "hosts": hosts,
        "system": _part(SYSTEM, answers[SYSTEM]) if SYSTEM in answers else None,
        "embedder": _part(EMBEDDER, answers[EMBEDDER]) if EMBEDDER in answers else None,
        "redactor": _part(REDACTOR, answers[REDACTOR]) if REDACTOR in answers else None,
        "unanswered": [{"part": name, "reason": error.detail} for name, error in silent.items()],
    }


def _node(node: Node, memory: JsonObject | None) -> JsonObject:
    return {
        "id": node.id,
        "address": node.address,
        "alive": node.alive,
        "head": node.head,
        "resources": dict(node.resources),
        "memory": memory,
    }


def _part(name: str, answer: JsonObject) -> JsonObject:
    kept = {key: value for key, value in answer.items() if key != "machine"}
    return {"name": name, **kept, "node": answer.get("node", "")}


def _host(name: str, answer: JsonObject) -> JsonObject:
    shards = [_shard(int(number), shard) for number, shard in answer["shards"].items()]
    part = _part(name, {**answer, "shards": sorted(shards, key=lambda shard: int(shard["shard"]))})
    del part["host"]
    return part


def _shard(number: int, said: JsonObject) -> JsonObject:
    lag, failures = said["lag"], said["index_failures"]
    indexes = {
        channel: {"position": position, "lag": lag[channel], "failure": failures.get(channel)}
        for channel, position in said["indexed"].items()
    }
    kept = {name: value for name, value in said.items() if name not in ("indexed", "lag", "index_failures")}
    return {"shard": number, **kept, "indexes": indexes}
