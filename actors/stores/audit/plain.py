"""The audit's table in this process's memory: every guarantee of the port save durability."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.errors import StorageUnavailable
from actors.memory.auditing import AuditQuery, AuditReport, AuditRow, ChainWalk, SealedRow, audit_key, chained
from actors.memory.events import GENESIS
from actors.stores.journal.deltalog import fenced


@dataclass(slots=True)
class PlainAuditStorage:
    """What owners of one shard's audit share: its rows, its epoch and its anchored head. `broken`: it fails."""

    name: str = "plain-audit"
    rows: list[SealedRow] = field(default_factory=list)
    epoch: int = 0
    anchored: tuple[int, bytes] = (0, GENESIS)
    broken: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class PlainAuditTable:
    """auditing.AuditTable on a PlainAuditStorage. Opening a second one on the same storage fences the first."""

    def __init__(self, storage: PlainAuditStorage, chain_key: bytes) -> None:
        self._storage = storage
        self._key = audit_key(chain_key)
        self._check()
        with storage.lock:
            storage.epoch += 1
            self._epoch = storage.epoch

    @property
    def head(self) -> bytes:
        return self._storage.anchored[1]

    def sealed(self, rows: Sequence[AuditRow]) -> list[SealedRow]:
        known = self._storage.rows
        return list(chained(self._key, self.head, known[-1].row.at_us if known else 0, rows))

    def append(self, rows: Sequence[SealedRow]) -> None:
        self._check()
        storage = self._storage
        with storage.lock:
            if storage.epoch != self._epoch:
                raise fenced(storage.name, self._epoch, storage.epoch)
            storage.rows.extend(rows)
            if rows:
                storage.anchored = (len(storage.rows), rows[-1].hash)

    def maintenance_due(self) -> bool:
        return False

    def maintain(self) -> None:
        return None

    def newest(self, cube_id: str | None, query: AuditQuery) -> list[AuditRow]:
        with self._storage.lock:
            rows = [sealed.row for sealed in reversed(self._storage.rows)]
        matching = (row for row in rows if (cube_id is None or row.cube_id == cube_id) and query.matches(row))
        return [row for row, _ in zip(matching, range(query.limit), strict=False)]

    def verify(self, cube_id: str | None) -> AuditReport:
        with self._storage.lock:
            rows, (count, head) = list(self._storage.rows), self._storage.anchored
        walk = ChainWalk(self._key, GENESIS, cube_id)
        for sealed in rows:
            walk.take(sealed)
        problems = [walk.problem] if walk.problem else []
        if (len(rows), walk.head) != (count, head):
            problems.append("the audit does not end where it was recorded to end: its tail was cut off or changed")
        return AuditReport(walk.rows, tuple(problems))

    def close(self) -> None:
        return None

    def _check(self) -> None:
        if self._storage.broken:
            raise StorageUnavailable(f"{self._storage.name} cannot be written", uri=self._storage.name, outcome="none")
