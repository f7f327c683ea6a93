"""The system shard in this process: its state, writer and snapshots, and the note of every request in its audit."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from actors.errors import StorageError
from actors.footprint import footprint
from actors.memory import administration
from actors.memory.auditing import Note
from actors.memory.credentials import CursorSigner
from actors.memory.draft import Origin
from actors.memory.events import Event
from actors.memory.governance import Caller
from actors.memory.identity import SYSTEM_CUBE_ID
from actors.memory.ports import JsonObject
from actors.memory.system_draft import SystemDraft
from actors.system_parts import Strangers, SystemParts
from actors.system_recovery import forget_erased_cubes, recovered
from actors.writer import ShardWriter

R = TypeVar("R")
log = logging.getLogger(__name__)


class SystemShard:
    """The fold of the system shard's journal, and the one writer of it."""

    def __init__(self, parts: SystemParts) -> None:
        self._parts = parts
        self._guard = threading.Lock()
        self._cursors = CursorSigner(parts.sealer.chain_key)
        self._strangers = Strangers(parts.audit)
        self._progress: dict[str, float] = {}
        self._state = recovered(parts.journal, parts.snapshots)
        self._snapshot_at = parts.snapshots.position
        self._writer: ShardWriter[SystemDraft] = ShardWriter(
            parts.journal,
            clock=parts.clock,
            open_draft=lambda _: SystemDraft(self._state, parts.sealer),
            apply=self._apply,
            queue_limit=parts.queue_limit,
        )

    # running

    def status(self) -> JsonObject:
        with self._guard:
            records = self._state.records
            return {
                **footprint(),
                "failure": None if self._writer.failure is None else str(self._writer.failure),
                "audit": self._parts.audit.status(),
                "queued": self._writer.counters.queued,
                "epoch": self._parts.journal.epoch,
                "position": self._parts.journal.position,
                "principals": len(records.principals),
                "cubes": sum(not cube.hidden for cube in records.cubes.values()),
                "jobs": len(records.jobs),
            }

    def ready(self) -> list[str]:
        """What is not ready; empty while the shard is ours."""
        failure, unaudited = self._writer.failure, self._parts.audit.failure
        told = [] if failure is None else [failure.detail]
        return told + ([] if unaudited is None else [f"the system shard's audit is not written: {unaudited}"])

    def verify(self) -> list[str]:
        """What is wrong with the system shard's journal, audit and their chains; empty when all holds."""
        problems = self._writer.run_exclusive(lambda: self._parts.journal.verify(SYSTEM_CUBE_ID)).result()
        return [*problems, *self._parts.audit.verify(None).problems]

    def close(self) -> None:
        """Drain the writer, write a snapshot, and leave everything on storage."""
        if self._writer.failure is None:
            self._writer.run_exclusive(self._write_snapshot).result()
        self._writer.close()
        self._parts.journal.close()
        self._parts.audit.close()

    @contextmanager
    def _noted(self, caller: Caller, note: Note, cube_id: str = "") -> Iterator[None]:
        with self._parts.audit.noted(caller, cube_id, note, lambda _: True):
            yield

    def _run(self, caller: Caller, note: Note, decide: Callable[[SystemDraft, Origin], R], cube_id: str = "") -> R:
        origin = Origin(caller.principal, caller.request_id, self._parts.clock.now_us())
        with self._noted(caller, note, cube_id[:128]):
            return self._writer.submit(SYSTEM_CUBE_ID, lambda draft: decide(draft, origin)).result()

    def _apply(self, events: list[Event]) -> None:
        with self._guard:
            for event in events:
                self._state.apply(event)
        if forget_erased_cubes(self._parts.journal, self._parts.snapshots, self._state, events):
            self._snapshot_at = self._parts.journal.position
        if self._parts.journal.position - self._snapshot_at >= self._parts.snapshot_events:
            self._write_snapshot()

    def _write_snapshot(self) -> None:
        position = self._parts.journal.position
        if position == self._snapshot_at:
            return
        self._snapshot_at = position  # also when it fails: the next one covers it
        try:
            self._parts.snapshots.write(position, [(SYSTEM_CUBE_ID, json.dumps(self._state.to_snapshot()).encode())])
        except StorageError as error:
            log.error("the system shard's snapshot failed, the journal still holds everything: %s", error)

    def _check_live(self, caller: Caller) -> None:
        administration.check_live(self._state.records, caller, self._parts.clock.now_us())

    def _check_governor(self, caller: Caller, what: str) -> None:
        self._check_live(caller)
        administration.check_governor(self._state.records, caller, what)
