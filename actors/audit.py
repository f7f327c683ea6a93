"""The audit of one shard: rows are taken in at once, and committed in batches by a thread.

What is taken in is durable within a second. While the table cannot be written, rows wait in memory and requests go
on; when the room for them is used up, `check` refuses further requests, so that nothing is answered unrecorded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from actors.audit_upkeep import AuditUpkeep
from actors.errors import AccessError, CubeNotFound, Fenced, MemosError, StorageError, Unavailable
from actors.memory.auditing import (
    AuditAction,
    AuditQuery,
    AuditReport,
    AuditRow,
    AuditTable,
    Note,
    SealedRow,
    detail_text,
)
from actors.memory.governance import Caller
from actors.memory.ports import Clock, JsonObject

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditLimits:
    """A batch is committed `batch_s` after its first row came. Waiting rows hold `waiting_bytes` at most. A failed
    commit is tried again after `retry_s`; who needs its rows on storage waits `flush_s` at most.
    """

    batch_s: float = 0.6
    waiting_bytes: int = 16 << 20
    retry_s: float = 1.0
    flush_s: float = 10.0


class AuditLog:
    """Safe to use from many threads. `open_table` claims the table; the thread calls it, again after a failure."""

    def __init__(
        self, name: str, open_table: Callable[[], AuditTable], clock: Clock, limits: AuditLimits | None = None
    ) -> None:
        self._name = name
        self._open_table = open_table
        self._clock = clock
        self._limits = limits or AuditLimits()
        self._changed = threading.Condition()
        self._waiting: list[AuditRow] = []
        self._waiting_bytes = 0
        self._first_at = 0.0
        self._taken = 0
        self._committed = 0
        self._wanted = 0
        """Rows that somebody waits for, counted from the first that was taken in."""
        self._commits = 0
        self._slowest_s = 0.0
        """The longest that a row has waited for its commit."""
        self._table: AuditTable | None = None
        self._unsure: list[SealedRow] = []
        """A batch whose commit may have landed: looked up when the table is opened again."""
        self._failure: MemosError | None = None
        self._closing = False
        self._upkeep = AuditUpkeep(name)
        self._thread = threading.Thread(target=self._run, name=f"audit-{name}", daemon=True)
        self._thread.start()

    # taking in

    def check(self) -> None:
        """Raise when a request must not be let in, because its row could not be kept: Fenced, Unavailable."""
        failure = self._failure
        if isinstance(failure, Fenced):
            raise Fenced(failure.detail, **failure.facts)
        if self._waiting_bytes > self._limits.waiting_bytes:
            raise Unavailable(
                "the audit cannot be written, and nothing is answered unrecorded; the host's log says why",
                retry_after_s=max(1, round(self._limits.retry_s)),
            )

    def record(
        self,
        caller: Caller,
        action: AuditAction,
        cube_id: str,
        memory_id: str = "",
        detail: str = "{}",
        ids: tuple[str, ...] = (),
    ) -> None:
        """Take a row in. Never refuses and never waits for storage: `check` came before."""
        row = AuditRow(
            self._clock.now_us(),
            caller.principal,
            caller.key_id,
            action,
            cube_id,
            memory_id,
            caller.request_id,
            detail,
            ids,
        )
        with self._changed:
            if not self._waiting:
                self._first_at = time.monotonic()
                self._changed.notify_all()
            self._waiting.append(row)
            self._waiting_bytes += row.held_bytes
            self._taken += 1

    @contextmanager
    def noted(self, caller: Caller, cube_id: str, note: Note, exists: Callable[[str], bool]) -> Iterator[None]:
        """Record what the block does when it ends. Raises what `check` raises, before the block."""
        self.check()
        try:
            yield
        except BaseException as error:
            self.conclude(caller, cube_id, note, error, exists)
            raise
        self.conclude(caller, cube_id, note, None, exists)

    def conclude(
        self, caller: Caller, cube_id: str, note: Note, error: BaseException | None, exists: Callable[[str], bool]
    ) -> None:
        """Record a request as `note` says when it was answered, else as failed or denied, and why.

        A denied attempt on a cube that does not exist is recorded by the system shard, which was asked for it.
        """
        if error is None:
            self.record(caller, note.action, cube_id, note.memory_id, detail_text(note.detail), note.ids)
            return
        why = error.slug if isinstance(error, MemosError) else MemosError.slug
        if isinstance(error, (AccessError, CubeNotFound)):
            if isinstance(error, AccessError) or exists(cube_id):
                denied = {"action": note.action.value, "why": why}
                self.record(caller, AuditAction.DENIED, cube_id, note.memory_id, detail_text(denied))
            return
        self.record(caller, note.action, cube_id, note.memory_id, detail_text({**note.detail, "failed": why}))

    # asking

    def newest(self, cube_id: str | None, query: AuditQuery) -> list[AuditRow]:
        """The newest rows that match, newest first; those of every answer given before are among them.

        Raises StorageUnavailable or another StorageError when the table cannot be read or brought up to now.
        """
        return self._flushed().newest(cube_id, query)

    def verify(self, cube_id: str | None) -> AuditReport:
        """What a check of the chain finds; a table that cannot be opened or written is a finding too."""
        try:
            table = self._flushed()
        except MemosError as error:
            log.error("the audit of %s cannot be checked: %s", self._name, error)
            told = (
                str(error) if cube_id is None else f"the audit that holds this cube's rows cannot be read: {error.slug}"
            )
            return AuditReport(0, (told,))
        return table.verify(cube_id)

    def flush(self) -> None:
        """Return once everything that was taken in is durable. Raises what keeps it from being so."""
        self._flushed()

    def status(self) -> JsonObject:
        with self._changed:
            return {
                "failure": None if self._failure is None else str(self._failure),
                "rows": self._taken,
                "waiting": len(self._waiting),
                "waiting_bytes": self._waiting_bytes,
                "commits": self._commits,
                "slowest_ms": round(1000 * self._slowest_s, 1),
            }

    @property
    def failure(self) -> MemosError | None:
        return self._failure

    def close(self) -> None:
        """Commit what waits, if storage lets, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _flushed(self) -> AuditTable:
        deadline = time.monotonic() + self._limits.flush_s
        with self._changed:
            target = self._wanted = max(self._wanted, self._taken)
            failure_before = self._failure
            self._changed.notify_all()
            while self._committed < target or self._table is None:
                if self._failure is not None and self._failure is not failure_before:
                    raise _copied(self._failure)
                if self._closing or not self._changed.wait(deadline - time.monotonic()):
                    if self._failure is not None:
                        raise _copied(self._failure)
                    raise Unavailable(f"the audit of {self._name} is not written in time", retry_after_s=1)
            return self._table

    # the thread

    def _run(self) -> None:
        while self._await_work():
            try:
                self._commit()
            except Exception as error:  # noqa: BLE001 - the loop of the audit's thread
                self._fail(error)
                if self._closing:
                    return
        self._upkeep.wait()
        if self._table is not None:
            self._table.close()

    def _await_work(self) -> bool:
        """Return True when there is something to commit or to open, False at the end."""
        with self._changed:
            while True:
                asked = self._wanted > self._committed or (self._wanted and self._table is None)
                if isinstance(self._failure, Fenced):
                    return False  # opening the table anew would take it from its new owner
                if self._closing:
                    return bool(self._waiting)
                if self._failure is not None:
                    # Tried again every `retry_s`, sooner when somebody asks for rows.
                    self._changed.wait(self._limits.retry_s)
                    return True
                if asked or self._table is None:
                    return True
                due_s = self._first_at + self._limits.batch_s - time.monotonic() if self._waiting else None
                if due_s is not None and due_s <= 0:
                    return True
                self._changed.wait(due_s)

    def _commit(self) -> None:
        table = self._opened()
        with self._changed:
            batch = list(self._waiting)
            came, self._first_at = self._first_at, time.monotonic()
        sealed = table.sealed(batch)
        self._unsure = sealed
        table.append(sealed)
        self._unsure = []
        self._settle(len(batch))
        if batch:
            self._slowest_s = max(self._slowest_s, time.monotonic() - came)
        self._upkeep.start_when_due(table)

    def _opened(self) -> AuditTable:
        if self._table is None:
            table = self._open_table()
            if self._unsure and table.head == self._unsure[-1].hash:
                self._settle(len(self._unsure))
            self._unsure = []
            with self._changed:
                self._table = table
                self._changed.notify_all()
        return self._table

    def _settle(self, count: int) -> None:
        """The first `count` waiting rows are on storage."""
        with self._changed:
            gone, self._waiting = self._waiting[:count], self._waiting[count:]
            self._waiting_bytes -= sum(row.held_bytes for row in gone)
            self._committed += count
            self._commits += bool(count)
            self._failure = None
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        known = error if isinstance(error, MemosError) else MemosError("the audit failed in an unforeseen way")
        log.error("the audit of %s is not written: %s", self._name, error, exc_info=not isinstance(error, MemosError))
        table = self._table
        unchanged = isinstance(error, StorageError) and error.facts.get("outcome") == "none"
        with self._changed:
            if not unchanged:
                self._table = None
            else:
                self._unsure = []
            self._failure = known
            self._changed.notify_all()
        if table is not None and not unchanged:
            table.close()


def _copied(error: MemosError) -> MemosError:
    return type(error)(error.detail, **error.facts)
