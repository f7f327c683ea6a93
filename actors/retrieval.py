"""Search within one cube: the indexes propose rows, the domain scores and fuses them.

What a search may answer is settled first, as a mask over the cube's rows: live at the version searched, and
passing the filter. No index answers outside it, and every number that enters a score comes from this cube.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from actors.clock import SystemClock
from actors.errors import Corrupted, InvalidRequest, StorageError
from actors.lexical_channel import LexicalChannel, LexicalFound, SearchedRows, WordLimits
from actors.memory.analysis import terms_of
from actors.memory.cube import CubeState
from actors.memory.disclosure import OPEN, Disclosure
from actors.memory.expiry import retrievable, time_of
from actors.memory.filters import Predicate, parse_filter
from actors.memory.ports import Clock, LexicalIndex, Mask, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL, Ranked, RowScores, explain, fuse
from actors.memory.requests import Moment
from actors.memory.search_requests import Channel, CubeHits, Hit, SearchCube, Shortfall
from actors.memory.sources import passes, shown
from actors.open_cubes import OpenCube
from actors.vector_sources import Lineage, VectorSources

_FILTER_CHUNK_ROWS = 2048


@dataclass(frozen=True, slots=True)
class SearchDepth:
    """How many rows each channel proposes: at least `floor`, and `per_result` for each result asked for.
    With a `floor` below `RankingWeights.peak_rows`, how deep a search goes would sway the fusion.
    """

    floor: int = 200
    per_result: int = 10

    def rows(self, top_k: int) -> int:
        return max(self.floor, self.per_result * top_k)


class Freshness(Protocol):
    """How far the indexes have come; the shard's projector."""

    def wait(self, cube_id: str, version: int, timeout_s: float, channels: Container[str]) -> bool: ...

    def behind(self, cube_id: str, version: int, channels: Container[str]) -> dict[str, str]: ...

    def version(self, cube_id: str, newest: int, channel: str) -> int: ...


Seen = Callable[[CubeState], Disclosure]
"""What the caller sees of a cube, under its policy of now."""


def everything(state: CubeState) -> Disclosure:
    return OPEN


@dataclass(frozen=True, slots=True)
class _View:
    """What a search needs of a cube, copied out from under its lock. `memory_ids` and `texts` only ever grow."""

    cube_id: str
    version: int
    live: Mask
    memory_ids: Sequence[str]
    texts: Sequence[str]
    lineage: Lineage
    seen: Disclosure

    def back_to(self, version: int, cube: OpenCube, at_us: int) -> _View:
        """The same cube at an earlier version; itself when it is not later than that."""
        if version >= self.version:
            return self
        return _view(cube, Moment(version=version), at_us, lambda state: self.seen)


class CubeSearch:
    """Searches the cubes of a shard. Safe to call from many threads; `model_id` is that of the indexed vectors."""

    def __init__(
        self,
        vectors: VectorIndex,
        lexical: LexicalIndex,
        model_id: str,
        depth: SearchDepth | None = None,
        words: WordLimits | None = None,
        on_damage: Callable[[str, Corrupted], None] = lambda channel, damage: None,
        clock: Clock | None = None,
    ) -> None:
        """`on_damage(channel, what was found)` is told when an index turns out to be damaged."""
        self.vectors = VectorSources(vectors)
        self._words = LexicalChannel(lexical, words)
        self._model_id = model_id
        self._depth = depth or SearchDepth()
        self._on_damage = on_damage
        self._clock = clock or SystemClock()

    def search(
        self,
        cube: OpenCube,
        request: SearchCube,
        freshness: Freshness,
        wait_s: float,
        promised: int | None = None,
        seen: Seen = everything,
    ) -> CubeHits:
        """The best `request.top_k` memories. Waits up to `wait_s` for the indexes to reach the version searched.

        Without `as_of`, that is the newest version whose vectors are there, `promised` at least: up to there somebody
        was told that it is done. So nobody waits for what others are just adding. None: everything was promised.

        `seen` says what the caller sees of the cube: nothing else is searched, filtered by or answered.

        A channel that lags or fails is named in `degraded`; the others still answer. Raises InvalidRequest
        for a wrong filter, VersionNotFound for a moment that the cube does not know.
        """
        matches = None if request.filter is None else parse_filter(request.filter)
        if request.top_k < 1:
            raise InvalidRequest("top_k must be 1 or more")
        at_us = _time(cube, request.as_of, self._clock.now_us())
        view = _settled_view(cube, request, at_us, freshness, promised, seen)
        degraded: list[Shortfall] = []

        def await_index(channel: str) -> None:
            if not freshness.wait(view.cube_id, view.version, wait_s, (channel,)):
                behind = freshness.behind(view.cube_id, view.version, (channel,))
                degraded.extend(Shortfall(name, reason) for name, reason in behind.items())

        if Channel.DENSE in request.channels:
            await_index(DENSE)
        allowed = view.live if matches is None else _passing(cube, view, matches)
        scores: dict[str, RowScores] = {}
        found: LexicalFound | None = None
        if Channel.LEXICAL in request.channels:
            found = self._lexical(view, request, allowed, degraded, await_index)
            if found is not None:
                scores[LEXICAL] = found.scores
        if Channel.DENSE in request.channels:
            self._add_dense(view, request, allowed, scores, degraded)
        if found is not None:
            _complete_lexical(found, scores)
        return CubeHits(self._hits(cube, view, request, found, fuse(scores, request.top_k)), tuple(degraded))

    def held_bytes(self, cube_id: str) -> int:
        """What a cube's vectors, and what is remembered of its texts, take in memory."""
        return self.vectors.held_bytes(cube_id) + self._words.held_bytes(cube_id)

    def adopt(self, fork_id: str, origin_id: str, rows: int) -> None:
        """Let a fork that just began have what is remembered of its origin's first texts."""
        self._words.adopt(fork_id, origin_id, rows)

    def forget(self, cube_id: str) -> None:
        """Drop a cube's vectors from memory, and what is remembered of its texts: it left memory, or it was erased."""
        self.vectors.forget(cube_id)
        self._words.forget(cube_id)

    def close(self) -> None:
        """Stop what works in the background."""
        self._words.close()

    # lexical

    def _lexical(
        self,
        view: _View,
        request: SearchCube,
        allowed: Mask,
        degraded: list[Shortfall],
        await_index: Callable[[str], None],
    ) -> LexicalFound | None:
        searched = SearchedRows(view.cube_id, view.version, view.texts, view.live, allowed)
        depth = self._depth.rows(request.top_k)
        found = self._words.search(searched, request.query, depth)
        if found is None:
            await_index(LEXICAL)
            try:
                found = self._words.search_stored(searched, request.query, depth)
            except StorageError as error:
                degraded.append(self._shortfall(LEXICAL, error))
        return found

    # dense

    def _add_dense(
        self,
        view: _View,
        request: SearchCube,
        allowed: Mask,
        scores: dict[str, RowScores],
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
                nearest = dict(self.vectors.search(view.cube_id, view.lineage, vector, allowed, depth))
                others = [row for row in _rows_of(scores.get(LEXICAL)) if row not in nearest]
                if others and len(nearest) == depth:
                    only = np.zeros_like(allowed)
                    only[others] = True
                    nearest.update(self.vectors.search(view.cube_id, view.lineage, vector, only, len(others)))
            except StorageError as error:
                degraded.append(self._shortfall(DENSE, error))
            else:
                scores[DENSE] = RowScores.of(nearest)

    # answering

    def _shortfall(self, channel: str, error: StorageError) -> Shortfall:
        if isinstance(error, Corrupted):
            self._on_damage(channel, error)
        return Shortfall(channel, str(error))

    def _hits(
        self, cube: OpenCube, view: _View, request: SearchCube, found: LexicalFound | None, ranked: list[Ranked]
    ) -> tuple[Hit, ...]:
        with cube.lock:
            memories = [
                None if memory is None else shown(cube.state, memory, view.version)
                for memory in (cube.state.was(view.memory_ids[item.row], view.version) for item in ranked)
            ]
        hits = []
        for item, memory in zip(ranked, memories, strict=True):
            if memory is None:  # erased while this search ran
                continue
            reason = ""
            if request.explain:
                matched = [] if found is None else found.query.matched(terms_of(view.texts[item.row]))
                reason = explain(item, matched)
            hits.append(Hit(view.seen.shown(memory), item.score, item.channels, reason))
        return tuple(hits)


def _complete_lexical(found: LexicalFound, scores: dict[str, RowScores]) -> None:
    """Score what only the dense channel proposed; without a term that could match, lexical has no say."""
    dense = scores.get(DENSE)
    if dense is None:
        return
    if found.query.bound <= 0.0:
        del scores[LEXICAL]
        return
    scores[LEXICAL] = found.of(np.union1d(scores[LEXICAL].rows, dense.rows))


def _rows_of(scores: RowScores | None) -> list[int]:
    return [] if scores is None else scores.rows.tolist()


def _time(cube: OpenCube, as_of: Moment | None, now_us: int) -> int:
    with cube.lock:
        return time_of(cube.state, as_of, now_us)


def _settled_view(
    cube: OpenCube, request: SearchCube, at_us: int, freshness: Freshness, promised: int | None, seen: Seen
) -> _View:
    """What the search looks at; see `CubeSearch.search`."""
    view = _view(cube, request.as_of, at_us, seen)
    if request.as_of is None and promised is not None and Channel.DENSE in request.channels:
        view = view.back_to(max(promised, freshness.version(view.cube_id, view.version, DENSE)), cube, at_us)
    return view


def _view(cube: OpenCube, as_of: Moment | None, at_us: int, seen: Seen) -> _View:
    with cube.lock:
        state = cube.state
        version, rows, disclosure = state.version_of(as_of), state.rows, seen(state)
        live = retrievable(state, version, at_us)
        if disclosure.withholds:
            live &= cube.covered.of(rows, disclosure)
        return _View(state.cube_id, version, live, rows.memory_ids, rows.texts, rows.lineage, disclosure)


def _passing(cube: OpenCube, view: _View, matches: Predicate) -> Mask:
    """The live rows whose memories, or sources of theirs, match. The lock is held while these are looked up."""
    passing = view.live.copy()
    rows = np.flatnonzero(view.live).tolist()
    for start in range(0, len(rows), _FILTER_CHUNK_ROWS):
        chunk = rows[start : start + _FILTER_CHUNK_ROWS]
        with cube.lock:
            memories = [cube.state.held_then(view.memory_ids[row], view.version) for row in chunk]
        passing[chunk] = [memory is not None and matches(view.seen.shown(memory)) for memory in memories]
        with cube.lock:
            for row, memory in zip(chunk, memories, strict=True):
                if memory is not None and not passing[row] and memory.id in cube.state.relations.absorbed:
                    passing[row] = passes(cube.state, memory, view.version, lambda each: matches(view.seen.shown(each)))
    return passing
