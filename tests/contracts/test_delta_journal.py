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


class TestDeltaJournalInAnObjectStore(TestDeltaJournal):
    """Every file through the object store's interface, as with S3; the store behind it is a folder."""

    @pytest.fixture(autouse=True)
    def object_store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(StorageSpec, "local", None)
        for name in ("journal", "anchors", "journal/_delta_log"):
            (tmp_path / name).mkdir()

    def open_journal(self) -> DeltaJournal:
        table, anchors = (StorageSpec(f"file://{self._folder}/{name}") for name in ("journal", "anchors"))
        return DeltaJournal(table, anchors, KEY, CompactionLimits(appends=3))
