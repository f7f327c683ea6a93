"""The audit of a shard: nothing is answered unrecorded, and nobody waits for it who does not ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from actors.audit import AuditLimits, AuditLog
from actors.clock import SystemClock
from actors.errors import CubeNotFound, Fenced, Forbidden, MemoryNotFound, StorageUnavailable, Unavailable
from actors.memory.auditing import AuditAction, AuditQuery, AuditTable, Note, SealedRow
from actors.memory.governance import Caller
from actors.stores.audit import PlainAuditStorage, PlainAuditTable
from tests.unit.test_projection import eventually

KEY = b"c" * 32
ANN = Caller("ann", "key-a", "req")
FAST = AuditLimits(batch_s=0.01, retry_s=0.01, flush_s=5.0)
LAZY = AuditLimits(batch_s=3600, retry_s=3600, flush_s=5.0)
"""Commits only what somebody asks for."""


class LosingTable(PlainAuditTable):
    """Commits land, and their answers are lost, while `losing`."""

    losing = False

    def append(self, rows: Sequence[SealedRow]) -> None:
        super().append(rows)
        if self.losing and rows:
            LosingTable.losing = False
            raise StorageUnavailable("no answer came", outcome="unknown")


@contextmanager
def opened(
    storage: PlainAuditStorage, limits: AuditLimits, table: Callable[..., AuditTable] = PlainAuditTable
) -> Iterator[AuditLog]:
    audit = AuditLog("test", lambda: table(storage, KEY), SystemClock(), limits)
    try:
        yield audit
    finally:
        storage.broken = False
        audit.close()


def requests(audit: AuditLog) -> list[str]:
    return [row.request_id for row in audit.newest(None, AuditQuery(limit=10_000))]


def record(audit: AuditLog, *numbers: int) -> None:
    for number in numbers:
        audit.record(Caller("ann", "key-a", f"r{number}"), AuditAction.READ, "c")


def test_rows_reach_the_table_by_themselves() -> None:
    storage = PlainAuditStorage()
    with opened(storage, FAST) as audit:
        record(audit, 1, 2, 3)
        eventually(lambda: len(storage.rows) == 3)
        assert audit.status()["waiting"] == audit.status()["waiting_bytes"] == 0


def test_who_asks_sees_what_was_recorded_before() -> None:
    with opened(PlainAuditStorage(), LAZY) as audit:
        for number in range(5):
            record(audit, number)
            assert requests(audit) == [f"r{n}" for n in range(number, -1, -1)]


def test_rows_recorded_together_share_a_commit() -> None:
    with opened(PlainAuditStorage(), LAZY) as audit:
        record(audit, *range(100))
        audit.flush()
        assert (audit.status()["commits"], audit.status()["rows"]) == (1, 100)


def test_many_threads_lose_nothing() -> None:
    with opened(PlainAuditStorage(), FAST) as audit:
        threads = [threading.Thread(target=record, args=(audit, *range(n * 200, n * 200 + 200))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(requests(audit)) == sorted(f"r{n}" for n in range(1600))
        assert audit.verify(None).problems == ()


def test_closing_commits_what_waits() -> None:
    storage = PlainAuditStorage()
    with opened(storage, LAZY) as audit:
        record(audit, 1)
    assert len(storage.rows) == 1


def test_while_storage_fails_requests_go_on_and_rows_wait() -> None:
    storage = PlainAuditStorage()
    with opened(storage, FAST) as audit:
        audit.flush()
        storage.broken = True
        record(audit, 1)
        eventually(lambda: audit.failure is not None)
        audit.check()
        record(audit, 2)
        with pytest.raises(StorageUnavailable):
            requests(audit)
        storage.broken = False
        eventually(lambda: len(storage.rows) == 2)
        assert audit.failure is None
        assert requests(audit) == ["r2", "r1"]


def test_a_table_that_cannot_be_opened_is_tried_again() -> None:
    storage = PlainAuditStorage(broken=True)
    with opened(storage, FAST) as audit:
        record(audit, 1)
        eventually(lambda: audit.failure is not None)
        assert audit.verify(None).problems != ()
        storage.broken = False
        assert requests(audit) == ["r1"]


def test_nothing_is_let_in_once_rows_have_no_room() -> None:
    storage = PlainAuditStorage()
    limits = AuditLimits(batch_s=0.01, retry_s=3600, waiting_bytes=1000)
    with opened(storage, limits) as audit:
        storage.broken = True
        for number in range(3):
            audit.check()
            record(audit, number)
        with pytest.raises(Unavailable, match="nothing is answered unrecorded"):
            audit.check()
        storage.broken = False
        audit.flush()
        audit.check()
        assert len(requests(audit)) == 3


def test_a_commit_whose_answer_was_lost_is_not_made_twice() -> None:
    storage = PlainAuditStorage()
    with opened(storage, FAST, LosingTable) as audit:
        audit.flush()
        LosingTable.losing = True
        record(audit, 1, 2)
        eventually(lambda: not LosingTable.losing and audit.failure is None)
        record(audit, 3)
        assert requests(audit) == ["r3", "r2", "r1"]
        assert audit.verify(None).problems == ()


def test_an_owner_that_was_fenced_lets_nobody_in_and_takes_nothing_back() -> None:
    storage = PlainAuditStorage()
    with opened(storage, FAST) as audit:
        audit.flush()
        successor = PlainAuditTable(storage, KEY)
        record(audit, 1)
        eventually(lambda: isinstance(audit.failure, Fenced))
        with pytest.raises(Fenced):
            audit.check()
        eventually(lambda: not audit._thread.is_alive())
        successor.append(successor.sealed([]))
        assert storage.epoch == 2


def test_what_a_block_does_is_recorded_as_it_ends() -> None:
    with opened(PlainAuditStorage(), LAZY) as audit:

        def ends(error: Exception | None, exists: bool = True) -> None:
            note = Note(AuditAction.CHANGE, "mem_1", {"version": 2}, ("mem_1",))
            try:
                with audit.noted(ANN, "c", note, lambda _: exists):
                    if error is not None:
                        raise error
            except type(error or ValueError()):
                pass

        ends(None)
        ends(Forbidden("no"))
        ends(CubeNotFound("no"))
        ends(CubeNotFound("no"), exists=False)
        ends(MemoryNotFound("no"))
        ends(ZeroDivisionError())
        rows = audit.newest("c", AuditQuery())[::-1]
        assert [(row.action, row.detail, row.ids) for row in rows] == [
            ("change", '{"version":2}', ("mem_1",)),
            ("denied", '{"action":"change","why":"forbidden"}', ()),
            ("denied", '{"action":"change","why":"cube-not-found"}', ()),
            ("change", '{"version":2,"failed":"memory-not-found"}', ()),
            ("change", '{"version":2,"failed":"internal"}', ()),
        ]
        assert {row.memory_id for row in rows} == {"mem_1"}
