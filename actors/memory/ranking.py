"""Ranking: a cube's candidates scored by each channel on absolute scales, then fused.

Every channel's score lies in [-1, 1] and depends on the query and the cube's own rows alone, never on the
result list or on another cube, so that hits of several cubes can be merged by score:

- dense: the cosine of query and text.
- lexical: BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) over
  the cube's own statistics, divided by the most that any text could reach for this query.

Fusion is the weighted mean of the channels that answered (score fusion, not reciprocal ranks).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.memory.ports import CorpusStatistics

DENSE = "dense"
LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class RankingWeights:
    """Every number that ranking turns on.

    `k1` and `b` are BM25's. `lexical` is the lexical channel's weight beside dense's 1. The more the best cosine
    stands out from the ones behind it, the less lexical counts: the weight is multiplied by
    exp(-`dense_trust` * (peak - `usual_peak`)), peak being (first - tenth) / first. Among fewer than
    `peak_rows` rows the tenth is far behind for no reason but their number, so the peak counts in proportion.
    """

    k1: float = 0.9
    b: float = 0.4
    lexical: float = 2.5
    dense_trust: float = 2.0
    usual_peak: float = 0.2
    peak_depth: int = 10
    peak_rows: int = 200


WEIGHTS = RankingWeights()


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """A query's distinct terms that the cube holds, with their weights, and what scoring a row takes.

    `bound` is the highest BM25 that any text could reach, terms that the cube does not hold included:
    a query that is mostly unknown to a cube scores low there.
    """

    weighted: tuple[tuple[str, float], ...]
    bound: float
    mean_terms: float

    def score(self, terms: Sequence[str], weights: RankingWeights = WEIGHTS) -> float:
        """A row's share of the bound, in [0, 1); `terms` are the row's analysed terms, repeats included."""
        if self.bound <= 0.0:
            return 0.0
        pull = weights.k1 * (1.0 - weights.b + weights.b * len(terms) / self.mean_terms)
        total = 0.0
        for term, weight in self.weighted:
            times = terms.count(term)
            if times:
                total += weight * times / (times + pull)
        return total / self.bound

    def matched(self, terms: Sequence[str]) -> list[str]:
        """The query terms that a row holds, the most telling first."""
        held = frozenset(terms)
        return [term for term, _ in self.weighted if term in held]


def lexical_query(terms: Sequence[str], statistics: CorpusStatistics) -> LexicalQuery:
    """Weigh `terms` (distinct) by how rare they are in the cube; `statistics` were asked for the same terms."""
    weighted: list[tuple[str, float]] = []
    bound = 0.0
    for term, frequency in zip(terms, statistics.document_frequency, strict=True):
        weight = inverse_document_frequency(frequency, statistics.documents)
        bound += weight
        if frequency > 0:
            weighted.append((term, weight))
    weighted.sort(key=lambda pair: (-pair[1], pair[0]))
    mean_terms = statistics.total_terms / statistics.documents if statistics.documents else 0.0
    return LexicalQuery(tuple(weighted), bound, max(mean_terms, 1.0))


def inverse_document_frequency(frequency: int, documents: int) -> float:
    """BM25's weight of a term, always above 0: ln(1 + (N - n + 0.5) / (n + 0.5))."""
    return math.log1p((max(documents, frequency) - frequency + 0.5) / (frequency + 0.5))


@dataclass(frozen=True, slots=True)
class RowScores:
    """What a channel gave to rows: `rows` ascending, each once, and `values` of the same shape."""

    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @staticmethod
    def none() -> RowScores:
        return RowScores(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float64))

    @staticmethod
    def of(scores: Mapping[int, float]) -> RowScores:
        rows = np.fromiter(scores, dtype=np.int64, count=len(scores))
        values = np.fromiter(scores.values(), dtype=np.float64, count=len(scores))
        order = np.argsort(rows)
        return RowScores(rows[order], values[order])

    def __len__(self) -> int:
        return len(self.rows)

    def best(self, count: int) -> RowScores:
        """The `count` highest; of equal ones the newest."""
        if len(self.rows) <= count:
            return self
        if count < 1:
            return RowScores.none()
        threshold = np.partition(self.values, -count)[-count]
        kept = np.flatnonzero(self.values >= threshold)
        order = np.lexsort((-self.rows[kept], -self.values[kept]))[:count]
        chosen = np.sort(kept[order])
        return RowScores(self.rows[chosen], self.values[chosen])

    def find(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        """Which of `rows` have a score, and the scores, 0 for those without one."""
        if not len(self.rows):
            return np.zeros(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.float64)
        places = np.searchsorted(self.rows, rows)
        np.minimum(places, len(self.rows) - 1, out=places)
        held = self.rows[places] == rows
        return held, np.where(held, self.values[places], 0.0)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row with its fused score and the channel scores that it is made of."""

    row: int
    score: float
    channels: Mapping[str, float]


def channel_weights(scores: Mapping[str, RowScores], weights: RankingWeights = WEIGHTS) -> dict[str, float]:
    """How much each channel that answered counts for this query, adding up to 1."""
    raw = dict.fromkeys(scores, 1.0)
    if LEXICAL in raw:
        raw[LEXICAL] = weights.lexical
        if DENSE in raw:
            peak = peakedness(scores[DENSE].values, weights.peak_depth)
            share = min(1.0, len(scores[DENSE]) / weights.peak_rows)
            raw[LEXICAL] *= math.exp(-weights.dense_trust * (peak - weights.usual_peak) * share)
    total = sum(raw.values())
    return {name: weight / total for name, weight in raw.items()}


def peakedness(scores: npt.NDArray[np.float64], depth: int) -> float:
    """By how much of itself the best score exceeds the `depth`-th best (or the last), in [0, 1]."""
    best: list[float] = np.sort(scores)[::-1][:depth].tolist()
    if len(best) < 2 or best[0] <= 0.0:
        return 0.0
    return min(1.0, (best[0] - best[-1]) / best[0])


def fuse(scores: Mapping[str, RowScores], top_k: int, weights: RankingWeights = WEIGHTS) -> list[Ranked]:
    """The `top_k` best rows by the weighted mean of `scores` ({channel: scores}), best first.

    A row that a channel did not score counts 0 there. Equal scores stand in order of row, newest first.
    """
    if not scores:
        return []
    shares = channel_weights(scores, weights)
    rows = np.unique(np.concatenate([channel.rows for channel in scores.values()]))
    fused = np.zeros(len(rows), dtype=np.float64)
    for name, channel in scores.items():
        fused += shares[name] * channel.find(rows)[1]
    order = np.lexsort((-rows, -fused))[:top_k]
    best = rows[order]
    parts = {name: [part.tolist() for part in channel.find(best)] for name, channel in scores.items()}
    return [
        Ranked(row, score, {name: values[place] for name, (held, values) in parts.items() if held[place]})
        for place, (row, score) in enumerate(zip(best.tolist(), fused[order].tolist(), strict=True))
    ]


def explain(ranked: Ranked, matched: Sequence[str]) -> str:
    """Why a row was found, in words; `matched` are the query terms that it holds, the most telling first."""
    parts = []
    dense = ranked.channels.get(DENSE)
    if dense is not None:
        closeness = "close" if dense >= 0.5 else "related" if dense >= 0.25 else "far"
        parts.append(f"{closeness} in meaning (cosine {dense:.2f})")
    if matched:
        shown = ", ".join(repr(term) for term in matched[:5])
        parts.append(f"holds {shown}" + (f" and {len(matched) - 5} more" if len(matched) > 5 else ""))
    elif LEXICAL in ranked.channels:
        parts.append("holds no word of the query")
    return "; ".join(parts)
