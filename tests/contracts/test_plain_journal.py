"""The in-process journal keeps the journal's contract."""

from __future__ import annotations

import pytest

from actors.stores.journal import PlainJournal, PlainStorage
from tests.contracts.journal_contract import KEY, JournalContract


class TestPlainJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def storage(self) -> None:
        self._storage = PlainStorage()

    def open_journal(self) -> PlainJournal:
        return PlainJournal(self._storage, KEY)
