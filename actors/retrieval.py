"""Search within one cube: the indexes propose rows, the domain scores and fuses them.

What a search may answer is settled first, as a mask over the cube's rows: live at the version searched, and
passing the filter. No index answers outside it, and every number that enters a score comes from this cube.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from actors.errors import Corrupted, InvalidRequest, StorageError
from actors.memory.analysis import terms_of
from actors.memory.filters import Predicate, parse_filter
from actors.memory.ports import LexicalIndex, Mask, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL, LexicalQuery, Ranked, explain, fuse, lexical_query
from actors.memory.requests import Channel, CubeHits, Hit, Moment, SearchCube, Shortfall
from actors.open_cubes import OpenCube

MAX_QUERY_TERMS = 64
"""Distinct terms of a query that count; the first ones of a longer query."""

_FILTER_CHUNK_ROWS = 2048
_TERM_BYTES = 20
"""A term of an analysed text, measured: its place in a tuple, and its share of the tuple's and the row's entries."""


@dataclass(frozen=True, slots=True)
class SearchDepth:
    """How many rows each channel proposes: at least `floor`, and `per_result` for each result asked for.
    With a `floor` below `RankingWeights.peak_rows`, how deep a search goes would sway the fusion.

    A cube with up to `exhaustive_rows` allowed rows is scored row by row. `cached_terms` bounds the memory of
    analysed texts.
    """

    floor: int = 200
    per_result: int = 10
    exhaustive_rows: int = 400
    cached_terms: int = 4_000_000

    def rows(self, top_k: int) -> int:
        return max(self.floor, self.per_result * top_k)


class Freshness(Protocol):
    """How far the indexes have come; the shard's projector."""

    def wait(self, cube_id: str, version: int, timeout_s: float) -> bool: ...

    def behind(self, cube_id: str, version: int) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class _View:
    """What a search needs of a cube, copied out from under its lock. `memory_ids` and `texts` only ever grow."""

    cube_id: str
    version: int
    live: Mask
    memory_ids: Sequence[str]
    texts: Sequence[str]


class CubeSearch:
    """Searches the cubes of a shard. Safe to call from many threads; `model_id` is that of the indexed vectors."""

    def __init__(
        self,
        vectors: VectorIndex,
        lexical: LexicalIndex,
        model_id: str,
        depth: SearchDepth | None = None,
        on_damage: Callable[[str, Corrupted], None] = lambda channel, damage: None,
    ) -> None:
        """`on_damage(channel, what was found)` is told when an index turns out to be damaged."""
        self._vectors = vectors
        self._lexical = lexical
        self._model_id = model_id
        self._depth = depth or SearchDepth()
        self._on_damage = on_damage
        self._terms = _RowTerms(self._depth.cached_terms)

    def search(self, cube: OpenCube, request: SearchCube, freshness: Freshness, wait_s: float) -> CubeHits:
        """The best `request.top_k` memories. Waits up to `wait_s` for the indexes to reach the version searched.

        A channel that lags or fails is named in `degraded`; the others still answer. Raises InvalidRequest
        for a wrong filter, VersionNotFound for a moment that the cube does not know.
        """
        matches = None if request.filter is None else parse_filter(request.filter)
        if request.top_k < 1:
            raise InvalidRequest("top_k must be 1 or more")
        view = _view(cube, request.as_of)
        degraded: list[Shortfall] = []
        if not freshness.wait(view.cube_id, view.version, wait_s):
            lagging = freshness.behind(view.cube_id, view.version)
            degraded += [Shortfall(name, reason) for name, reason in lagging.items() if name in request.channels]
        allowed = view.live if matches is None else _passing(cube, view, matches)
        scores: dict[str, dict[int, float]] = {}
        query = LexicalQuery((), 0.0, 1.0)
        if Channel.LEXICAL in request.channels:
            try:
                query = self._lexical_query(view, request.query)
                scores[LEXICAL] = self._lexical_scores(view, query, allowed, request.top_k)
            except StorageError as error:
                degraded.append(self._shortfall(LEXICAL, error))
        if Channel.DENSE in request.channels:
            self._add_dense(view, request, allowed, scores, degraded)
        self._complete_lexical(view, query, scores)
        ranked = fuse(scores, request.top_k)
        return CubeHits(self._hits(cube, view, query, ranked), tuple(degraded))

    def held_bytes(self, cube_id: str) -> int:
        """What is remembered of a cube's texts takes in memory."""
        return self._terms.held_bytes(cube_id)

    def forget(self, cube_id: str) -> None:
        """Drop what is remembered of a cube's texts: it left memory, or it was erased."""
        self._terms.forget(cube_id)

    # lexical

    def _lexical_query(self, view: _View, text: str) -> LexicalQuery:
        terms = list(islice(dict.fromkeys(terms_of(text)), MAX_QUERY_TERMS))
        return lexical_query(terms, self._lexical.statistics(view.cube_id, terms, view.version))

    def _lexical_scores(self, view: _View, query: LexicalQuery, allowed: Mask, top_k: int) -> dict[int, float]:
        """Row -> score of the allowed rows that hold a term of the query, at least the most promising of them."""
        if not query.weighted:
            return {}
        count = int(allowed.sum())
        if count <= self._depth.exhaustive_rows:
            rows = np.flatnonzero(allowed).tolist()
        else:
            # Of the rows that the index proposes, only the allowed ones stay: ask for more when those are few.
            share = count / max(1, int(view.live.sum()))
            limit = min(int(self._depth.rows(top_k) / share) + 1, len(allowed))
            proposed = self._lexical.candidates(view.cube_id, query.weighted, view.version, limit)
            rows = [row for row in proposed if row < len(allowed) and allowed[row]]
        scored = ((row, self._lexical_score(view, query, row)) for row in rows)
        return {row: score for row, score in scored if score > 0.0}

    def _lexical_score(self, view: _View, query: LexicalQuery, row: int) -> float:
        return query.score(self._terms.of(view.cube_id, row, view.texts[row]))

    def _complete_lexical(self, view: _View, query: LexicalQuery, scores: dict[str, dict[int, float]]) -> None:
        """Score what only the dense channel proposed; without a term that could match, lexical has no say."""
        if LEXICAL not in scores:
            return
        if query.bound <= 0.0 and DENSE in scores:
            del scores[LEXICAL]
            return
        held = scores[LEXICAL]
        for row in scores.get(DENSE, ()):
            if row not in held:
                held[row] = self._lexical_score(view, query, row)

    # dense

    def _add_dense(
        self,
        view: _View,
        request: SearchCube,
        allowed: Mask,
        scores: dict[str, dict[int, float]],
        degraded: list[Shortfall],
    ) -> None:
        if request.query_vector is None:
            degraded.append(Shortfall(DENSE, "the query could not be embedded"))
        elif request.model_id != self._model_id:
            reason = f"the query was embedded by {request.model_id}, the cube by {self._model_id}"
            degraded.append(Shortfall(DENSE, reason))
        else:
            vector = np.ascontiguousarray(request.query_vector, dtype=np.float32).reshape(1, -1)
            depth = self._depth.rows(request.top_k)
            try:
                nearest = dict(self._vectors.search(view.cube_id, vector, allowed, depth))
                others = [row for row in scores.get(LEXICAL, ()) if row not in nearest]
                if others and len(nearest) == depth:
                    only = np.zeros_like(allowed)
                    only[others] = True
                    nearest.update(self._vectors.search(view.cube_id, vector, only, len(others)))
            except StorageError as error:
                degraded.append(self._shortfall(DENSE, error))
            else:
                scores[DENSE] = nearest

    # answering

    def _shortfall(self, channel: str, error: StorageError) -> Shortfall:
        if isinstance(error, Corrupted):
            self._on_damage(channel, error)
        return Shortfall(channel, str(error))

    def _hits(self, cube: OpenCube, view: _View, query: LexicalQuery, ranked: list[Ranked]) -> tuple[Hit, ...]:
        with cube.lock:
            memories = [cube.state.at(view.memory_ids[item.row], view.version) for item in ranked]
        hits = []
        for item, memory in zip(ranked, memories, strict=True):
            matched = query.matched(self._terms.of(view.cube_id, item.row, view.texts[item.row]))
            hits.append(Hit(memory, item.score, item.channels, explain(item, matched)))
        return tuple(hits)


class _RowTerms:
    """Analysed texts of rows, bounded by their terms: those analysed longest ago leave first. A row's text never
    changes. What is there is read without a lock: a dictionary's look-up is atomic.
    """

    def __init__(self, max_terms: int) -> None:
        self._max_terms = max_terms
        self._lock = threading.Lock()
        self._held: dict[str, dict[int, tuple[str, ...]]] = {}
        self._sizes: dict[str, int] = {}
        """Per cube, its terms and one more for each row."""
        self._size = 0

    def of(self, cube_id: str, row: int, text: str) -> tuple[str, ...]:
        held = self._held.get(cube_id)
        known = None if held is None else held.get(row)
        if known is not None:
            return known
        terms = terms_of(text)
        with self._lock:
            rows = self._held.setdefault(cube_id, {})
            if row not in rows:
                rows[row] = terms
                self._grow(cube_id, len(terms) + 1)
            while self._size > self._max_terms:
                self._drop_oldest()
        return terms

    def _grow(self, cube_id: str, by: int) -> None:
        self._sizes[cube_id] = self._sizes.get(cube_id, 0) + by
        self._size += by

    def _drop_oldest(self) -> None:
        cube_id, rows = next(iter(self._held.items()))
        dropped = rows.pop(next(iter(rows)))
        self._grow(cube_id, -len(dropped) - 1)
        if not rows:
            del self._held[cube_id], self._sizes[cube_id]

    def held_bytes(self, cube_id: str) -> int:
        """An estimate: the strings themselves are shared by all rows that hold them."""
        return _TERM_BYTES * self._sizes.get(cube_id, 0)

    def forget(self, cube_id: str) -> None:
        with self._lock:
            self._held.pop(cube_id, None)
            self._size -= self._sizes.pop(cube_id, 0)


def _view(cube: OpenCube, as_of: Moment | None) -> _View:
    with cube.lock:
        state = cube.state
        version = state.version_of(as_of)
        return _View(state.cube_id, version, state.rows.live(version), state.rows.memory_ids, state.rows.texts)


def _passing(cube: OpenCube, view: _View, matches: Predicate) -> Mask:
    """The live rows whose memories match. The lock is held while memories are looked up, chunk by chunk."""
    passing = view.live.copy()
    rows = np.flatnonzero(view.live).tolist()
    for start in range(0, len(rows), _FILTER_CHUNK_ROWS):
        chunk = rows[start : start + _FILTER_CHUNK_ROWS]
        with cube.lock:
            memories = [cube.state.at(view.memory_ids[row], view.version) for row in chunk]
        passing[chunk] = [matches(memory) for memory in memories]
    return passing
