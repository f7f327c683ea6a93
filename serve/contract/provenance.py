"""Answers about where memories came from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from actors.memory.lifecycle import State
from serve.contract.fields import Answer
from serve.contract.memories import ReferenceOut


class VersionOriginOut(Answer):
    """One event of the memory: what it made of it, who, when, in which request, how, and out of what."""

    version: int
    cube_version: int
    state: State
    at: str
    principal: str | None
    request: str | None
    reason: str
    method: str
    model: str | None
    source: dict[str, Any]
    derived_from: list[ReferenceOut]


class RelatedOut(Answer):
    """A memory that `of` is tied to, `distance` ties away from the one asked for. Upwards (what it was made of):
    derived_from, source, supersedes. Downwards (what was made of it): merged_into, superseded_by, derived. Of a memory
    in another cube, the reference alone is told.
    """

    relation: Literal["derived_from", "source", "supersedes", "merged_into", "superseded_by", "derived", "contradicts"]
    distance: int
    of: str
    cube: str
    id: str
    version: int
    form: str | None = None
    type: str | None = None
    state: State | None = None
    ref: str | None = None
    session: str | None = None
    speaker: str | None = None
    occurred_at: str | None = None
    recorded_at: str | None = None
    source: dict[str, Any] | None = None
    principal: str | None = None
    request: str | None = None


class NodeOut(Answer):
    """A memory, whatever its form, a principal, a model, or what a memory was recorded from. It has more members, by
    its kind.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    kind: str
    label: str


class EdgeOut(Answer):
    """From one node to another; of a version, with its numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    start: str = Field(alias="from")
    to: str
    relation: str
    version: int | None = None
    cube_version: int | None = None


class GraphOut(Answer):
    nodes: list[NodeOut]
    edges: list[EdgeOut]


class ProvenanceOut(Answer):
    """`versions` come with the first page. `items` are a page of the ties; `graph` is what this page tells, as nodes
    and edges.
    """

    id: str
    cube: str
    cube_version: int
    version: int
    state: State
    sources: int
    versions: list[VersionOriginOut]
    items: list[RelatedOut]
    graph: GraphOut
    next: str | None
