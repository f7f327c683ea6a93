"""How the system shard is opened: from a frozen spec to a running SystemHost."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.audit import AuditLog
from actors.clock import SystemClock
from actors.memory.draft import Sealer
from actors.memory.policy import ENTITIES
from actors.stores.audit import DeltaAuditTable
from actors.stores.journal import DeltaJournal
from actors.stores.location import StorageSpec
from actors.stores.snapshots import SnapshotFolder
from actors.system import FirstGovernor, SystemHost, SystemParts


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """What the system host is made of. The shard lives in `<shards_uri>/system`."""

    shards_uri: str
    chain_key: bytes
    first_governor: FirstGovernor | None
    storage_options: Mapping[str, str] = field(default_factory=dict)
    queue_limit: int = 1024
    entities: tuple[str, ...] = ENTITIES


def open_system(spec: SystemSpec) -> SystemHost:
    """Claim the system shard; a new one gets its first governor. Raises what opening a journal raises."""
    base = f"{spec.shards_uri.rstrip('/')}/system"
    options = dict(spec.storage_options)
    journal = DeltaJournal(
        StorageSpec(f"{base}/journal", options), StorageSpec(f"{base}/anchors", options), spec.chain_key
    )
    table, anchors = StorageSpec(f"{base}/audit", options), StorageSpec(f"{base}/audit-anchors", options)
    host = SystemHost(
        SystemParts(
            journal=journal,
            snapshots=SnapshotFolder(StorageSpec(f"{base}/snapshots", options), spec.chain_key),
            sealer=Sealer(spec.chain_key, secrets.token_bytes),
            clock=SystemClock(),
            audit=AuditLog("the system shard", lambda: DeltaAuditTable(table, anchors, spec.chain_key), SystemClock()),
            queue_limit=spec.queue_limit,
            entities=spec.entities,
        )
    )
    if spec.first_governor is not None:
        host.bootstrap(spec.first_governor)
    return host
