"""The audit's tables against their contract; and what the one on Delta does with its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.memory.auditing import AuditQuery, AuditTable
from actors.stores.audit import PlainAuditStorage, PlainAuditTable, delta
from actors.stores.journal.datafiles import ROW_GROUP_ROWS
from tests.contracts.audit_contract import AT_US, KEY, AuditContract, append, row
from tests.contracts.audit_folder import AuditFolder


class TestPlainAuditTable(AuditContract):
    @pytest.fixture(autouse=True)
    def _storage(self) -> None:
        self.storage = PlainAuditStorage()

    def open_table(self) -> AuditTable:
        return PlainAuditTable(self.storage, KEY)


class TestDeltaAuditTable(AuditContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = AuditFolder(tmp_path)

    def open_table(self) -> AuditTable:
        return self.folder.open()


def test_compaction_keeps_every_row_and_the_chain(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    table = folder.open(appends=4)
    rows = []
    for number in range(30):
        rows += append(table, row(2 * number), row(2 * number + 1, "b"))
        table.maintain()
    assert len(folder.data_files()) < 10
    for again in (False, True):
        opened = folder.open() if again else table
        assert opened.newest(None, AuditQuery(limit=100)) == rows[::-1]
        assert opened.verify(None).problems == ()
        assert opened.verify("b").rows == 30


def test_pages_of_a_cube_cross_row_groups_and_files(tmp_path: Path) -> None:
    table = AuditFolder(tmp_path).open(appends=2)
    numbers = range(ROW_GROUP_ROWS + 1000)
    append(table, *(row(n, "a" if n % 100 == 0 else "b") for n in numbers))
    append(table, row(99_999))
    table.maintain()
    append(table, row(100_000))
    found = table.newest("a", AuditQuery(limit=1000))
    expected = [100_000, 99_999, *(n for n in reversed(numbers) if n % 100 == 0)]
    assert [r.at_us - AT_US for r in found] == expected
    before = table.newest("a", AuditQuery(limit=3, before_us=AT_US + 500))
    assert [r.at_us - AT_US for r in before] == [400, 300, 200]


def test_a_commit_whose_anchor_was_not_written_is_taken_up(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    table = folder.open()
    append(table, row(1))
    anchored = folder.anchor().read_bytes()
    append(table, row(2))
    folder.anchor().write_bytes(anchored)
    reopened = folder.open()
    assert len(reopened.newest(None, AuditQuery())) == 2
    assert reopened.verify(None).problems == ()


def test_the_log_keeps_no_details(tmp_path: Path) -> None:
    folder = AuditFolder(tmp_path)
    append(folder.open(), row(1))
    assert "req-1" not in "".join(entry.read_text().partition('"add"')[2] for entry in folder.entries())


def test_rows_come_in_while_files_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = AuditFolder(tmp_path)
    table = folder.open(appends=4)
    rows = [found for number in range(4) for found in append(table, row(number))]
    joined = delta.join

    def join_while_appending(*args: Any) -> Any:
        rows.extend(append(table, row(10)) + append(table, row(11)))
        assert table.newest(None, AuditQuery()) == rows[::-1]
        return joined(*args)

    monkeypatch.setattr(delta, "join", join_while_appending)
    assert table.maintenance_due()
    table.maintain()
    rows += append(table, row(12))
    assert len(folder.data_files()) == 4
    assert table.newest(None, AuditQuery()) == rows[::-1]
    assert table.verify(None).problems == ()
    assert folder.open().newest(None, AuditQuery()) == rows[::-1]
