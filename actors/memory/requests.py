"""Requests and answers, as they travel between the edge, the gateway and the hosts.

Frozen and picklable. The edge has already checked shapes and limits; what depends on a cube's state
or on the caller's role is checked where the state is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from actors.memory.item import Kind, Reference
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.screening import Screening

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in a cube's past: a cube version, or a record time. Exactly one of them is set."""

    version: int | None = None
    time_us: int | None = None


@dataclass(frozen=True, slots=True)
class ForkPoint:
    """Where a fork left its origin: it shares the origin's events up to `version`."""

    cube_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next` is an opaque cursor, None at the end."""

    items: tuple[T, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class NewMemory:
    """What is to be remembered. Times are microseconds since the epoch, UTC."""

    text: str
    type: str = Kind.NOTE.value
    role: str = ""
    speaker: str = ""
    session: str = ""
    ref: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    occurred_at_us: int | None = None
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    expires_at_us: int | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    derived_from: tuple[Reference, ...] = ()
    state: State = State.ACTIVATED
    """Or `generated`: recorded, and out of retrieval until a curator confirms it."""
    supersedes: tuple[str, ...] = ()
    """Memories of the cube that this one takes the place of."""

    screening: Screening | None = None


class Wait(StrEnum):
    """What an answer waits for: the journal alone, or the indexes too (read-your-writes)."""

    JOURNAL = "journal"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class AddMemories:
    memories: tuple[NewMemory, ...]
    idempotency_key: str = ""
    wait: Wait = Wait.INDEX


@dataclass(frozen=True, slots=True)
class AddedMemory:
    id: str
    version: int
    state: State
    ref: str


@dataclass(frozen=True, slots=True)
class Added:
    """`version` is the cube's version after the last event of the add. `redaction`: what was found, by kind."""

    version: int
    memories: tuple[AddedMemory, ...]
    redaction: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChangeMemory:
    """A new version: `set` holds the fields that change (names of NewMemory), None clears one. `screening` is what was
    found in those.
    """

    memory_id: str
    set: Mapping[str, Any]
    reason: str = ""
    if_version: int | None = None
    supersedes: tuple[str, ...] = ()
    screening: Screening | None = None


@dataclass(frozen=True, slots=True)
class MoveMemory:
    """A requested transition. A plain delete is a move to `archived`. One to `merged` names what it goes `into`, and
    whether as a duplicate of it or superseded by it.
    """

    memory_id: str
    to: State
    reason: str = ""
    into: str = ""
    absorption: Absorption = Absorption.DUPLICATE
    not_from: frozenset[State] = frozenset()
    """States in which the memory stays, although the table has the step: a delete is no way to unfreeze."""


@dataclass(frozen=True, slots=True)
class ListMemories:
    limit: int = 50
    cursor: str | None = None
    state: State | None = None
    form: str | None = None
    type: str | None = None
    as_of: Moment | None = None


@dataclass(frozen=True, slots=True)
class RedactionView:
    """What was found in a cube's memories as they are now, by kind; how many are withheld until they are screened."""

    found: Mapping[str, int] = field(default_factory=dict)
    unscreened: int = 0


@dataclass(frozen=True, slots=True)
class Screened:
    """What screening a cube's older memories did: how many, what was found in them, how many are left."""

    screened: int
    remaining: int
    redaction: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CubeView:
    """A cube's manifest."""

    id: str
    name: str
    owner: str
    version: int
    created_at_us: int
    counts: Mapping[str, Mapping[str, int]]
    policy: Mapping[str, Mapping[str, Any]]
    grants: Mapping[str, str]
    fork: ForkPoint | None = None
    """Its `cube_id` is empty for who has no role on the origin."""
    redaction: RedactionView = field(default_factory=RedactionView)


@dataclass(frozen=True, slots=True)
class NewCube:
    """A fork has a `fork` point, and the `shard` of its origin."""

    id: str
    name: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    fork: ForkPoint | None = None
    shard: int | None = None


@dataclass(frozen=True, slots=True)
class CubeSummary:
    """A cube in a list: what the system shard knows of it, without opening it."""

    id: str
    owner: str
    role: str


@dataclass(frozen=True, slots=True)
class NewKey:
    """`expires_at_us` None: it never expires. `default_cube` is used by chat that names none."""

    principal: str
    name: str = ""
    governor: bool = False
    default_cube: str = ""
    expires_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class KeyView:
    id: str
    principal: str
    name: str
    governor: bool
    default_cube: str
    created_at_us: int
    expires_at_us: int | None
    revoked_at_us: int | None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """The only place where a key's secret exists outside its owner's hands: shown once, stored hashed."""

    secret: str
    view: KeyView


@dataclass(frozen=True, slots=True)
class PrincipalView:
    id: str
    governor: bool
    created_at_us: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`problems` is empty when journal, audit and their chains hold; the first entry names the first break."""

    cube_id: str
    events: int
    problems: tuple[str, ...]
    audit_rows: int = 0


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as recorded. `progress` runs from 0 to 1; `result` is the job's own JSON report."""

    id: str
    name: str
    cube_id: str
    principal: str
    status: JobStatus
    args: Mapping[str, Any]
    created_at_us: int
    reason: str = ""
    progress: float = 0.0
    result: Mapping[str, Any] | None = None
    started_at_us: int | None = None
    ended_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class ExportCube:
    """An archive of a cube as of a moment, None for now; with every version of its memories, or as they stood."""

    as_of: Moment | None = None
    history: bool = True


@dataclass(frozen=True, slots=True)
class ImportCube:
    """What an archive is to become. `cube_id` None: the id that it names; `name` None: its name."""

    cube_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedCube:
    """What became of an archive. Of `rows` texts, `vectors` came with their vectors; the others are being embedded."""

    cube_id: str
    version: int
    memories: int
    vectors: int
    rows: int
