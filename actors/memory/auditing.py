"""The audit: who did, read or tried what, when, in which request. Its rows, their chain, and what is asked of them.

A row never holds the content of a memory. Of a query it holds a keyed digest, and its text only where the cube's
policy says so.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from actors.memory.identity import keyed_digest


class AuditAction(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    TRANSITION = "transition"
    READ = "read"
    SEARCH = "search"
    CHAT = "chat"
    EXPORT = "export"
    GRANT = "grant"
    JOB = "job"
    ERASE = "erase"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that a principal did or tried. `detail` is a JSON object, as text; `ids` the memories it was shown."""

    at_us: int
    principal: str
    key_id: str
    action: AuditAction
    cube_id: str
    memory_id: str
    request_id: str
    detail: str = "{}"
    ids: tuple[str, ...] = ()

    @property
    def held_bytes(self) -> int:
        """About what the row takes in memory: its own texts; ids are shared with the memories they name."""
        return 400 + len(self.detail) + len(self.request_id) + 100 * len(self.ids)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which rows are asked for; what is None does not narrow. `before_us`: only rows before that time."""

    limit: int = 50
    principal: str | None = None
    action: AuditAction | None = None
    memory_id: str | None = None
    request_id: str | None = None
    since_us: int | None = None
    before_us: int | None = None

    def matches(self, row: AuditRow) -> bool:
        return (
            (self.principal is None or row.principal == self.principal)
            and (self.action is None or row.action is self.action)
            and (self.memory_id is None or row.memory_id == self.memory_id or self.memory_id in row.ids)
            and (self.request_id is None or row.request_id == self.request_id)
            and (self.since_us is None or row.at_us >= self.since_us)
            and (self.before_us is None or row.at_us < self.before_us)
        )


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check of an audit's chain found: the rows of the cube that was asked about, and what is wrong."""

    rows: int
    problems: tuple[str, ...] = ()


class AuditTable(Protocol):
    """The audit rows of one shard: append-only, in order of time, owned by one writer at a time.

    Opening an adapter claims it, as opening a journal does. One thread appends; the rest may run beside it.
    """

    @property
    def head(self) -> bytes:
        """Hash of the last committed row."""
        ...

    def sealed(self, rows: Sequence[AuditRow]) -> list[SealedRow]:
        """The rows chained behind the last committed one, times made to go up strictly. Commits nothing."""
        ...

    def append(self, rows: Sequence[SealedRow]) -> None:
        """Commit what `sealed` gave, all or none. Durable when it returns. Raises as ports.Journal.append does."""
        ...

    def maintenance_due(self) -> bool: ...

    def maintain(self) -> None:
        """Join small files, if it is due. May run beside appends, on one thread."""
        ...

    def newest(self, cube_id: str | None, query: AuditQuery) -> list[AuditRow]:
        """The newest `query.limit` rows of the cube (None: of all) that match, newest first."""
        ...

    def verify(self, cube_id: str | None) -> AuditReport:
        """Check every row's place in the chain, and the chain's end against what was anchored outside of the table.
        With a cube, nothing of another cube is named.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A row in its place of the chain."""

    row: AuditRow
    hash: bytes


@dataclass(slots=True)
class Note:
    """What is known of a request so far; its audit row is made of it when it ends."""

    action: AuditAction
    memory_id: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    ids: tuple[str, ...] = ()


def audit_key(chain_key: bytes) -> bytes:
    """The key of audit chains and their anchors: another one than that of the events, so that neither passes for
    the other.
    """
    return bytes.fromhex(keyed_digest(chain_key, "audit-chain"))


def query_digest(chain_key: bytes, cube_id: str, text: str) -> str:
    """What stands for a query's text: the same text in the same cube gives the same digest, nothing else does."""
    return keyed_digest(chain_key, "audit-query", cube_id, text)[:32]


def row_hash(key: bytes, previous: bytes, row: AuditRow) -> bytes:
    """The row's link of the chain: an HMAC over the link before it and every field of the row."""
    fields = (
        row.principal,
        row.key_id,
        row.action.value,
        row.cube_id,
        row.memory_id,
        row.request_id,
        row.detail,
        ",".join(row.ids),
    )
    parts = [previous, row.at_us.to_bytes(8, "big")]
    for text in fields:
        raw = text.encode()
        parts += (len(raw).to_bytes(4, "big"), raw)
    return hmac.digest(key, b"".join(parts), hashlib.sha256)


def chained(key: bytes, head: bytes, last_us: int, rows: Sequence[AuditRow]) -> Iterator[SealedRow]:
    """The rows behind `head`, each later than the one before it by a microsecond at least."""
    for row in rows:
        last_us = max(row.at_us, last_us + 1)
        placed = row if row.at_us == last_us else _at(row, last_us)
        head = row_hash(key, head, placed)
        yield SealedRow(placed, head)


def _at(row: AuditRow, at_us: int) -> AuditRow:
    return AuditRow(
        at_us,
        row.principal,
        row.key_id,
        row.action,
        row.cube_id,
        row.memory_id,
        row.request_id,
        row.detail,
        row.ids,
    )


def detail_text(detail: Mapping[str, Any]) -> str:
    return json.dumps(detail, ensure_ascii=False, separators=(",", ":")) if detail else "{}"


NOT_AS_RECORDED = "the audit that holds this cube's rows is not what was recorded: rows were changed or dropped"
"""What somebody who asks about one cube is told of a break elsewhere in its shard's audit."""


class ChainWalk:
    """Follows a chain row by row and notes its first break, in words that name rows of one cube alone."""

    def __init__(self, key: bytes, genesis: bytes, cube_id: str | None) -> None:
        self._key = key
        self._cube_id = cube_id
        self.head = genesis
        self.rows = 0
        self.problem: str | None = None

    def take(self, found: SealedRow) -> None:
        row = found.row
        shown = self._cube_id is None or row.cube_id == self._cube_id
        self.rows += shown
        if self.problem is None and not hmac.compare_digest(row_hash(self._key, self.head, row), found.hash):
            self.problem = (
                f"the audit row at {row.at_us} ({row.action} in request {row.request_id!r} on {row.cube_id!r}) was "
                "changed, or what came before it was dropped or moved"
                if shown
                else NOT_AS_RECORDED
            )
        self.head = found.hash
