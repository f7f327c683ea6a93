"""What the client answers with. Unknown members of an answer are ignored, so that a newer server can add some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

Json = dict[str, Any]
T = TypeVar("T")


def read(kind: type[T], document: Mapping[str, Any]) -> T:
    """A dataclass from the members of a JSON object that it has fields for."""
    names = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # only called with the dataclasses below
    known = {name: value for name, value in document.items() if name in names}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next` is None at the end."""

    items: tuple[T, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Cube:
    id: str
    name: str
    owner: str
    version: int
    created_at: str
    counts: Mapping[str, Mapping[str, int]]
    policy: Mapping[str, Mapping[str, Any]]
    grants: Mapping[str, str]
    forked_from: Mapping[str, Any] | None = None
    """`cube` and `version`; `cube` is None for who has no role on the origin."""
    redaction: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Memory:
    """Times are RFC 3339 texts, UTC."""

    id: str
    cube: str
    version: int
    form: str
    type: str
    state: str
    text: str
    recorded_at: str
    role: str = ""
    speaker: str = ""
    session: str = ""
    ref: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    occurred_at: str | None = None
    valid_from: str | None = None
    valid_to: str | None = None
    expires_at: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    derived_from: tuple[Json, ...] = ()
    sources: int = 1
    merged_into: str | None = None
    merged_as: str | None = None
    contradicts: tuple[str, ...] = ()
    reason: str = ""
    redaction: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure took, and every kind of place that was looked at. `cube`, `erased` and `derived` are ids."""

    cube: str
    erased: tuple[str, ...]
    derived: tuple[str, ...]
    places: tuple[Json, ...]
    at: str


@dataclass(frozen=True, slots=True)
class AddedMemory:
    id: str
    version: int
    state: str
    ref: str


@dataclass(frozen=True, slots=True)
class Added:
    """`version` is the cube's version after the add. `redaction`: what personal data was found, by kind."""

    version: int
    memories: tuple[AddedMemory, ...]
    redaction: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Screened:
    """How many older memories were looked through, how many are left, and what was found, by kind."""

    screened: int
    remaining: int
    redaction: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Split:
    """The memories that stand by themselves again; `remaining` are still merged into the one that was named."""

    version: int
    memories: tuple[Memory, ...]
    remaining: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """A page: `versions` come with the first; `items` are ties to other memories; `graph` has nodes and edges."""

    id: str
    cube: str
    cube_version: int
    version: int
    state: str
    sources: int
    versions: tuple[Json, ...]
    items: tuple[Json, ...]
    graph: Json
    next: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """A found memory. `explain` is there when it was asked for."""

    cube: str
    id: str
    version: int
    text: str
    score: float
    ref: str = ""
    type: str = ""
    speaker: str = ""
    session: str = ""
    occurred_at: str | None = None
    recorded_at: str = ""
    valid_from: str | None = None
    valid_to: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sources: int = 1
    contradicts: tuple[str, ...] = ()
    explain: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """`took_ms` has embed, search and total; `degraded` names what could not answer."""

    results: tuple[Result, ...]
    took_ms: Mapping[str, float]
    degraded: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """`key` is the secret: only in the answer that creates it."""

    id: str
    principal: str
    name: str
    governor: bool
    default_cube: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    id: str
    governor: bool
    created_at: str


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    name: str
    cube: str | None
    status: str
    progress: float
    created_at: str
    args: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    result: Mapping[str, Any] | None = None
    started_at: str | None = None
    ended_at: str | None = None

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "running")


@dataclass(frozen=True, slots=True)
class Verification:
    """`problems` is empty when the chains of the cube's events and of its audit hold."""

    cube: str
    ok: bool
    events: int
    problems: tuple[str, ...]
    audit_rows: int = 0


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did, read or tried what, when, in which request. `principal` None: the key of the request was none."""

    at: str
    principal: str | None
    action: str
    cube: str | None
    request: str
    detail: Mapping[str, Any]
    memory: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """`version` is the cube's version after going back to `to`; `frozen` stayed as they are."""

    version: int
    to: int
    changed: int
    frozen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A memory that differs between two versions: `change` is added, changed, moved or removed."""

    change: str
    id: str
    fields: tuple[str, ...]
    before: Memory | None
    after: Memory | None


def read_difference(kind: type[Difference], document: Mapping[str, Any]) -> Difference:
    """A difference, the memories in it included."""
    moments = {name: document[name] and read(Memory, document[name]) for name in ("before", "after")}
    return read(kind, {**document, **moments})


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """`memory` says which memories were used and whether the exchange was remembered; None without memory."""

    text: str
    finish_reason: str
    model: str
    usage: Mapping[str, Any]
    memory: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of a streamed answer; `finish_reason` and `memory` come with the last one."""

    text: str
    finish_reason: str | None = None
    memory: Mapping[str, Any] | None = None
