"""Joining the small files of an audit beside its commits: it takes as long as several, and rows must not wait."""

from __future__ import annotations

import logging
import threading

from actors.memory.auditing import AuditTable

log = logging.getLogger(__name__)

PAUSE_COMMITS = 64
"""After small files could not be joined, so many commits pass before it is tried again."""


class AuditUpkeep:
    """For the thread that commits: at most one other thread at work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = threading.Thread()
        self._paused = 0

    def start_when_due(self, table: AuditTable) -> None:
        """Begin to join what is due, unless that is under way; called after each commit."""
        self._paused = max(0, self._paused - 1)
        if not self._paused and table.maintenance_due() and not self._thread.is_alive():
            self._thread = threading.Thread(target=self._maintain, args=(table,), name=f"audit-join-{self._name}")
            self._thread.start()

    def wait(self) -> None:
        """Return once nothing is under way."""
        if self._thread.is_alive():
            self._thread.join()

    def _maintain(self, table: AuditTable) -> None:
        try:
            table.maintain()
        except Exception:  # the outer loop of a thread: the table keeps its small files
            log.exception("the small files of the audit of %s were not joined", self._name)
            self._paused = PAUSE_COMMITS
