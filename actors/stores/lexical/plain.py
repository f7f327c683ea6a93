"""The lexical port in plain Python: the reference that other adapters are compared with. Nothing is stored."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from actors.memory.ports import CorpusStatistics, LexicalDocument


class PlainLexicalIndex:
    """Scans a cube's documents. Puts become visible with `flush`, as in every adapter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[LexicalDocument] = []
        self._cubes: dict[str, dict[tuple[int, int], LexicalDocument]] = {}
        self._position = 0

    @property
    def position(self) -> int:
        return self._position

    def put(self, documents: Sequence[LexicalDocument]) -> None:
        with self._lock:
            self._waiting.extend(documents)

    def flush(self, position: int) -> None:
        with self._lock:
            for document in self._waiting:
                self._cubes.setdefault(document.cube_id, {})[document.row, document.since] = document
            self._waiting.clear()
            self._position = position

    def statistics(self, cube_id: str, terms: Sequence[str], version: int) -> CorpusStatistics:
        live = self._live(cube_id, version)
        return CorpusStatistics(
            documents=len(live),
            total_terms=sum(len(document.terms) for document in live),
            document_frequency=tuple(sum(term in document.terms for document in live) for term in terms),
        )

    def candidates(self, cube_id: str, weighted: Sequence[tuple[str, float]], version: int, limit: int) -> list[int]:
        found = []
        for document in self._live(cube_id, version):
            weights = [weight for term, weight in weighted if term in document.terms]
            if weights:
                found.append((-sum(weights), -document.row))
        return [-row for _, row in sorted(found)[:limit]]

    def _live(self, cube_id: str, version: int) -> list[LexicalDocument]:
        with self._lock:
            return [d for d in self._cubes.get(cube_id, {}).values() if d.since <= version < d.until]

    def erase(self, cube_id: str) -> None:
        with self._lock:
            self._cubes.pop(cube_id, None)
            self._waiting = [document for document in self._waiting if document.cube_id != cube_id]

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> None:
        self.flush(self._position)
        with self._lock:
            for cube_id, gone in rows.items():
                held = self._cubes.get(cube_id, {})
                for key in list(held):
                    if gone is None or key[0] in gone:
                        del held[key]

    def clear(self) -> None:
        with self._lock:
            self._cubes.clear()
            self._waiting.clear()
            self._position = 0

    def close(self) -> None:
        return None
