"""What the system shard stands on, and how it notes who did or tried what."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from actors.audit import AuditLog
from actors.memory.auditing import AuditAction, detail_text
from actors.memory.draft import Sealer
from actors.memory.governance import Caller
from actors.memory.policy import ENTITIES
from actors.memory.ports import Clock, Journal, Snapshots

STRANGERS_PER_S = 50
"""Refused keys that are recorded one by one, a second; of more, their number."""


@dataclass(frozen=True, slots=True)
class SystemParts:
    """What the system shard stands on, opened."""

    journal: Journal
    snapshots: Snapshots
    sealer: Sealer
    clock: Clock
    audit: AuditLog
    queue_limit: int = 1024
    snapshot_events: int = 1000
    entities: tuple[str, ...] = ENTITIES
    """The kinds that a cube's redaction may name."""


@dataclass(frozen=True, slots=True)
class FirstGovernor:
    """Who governs a new state, and what is stored of the key that was made for them."""

    principal: str
    key_id: str
    digest: str


class Strangers:
    """Records requests whose key is not one: one by one, as long as they are few; a flood must not fill the audit."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._guard = threading.Lock()
        self._until = 0.0
        self._left = 0
        self._untold = 0

    def refused(self, caller: Caller, why: str) -> None:
        """`caller` names the principal and the key when the key was one once."""
        with self._guard:
            now = time.monotonic()
            if now >= self._until:
                self._until, self._left = now + 1.0, STRANGERS_PER_S
                untold, self._untold = self._untold, 0
            else:
                untold = 0
            self._left -= 1
            if self._left < 0:
                self._untold += 1
                return
        detail = {"action": "authenticate", "why": why, **({"more": untold} if untold else {})}
        self._audit.record(caller, AuditAction.DENIED, "", detail=detail_text(detail))
