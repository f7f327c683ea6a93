"""The lexical channel of a search: the words of a cube in memory, or the index on storage until they are there.

A cube that is searched keeps its postings (`actors/memory/postings.py`): every row is scored, exactly. For a large
cube that was just opened they are built in the background; meanwhile the index proposes rows, and the same formula
scores those. A row's score is the same bits on both ways; the index may leave a row out that it ranks low.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from actors.memory.analysis import terms_of
from actors.memory.ports import LexicalIndex, Mask
from actors.memory.postings import Postings
from actors.memory.ranking import LexicalQuery, RowScores, lexical_query

MAX_QUERY_TERMS = 64
"""Distinct terms of a query that count; the first ones of a longer query."""

BUILD_CHUNK_ROWS = 256

log = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WordLimits:
    """Up to `rows_at_once` rows are analysed while a search waits for them, at some 12 µs a row; more than that in the
    background. Below 0, nothing is held in memory. How many cubes' words are held is the host's budget to bound.
    """

    rows_at_once: int = 20_000


@dataclass(frozen=True, slots=True)
class SearchedRows:
    """Which rows of a cube a search looks at: `texts` by row, `live` at the version searched, `allowed` of those."""

    cube_id: str
    version: int
    texts: Sequence[str]
    live: Mask
    allowed: Mask


@dataclass(frozen=True, slots=True)
class LexicalFound:
    """`scores` are the best rows, `of` scores any."""

    query: LexicalQuery
    scores: RowScores
    of: Callable[[Rows], RowScores]


@dataclass(slots=True)
class _Held:
    """`lock` guards the postings; `building` while a thread is at them."""

    postings: Postings = field(default_factory=Postings)
    lock: threading.Lock = field(default_factory=threading.Lock)
    building: bool = False


class LexicalChannel:
    """Of the cubes of one shard. Safe to use from many threads."""

    def __init__(self, index: LexicalIndex, limits: WordLimits | None = None) -> None:
        self._index = index
        self._limits = limits or WordLimits()
        self._guard = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._closing = False

    def held_bytes(self, cube_id: str) -> int:
        """About what a cube's words take in memory."""
        held = self._held.get(cube_id)
        return 0 if held is None else held.postings.size_bytes

    def search(self, searched: SearchedRows, text: str, depth: int) -> LexicalFound | None:
        """The `depth` best allowed rows, of those that hold a word of `text`, from the words in memory; None while
        they are not there.
        """
        if self._limits.rows_at_once < 0:
            return None
        held = self._held_of(searched.cube_id)
        with held.lock:
            return self._search_in_memory(held, searched, _query_terms(text), depth)

    def search_stored(self, searched: SearchedRows, text: str, depth: int) -> LexicalFound:
        """The same from the index on storage: the best of the rows that it proposes. Raises StorageError."""
        terms = _query_terms(text)
        query = lexical_query(terms, self._index.statistics(searched.cube_id, terms, searched.version))

        def of(wanted: Rows) -> RowScores:
            values = (query.score(terms_of(searched.texts[row])) for row in wanted.tolist())
            return RowScores(wanted, np.fromiter(values, dtype=np.float64, count=len(wanted)))

        scores = RowScores.none()
        if query.weighted:
            # Of the rows that the index proposes, only the allowed ones stay: ask for more when those are few.
            share = int(searched.allowed.sum()) / max(1, int(searched.live.sum()))
            limit = len(searched.live) if share <= 0.0 else min(int(depth / share) + 1, len(searched.live))
            proposed = self._index.candidates(searched.cube_id, query.weighted, searched.version, limit)
            rows = np.array(sorted(row for row in proposed if row < len(searched.live)), dtype=np.int64)
            found = of(rows[searched.allowed[rows]])
            telling = found.values > 0.0
            scores = RowScores(found.rows[telling], found.values[telling]).best(depth)
        return LexicalFound(query, scores, of)

    def adopt(self, fork_id: str, origin_id: str, rows: int) -> None:
        """Give a fork a copy of its origin's first `rows` words, as far as they are in memory."""
        origin = self._held.get(origin_id)
        if origin is not None and not origin.building:
            with origin.lock:
                copied = origin.postings.copy(rows)
            with self._guard:
                if not self._closing:
                    self._held.setdefault(fork_id, _Held(copied))

    def forget(self, cube_id: str) -> None:
        """Drop a cube's words: it left memory, or it was erased."""
        with self._guard:
            self._held.pop(cube_id, None)

    def close(self) -> None:
        """Stop building; what was built is forgotten."""
        with self._guard:
            self._closing = True
            self._held.clear()

    # in memory

    def _search_in_memory(
        self, held: _Held, searched: SearchedRows, terms: Sequence[str], depth: int
    ) -> LexicalFound | None:
        """None while the postings are not there yet. Called with the lock held."""
        postings, rows = held.postings, len(searched.live)
        if held.building or rows - len(postings) > self._limits.rows_at_once:
            self._start_building(held, searched)
            return None
        postings.extend(searched.texts[len(postings) : rows])
        query = lexical_query(terms, postings.statistics(terms, searched.live))
        scores = postings.scores(query, searched.allowed)

        def of(wanted: Rows) -> RowScores:
            return RowScores(wanted, scores.find(wanted)[1])

        return LexicalFound(query, scores.best(depth), of)

    def _start_building(self, held: _Held, searched: SearchedRows) -> None:
        if held.building or self._closing:
            return
        held.building = True
        wanted = (searched.cube_id, held, searched.texts, len(searched.live))
        threading.Thread(target=self._build, args=wanted, name=f"words of {searched.cube_id}", daemon=True).start()

    def _build(self, cube_id: str, held: _Held, texts: Sequence[str], rows: int) -> None:
        try:
            while self._held.get(cube_id) is held:  # not any more once the cube is forgotten
                with held.lock:
                    done = len(held.postings)
                    if done >= rows:
                        return
                    held.postings.extend(texts[done : min(done + BUILD_CHUNK_ROWS, rows)])
        finally:
            held.building = False

    def _held_of(self, cube_id: str) -> _Held:
        with self._guard:
            held = self._held.get(cube_id)
            if held is None:
                held = _Held()
                if not self._closing:
                    self._held[cube_id] = held
            return held


def _query_terms(text: str) -> list[str]:
    return list(islice(dict.fromkeys(terms_of(text)), MAX_QUERY_TERMS))
