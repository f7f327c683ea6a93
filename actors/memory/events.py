"""Events: what is recorded, and how events are chained so that tampering shows.

The chain is an HMAC per cube: each event's `hash` covers its header, a commitment to its content and
the hash of the event before it. The content enters through `SHA-256(salt || content)`, so erasing
content and salt leaves the chain verifiable and the content not guessable.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from actors.memory.upcasting import SCHEMA, upcast

GENESIS = bytes(32)
"""`previous_hash` of a cube's first event."""


class EventType(StrEnum):
    CUBE_CREATED = "cube.created"
    CUBE_CHANGED = "cube.changed"
    CUBE_IMPORTED = "cube.imported"
    MEMORY_ADDED = "memory.added"
    MEMORY_CHANGED = "memory.changed"
    MEMORY_TRANSITIONED = "memory.transitioned"
    MEMORY_MERGED = "memory.merged"
    MEMORY_SPLIT = "memory.split"
    MEMORY_LINKED = "memory.linked"
    CUBE_ROLLED_BACK = "cube.rolled_back"
    CUBE_FORKED = "cube.forked"
    MEMORY_ERASED = "memory.erased"
    """The tombstone: nothing of the content, from which on the memory is known by its id alone."""
    CUBE_ERASED = "cube.erased"
    """The tombstone of a cube, in its own chain and in the catalogue: nothing is left of what came before it."""
    ERASURE_COMPLETED = "erasure.completed"
    MEMORY_SCREENED = "memory.screened"
    # The system shard: who there is, what may be done by whom, which cubes and jobs exist.
    PRINCIPAL_CREATED = "principal.created"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    CUBE_REGISTERED = "cube.registered"
    CUBE_RELEASED = "cube.released"
    CUBE_ARCHIVED = "cube.archived"
    CUBE_REVIVED = "cube.revived"
    GRANT_PUT = "grant.put"
    GRANT_REMOVED = "grant.removed"
    JOB_RECORDED = "job.recorded"


@dataclass(frozen=True, slots=True)
class Event:
    """One recorded change of a cube. Immutable once sealed, save that erasure empties `content` and `salt`.

    `position` is the place in the shard, given by the journal (0 until then; the first is 1).
    `version` is the place in the cube, from 1, without gaps. Times are microseconds since the epoch, UTC.
    `idempotency` is a keyed digest of caller, key and request, or empty; never the caller's key itself.
    """

    cube_id: str
    version: int
    type: EventType
    memory_id: str
    memory_version: int
    recorded_at_us: int
    principal: str
    request_id: str
    idempotency: str
    content: bytes | None
    salt: bytes | None
    commitment: bytes
    previous_hash: bytes
    hash: bytes
    position: int = 0
    schema: int = SCHEMA

    def payload(self) -> dict[str, Any]:
        """The decoded content, in the shape of SCHEMA; empty when it was erased."""
        return {} if self.content is None else upcast(self.schema, self.type.value, dict(json.loads(self.content)))

    def at_position(self, position: int) -> Event:
        return replace(self, position=position)


def encode_content(payload: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no blanks, UTF-8; the same payload always gives the same bytes."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def commitment_to(salt: bytes, content: bytes) -> bytes:
    return hashlib.sha256(salt + content).digest()


def _chained(key: bytes, event: Event) -> bytes:
    mac = hmac.new(key, event.previous_hash, hashlib.sha256)
    header = [
        event.schema,
        event.cube_id,
        event.version,
        event.type.value,
        event.memory_id,
        event.memory_version,
        event.recorded_at_us,
        event.principal,
        event.request_id,
        event.idempotency,
    ]
    mac.update(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    mac.update(event.commitment)
    return mac.digest()


def seal(
    key: bytes,
    *,
    cube_id: str,
    version: int,
    type: EventType,
    memory_id: str,
    memory_version: int,
    recorded_at_us: int,
    principal: str,
    request_id: str,
    idempotency: str,
    payload: Mapping[str, Any],
    salt: bytes,
    previous_hash: bytes,
) -> Event:
    """A new event of the chain under `key`, behind the event whose hash is `previous_hash`."""
    return seal_content(
        key,
        cube_id=cube_id,
        version=version,
        type=type,
        memory_id=memory_id,
        memory_version=memory_version,
        recorded_at_us=recorded_at_us,
        principal=principal,
        request_id=request_id,
        idempotency=idempotency,
        content=encode_content(payload),
        salt=salt,
        previous_hash=previous_hash,
    )


def seal_content(
    key: bytes,
    *,
    cube_id: str,
    version: int,
    type: EventType,
    memory_id: str,
    memory_version: int,
    recorded_at_us: int,
    principal: str,
    request_id: str,
    idempotency: str,
    content: bytes,
    salt: bytes,
    previous_hash: bytes,
) -> Event:
    """As `seal`, of a payload that is encoded already."""
    bare = Event(
        cube_id=cube_id,
        version=version,
        type=type,
        memory_id=memory_id,
        memory_version=memory_version,
        recorded_at_us=recorded_at_us,
        principal=principal,
        request_id=request_id,
        idempotency=idempotency,
        content=content,
        salt=salt,
        commitment=commitment_to(salt, content),
        previous_hash=previous_hash,
        hash=b"",
    )
    return replace(bare, hash=_chained(key, bare))


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first place where a cube's chain does not hold."""

    cube_id: str
    version: int
    reason: str


def find_break(key: bytes, cube_id: str, events: Iterable[Event]) -> tuple[ChainBreak | None, int, bytes]:
    """Check a cube's whole chain, oldest first: (first break or None, events that hold, head hash)."""
    expected_version, head = 1, GENESIS
    for event in events:
        reason = fault(key, event, expected_version, head)
        if reason is not None:
            return ChainBreak(cube_id, expected_version, reason), expected_version - 1, head
        expected_version, head = expected_version + 1, event.hash
    return None, expected_version - 1, head


def fault(key: bytes, event: Event, expected_version: int, head: bytes) -> str | None:
    """What is wrong with one event as number `expected_version` of its cube, behind hash `head`; None when it holds."""
    if event.version != expected_version:
        return f"event {expected_version} is missing or out of order: found {event.version} in its place"
    if not hmac.compare_digest(event.previous_hash, head):
        return "it does not follow the event before it"
    if event.content is not None:
        if event.salt is None or not hmac.compare_digest(commitment_to(event.salt, event.content), event.commitment):
            return "its content was edited"
    if not hmac.compare_digest(_chained(key, event), event.hash):
        return "its header was edited, or it was sealed without the key"
    return None
