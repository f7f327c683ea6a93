"""What the system host is made of, and whom it lets in first."""

from __future__ import annotations

from dataclasses import dataclass

from actors.memory.draft import Sealer
from actors.memory.ports import Clock, Journal, Snapshots


@dataclass(frozen=True, slots=True)
class SystemParts:
    """What the system shard stands on, opened."""

    journal: Journal
    snapshots: Snapshots
    sealer: Sealer
    clock: Clock
    queue_limit: int = 1024
    snapshot_events: int = 1000


@dataclass(frozen=True, slots=True)
class FirstGovernor:
    """Who governs a new state, and what is stored of the key that was made for them."""

    principal: str
    key_id: str
    digest: str
