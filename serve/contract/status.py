"""Answers about what runs: readiness, and the status of every part."""

from __future__ import annotations

from pydantic import Field

from serve.contract.fields import Answer


class ReadyOut(Answer):
    """`waiting` names what is not ready yet."""

    ready: bool
    waiting: list[str]


class ProcessOut(Answer):
    """Memory of a process. `rss_bytes` counts what it shares with others whole, `pss_bytes` its share of that,
    `uss_bytes` none of it; the latter two are null where the system does not tell.
    """

    pid: int
    rss_bytes: int
    pss_bytes: int | None
    uss_bytes: int | None


class MachineOut(Answer):
    """Memory of a machine, or of the control group that the node runs in."""

    total_bytes: int
    available_bytes: int


class NodeOut(Answer):
    """A node of the Ray cluster. `resources` is what Ray counts; `memory` is null where no part answered from there."""

    id: str
    address: str
    alive: bool
    head: bool
    resources: dict[str, float]
    memory: MachineOut | None


class PartOut(Answer):
    """A part of the system. `node` is the id of the node that it runs on; empty outside of a cluster."""

    name: str
    node: str
    process: ProcessOut


class IndexOut(Answer):
    """A projection of a shard. `position` is what it has stored, where a restart goes on; null while that is not
    known. `lag` counts the events that a search does not find yet.
    """

    position: int | None
    lag: int
    failure: str | None


class WriterOut(Answer):
    """A shard's committer: commands that wait, and what it has done since it was opened."""

    queued: int
    commits: int
    events: int
    last_commit_ms: float


class AuditOut(Answer):
    """A shard's audit since its host was started: `rows` taken in, those that wait, in `commits`; a row has waited
    `slowest_ms` at most. `failure` says why it cannot be written; requests go on while there is room for rows.
    """

    rows: int
    waiting: int
    waiting_bytes: int
    commits: int
    slowest_ms: float
    failure: str | None


class ShardOut(Answer):
    """A shard where it is open. `failure` says why it has to be opened anew; `tail_events` are those since the
    snapshot, held in memory as `tail_bytes`.
    """

    shard: int
    epoch: int
    position: int
    snapshot_position: int
    failure: str | None
    indexes: dict[str, IndexOut]
    writer: WriterOut
    open_cubes: int
    tail_events: int
    tail_bytes: int
    to_consolidate: int
    incidents: list[str]
    audit: AuditOut


class OpenMemoryOut(Answer):
    """What a host's open cubes hold: an estimate, kept below `limit_bytes` by dropping the coldest (`evictions`)."""

    open_cubes: int
    open_bytes: int
    limit_bytes: int
    evictions: int


class HostOut(PartOut):
    """A host: the cubes that it has open, and the shards that it owns."""

    memory: OpenMemoryOut
    shards: list[ShardOut]


class SystemOut(PartOut):
    """The system shard's owner. `queued` writes wait."""

    epoch: int
    position: int
    failure: str | None
    queued: int
    principals: int
    cubes: int
    jobs: int
    audit: AuditOut


class EmbedderOut(PartOut):
    """The ingest embedder. `waiting` callers, a shard each, have texts that are in no batch yet. `embedded` counts
    texts since it started.
    """

    model: str
    dimension: int
    waiting: int
    embedded: int


class RedactorOut(PartOut):
    """The recognizer of personal data. It has looked through `texts` since it was started; `waiting` calls, a part of
    an add each, are behind the one that it works on.
    """

    kinds: list[str]
    texts: int
    waiting: int


class GateOut(Answer):
    """What one kind of request goes through: inside, in line, and turned away so far."""

    running: int
    waiting: int
    turned_away: int


class IngressOut(PartOut):
    """The HTTP replica that answers this; others have their own. `requests` are being answered, this one too;
    `queries` wait to be embedded; `gates` are those of searches, writes, reads, chats and imports.
    """

    requests: int
    queries: int
    gates: dict[str, GateOut]
    model: str


class ChatOut(PartOut):
    """The language model. `chats` run or wait, of the `room` that there is."""

    model: str
    chats: int
    room: int


class UnansweredOut(Answer):
    """A part that gave no status in time, and why."""

    part: str
    reason: str


class StatusOut(Answer):
    """Nodes, hosts and their shards, queues, models, and the memory of each process.

    A part that does not answer within two seconds is in `unanswered`, and missing elsewhere (`system`, `embedder` and
    `chat` are null then).
    """

    shards: int = Field(description="Shards of the state, wherever they are open.")
    nodes: list[NodeOut]
    hosts: list[HostOut]
    system: SystemOut | None
    embedder: EmbedderOut | None
    redactor: RedactorOut | None = Field(description="Null until a cube's policy needs it, and while it starts.")
    ingress: IngressOut
    chat: ChatOut | None
    chat_models: list[str]
    unanswered: list[UnansweredOut]
