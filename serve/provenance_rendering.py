"""Provenance as JSON: flat, version by version and tie by tie, and as a graph of nodes and edges."""

from __future__ import annotations

from actors.memory.item import Memory
from actors.memory.ports import JsonObject
from actors.memory.provenance import Provenance, Related, VersionOrigin
from serve.contract.times import format_time
from serve.rendering import reference


def provenance(found: Provenance) -> JsonObject:
    memory = found.memory
    return {
        "id": memory.id,
        "cube": memory.cube_id,
        "cube_version": found.cube_version,
        "version": memory.version,
        "state": memory.state.value,
        "sources": memory.sources,
        "versions": [_version(version) for version in found.versions],
        "items": [_related(tied) for tied in found.related],
        "graph": _graph(found),
        "next": found.next,
    }


def _version(version: VersionOrigin) -> JsonObject:
    by = version.by
    return {
        "version": version.version,
        "cube_version": version.cube_version,
        "state": version.state.value,
        "at": format_time(version.at_us),
        "principal": None if by is None else by.principal,
        "request": None if by is None else by.request_id,
        "reason": version.reason,
        "method": version.method,
        "model": version.model or None,
        "source": dict(version.source),
        "derived_from": [reference(named) for named in version.derived_from],
    }


def _related(tied: Related) -> JsonObject:
    memory, by = tied.memory, tied.by
    shown: JsonObject = {"relation": tied.tie.value, "distance": tied.distance, "of": tied.start}
    shown |= reference(tied.reference)
    if memory is not None:
        shown |= {
            "version": memory.version,
            "form": memory.form.value,
            "type": memory.type,
            "state": memory.state.value,
            "ref": memory.ref,
            "session": memory.session,
            "speaker": memory.speaker,
            "occurred_at": format_time(memory.occurred_at_us),
            "recorded_at": format_time(memory.recorded_at_us),
            "source": dict(memory.source),
        }
    if by is not None:
        shown |= {"principal": by.principal, "request": by.request_id}
    return shown


def _graph(found: Provenance) -> JsonObject:
    """What this page tells, as nodes and edges; pages share node ids, so that their graphs add up."""
    nodes: dict[str, JsonObject] = {}
    edges: list[JsonObject] = []
    root = _memory_node(nodes, found.memory)
    for version in found.versions:
        edges += _origin_edges(nodes, found.memory, root, version)
    for tied in found.related:
        if tied.memory is not None:
            end = _memory_node(nodes, tied.memory)
        else:
            named = tied.reference
            end = _node(nodes, f"{named.cube_id}/{named.memory_id}", "memory", named.memory_id, cube=named.cube_id)
        start = f"{found.memory.cube_id}/{tied.start}"
        edges.append({"from": start, "to": end, "relation": tied.tie.value})
    return {"nodes": list(nodes.values()), "edges": edges}


def _origin_edges(nodes: dict[str, JsonObject], memory: Memory, root: str, version: VersionOrigin) -> list[JsonObject]:
    """Who recorded a version, and of what it was made: the first one names its source, the others repeat it."""
    facts = {"version": version.version, "cube_version": version.cube_version}
    edges: list[JsonObject] = []
    if version.by is not None:
        who = _node(nodes, f"principal:{version.by.principal}", "principal", version.by.principal)
        edges.append({"from": who, "to": root, "relation": version.method, **facts})
    if version.model:
        model = _node(nodes, f"model:{version.model}", "model", version.model)
        edges.append({"from": model, "to": root, "relation": "generated", **facts})
    kind, source = str(version.source.get("kind", "")), f"source:{memory.id}"
    if kind and source not in nodes:
        label = str(version.source.get("name") or memory.ref or memory.session or kind)
        _node(nodes, source, kind, label, details=dict(version.source))
        edges.append({"from": source, "to": root, "relation": "recorded", **facts})
    return edges


def _memory_node(nodes: dict[str, JsonObject], memory: Memory) -> str:
    return _node(
        nodes,
        f"{memory.cube_id}/{memory.id}",
        "memory",
        memory.ref or memory.id,
        cube=memory.cube_id,
        form=memory.form.value,
        state=memory.state.value,
        version=memory.version,
    )


def _node(nodes: dict[str, JsonObject], id: str, kind: str, label: str, **facts: object) -> str:
    nodes.setdefault(id, {**facts, "id": id, "kind": kind, "label": label})
    return id
