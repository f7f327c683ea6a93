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
class Ranked:
    """A row with its fused score and the channel scores that it is made of."""

    row: int
    score: float
    channels: Mapping[str, float]


def channel_weights(scores: Mapping[str, Mapping[int, float]], weights: RankingWeights = WEIGHTS) -> dict[str, float]:
    """How much each channel that answered counts for this query, adding up to 1."""
    raw = dict.fromkeys(scores, 1.0)
    if LEXICAL in raw:
        raw[LEXICAL] = weights.lexical
        if DENSE in raw:
            peak = peakedness(list(scores[DENSE].values()), weights.peak_depth)
            share = min(1.0, len(scores[DENSE]) / weights.peak_rows)
            raw[LEXICAL] *= math.exp(-weights.dense_trust * (peak - weights.usual_peak) * share)
    total = sum(raw.values())
    return {name: weight / total for name, weight in raw.items()}


def peakedness(scores: Sequence[float], depth: int) -> float:
    """By how much of itself the best score exceeds the `depth`-th best (or the last), in [0, 1]."""
    best = sorted(scores, reverse=True)[:depth]
    if len(best) < 2 or best[0] <= 0.0:
        return 0.0
    return min(1.0, (best[0] - best[-1]) / best[0])


def fuse(scores: Mapping[str, Mapping[int, float]], top_k: int, weights: RankingWeights = WEIGHTS) -> list[Ranked]:
    """The `top_k` best rows by the weighted mean of `scores` ({channel: {row: score}}), best first.

    A row that a channel did not score counts 0 there. Equal scores stand in order of row, newest first.
    """
    shares = channel_weights(scores, weights)
    rows = set().union(*scores.values()) if scores else set()
    fused = [(sum(shares[name] * channel.get(row, 0.0) for name, channel in scores.items()), row) for row in rows]
    fused.sort(key=lambda pair: (-pair[0], -pair[1]))
    return [
        Ranked(row, score, {name: channel[row] for name, channel in scores.items() if row in channel})
        for score, row in fused[:top_k]
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
