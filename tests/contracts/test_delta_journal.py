"""The journal on Delta keeps the journal's contract, compacting often."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.stores.journal import CompactionLimits, DeltaJournal, StorageSpec
from tests.contracts.journal_contract import KEY, JournalContract


class TestDeltaJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self._folder = tmp_path

    def open_journal(self) -> DeltaJournal:
        table, anchors = StorageSpec(str(self._folder / "journal")), StorageSpec(str(self._folder / "anchors"))
        return DeltaJournal(table, anchors, KEY, CompactionLimits(appends=3))
