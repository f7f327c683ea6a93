"""A SystemHost on plain-object storage, with a clock that is set by hand."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable

from actors.audit import AuditLog
from actors.errors import Corrupted, StorageUnavailable
from actors.memory.credentials import digest_secret, new_secret
from actors.memory.draft import Sealer
from actors.memory.governance import Caller
from actors.memory.requests import IssuedKey, NewKey
from actors.stores.audit import PlainAuditStorage, PlainAuditTable
from actors.stores.journal import PlainJournal, PlainStorage
from actors.system import FirstGovernor, SystemHost, SystemParts
from tests.unit.opened import closed_with_the_test

KEY = b"k" * 32


class HandClock:
    def __init__(self) -> None:
        self.at_us = 1_700_000_000_000_000

    def now_us(self) -> int:
        return self.at_us


class PlainSnapshots:
    """ports.Snapshots in memory; `broken` makes reading fail, `failing` writing."""

    def __init__(self) -> None:
        self.position = 0
        self.states: dict[str, bytes] = {}
        self.broken = False
        self.failing = False

    def write(self, position: int, states: Iterable[tuple[str, bytes]], anew: Collection[str] = ()) -> int:
        if self.failing:
            raise StorageUnavailable("the disk is full")
        self.states.update(states)
        self.position = position
        return len(anew)

    def read(self, cube_id: str) -> bytes | None:
        if self.broken:
            raise Corrupted("snapshot-1 was edited")
        return self.states.get(cube_id)

    def discard(self) -> None:
        self.states.clear()
        self.position = 0


class SystemBench:
    """A system shard with its first governor; `reopen` restarts the host on the same storage."""

    def __init__(self, snapshot_events: int = 1000) -> None:
        self.clock = HandClock()
        self.storage = PlainStorage()
        self.audited = PlainAuditStorage()
        self.snapshots = PlainSnapshots()
        self.sealer = Sealer(KEY, random.Random(0).randbytes)
        self.snapshot_events = snapshot_events
        self.secret = new_secret(self.sealer.random_bytes)
        self.host = self._open()
        self.host.bootstrap(FirstGovernor("root", self.secret.key_id, digest_secret(KEY, self.secret.text)))
        self.root = self.caller(self.secret.text)

    def _open(self) -> SystemHost:
        journal = PlainJournal(self.storage, KEY)
        host = SystemHost(
            SystemParts(
                journal,
                self.snapshots,
                self.sealer,
                self.clock,
                AuditLog("system", lambda: PlainAuditTable(self.audited, KEY), self.clock),
                snapshot_events=self.snapshot_events,
            )
        )
        return closed_with_the_test(host)

    def reopen(self) -> None:
        self.host.close()
        self.host = self._open()

    def crash(self) -> None:
        """As `reopen`, with nothing closed."""
        self.host = self._open()

    def caller(self, secret: str, request_id: str = "req") -> Caller:
        return self.host.authenticate(secret, request_id).caller

    def new_principal(self, name: str) -> tuple[Caller, IssuedKey]:
        issued = self.host.create_key(self.root, NewKey(name))
        return self.caller(issued.secret), issued
