"""The terms of a cube's rows in memory: an inverted index that scores every row exactly.

What a cube's words score is arithmetic on its own numbers, so a cube that is in use keeps them as arrays:
per term the rows that hold it and how often, per row its length. A search masks them by version. The sums
are those of `ranking.LexicalQuery.score`, in the same order, so both give the same bits.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from actors.memory.analysis import terms_of
from actors.memory.ports import CorpusStatistics, Mask
from actors.memory.ranking import WEIGHTS, LexicalQuery, RankingWeights, RowScores

_COUNT_BITS = 16
_COUNT_MASK = (1 << _COUNT_BITS) - 1
"""A posting is one integer, row << 16 | times; a text has fewer terms than that (`analysis.MAX_TERMS`)."""

_TERM_BYTES = 200
_POSTING_BYTES = 8
_ROW_BYTES = 4


class Postings:
    """Rows are numbered from 0 in the order in which they are given. Not thread-safe: its owner guards it."""

    def __init__(self) -> None:
        self._lists: dict[str, array[int]] = {}
        self._lengths = array("i")
        self._postings = 0

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._lengths)

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return _TERM_BYTES * len(self._lists) + _POSTING_BYTES * self._postings + _ROW_BYTES * len(self._lengths)

    def copy(self, rows: int) -> Postings:
        """A copy of the first `rows` rows, or all when there are fewer."""
        copied, bound = Postings(), rows << _COUNT_BITS
        for term, held in self._lists.items():
            kept = held[:] if held[-1] < bound else held[: bisect_left(held, bound)]
            if kept:
                copied._lists[term] = kept
                copied._postings += len(kept)
        copied._lengths = self._lengths[:rows]
        return copied

    def extend(self, texts: Iterable[str]) -> None:
        """Take in the next rows."""
        for text in texts:
            terms, row = terms_of(text), len(self._lengths)
            self._lengths.append(len(terms))
            for term, times in Counter(terms).items():
                held = self._lists.get(term)
                if held is None:
                    held = self._lists[term] = array("q")
                held.append(row << _COUNT_BITS | times)
                self._postings += 1

    def statistics(self, terms: Sequence[str], live: Mask) -> CorpusStatistics:
        """Of the rows of `live`, of shape (rows,) or fewer: what `LexicalIndex.statistics` answers at that version."""
        lengths = self._lengths_of(live)
        frequency = (int(np.count_nonzero(live[self._rows(term, len(live))[0]])) for term in terms)
        return CorpusStatistics(int(np.count_nonzero(live)), int(lengths[live].sum()), tuple(frequency))

    def scores(self, query: LexicalQuery, allowed: Mask, weights: RankingWeights = WEIGHTS) -> RowScores:
        """Of every allowed row that holds a term of the query, its share of the bound; in order of row."""
        if query.bound <= 0.0 or not query.weighted:
            return RowScores.none()
        lengths = self._lengths_of(allowed)
        total = np.zeros(len(allowed), dtype=np.float64)
        for term, weight in query.weighted:
            rows, times = self._rows(term, len(allowed))
            held = allowed[rows]
            rows, times = rows[held], times[held]
            pull = weights.k1 * (1.0 - weights.b + weights.b * lengths[rows] / query.mean_terms)
            total[rows] += weight * times / (times + pull)
        found = np.flatnonzero(total)
        return RowScores(found, total[found] / query.bound)

    def _lengths_of(self, mask: Mask) -> npt.NDArray[np.int32]:
        return np.frombuffer(self._lengths, dtype=np.int32, count=len(mask))

    def _rows(self, term: str, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(rows, times) of a term among the first `count` rows."""
        held = self._lists.get(term)
        if held is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        packed = np.frombuffer(held, dtype=np.int64)
        if len(self._lengths) > count:
            packed = packed[: np.searchsorted(packed, count << _COUNT_BITS)]
        return packed >> _COUNT_BITS, packed & _COUNT_MASK
