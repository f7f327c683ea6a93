"""How a cube's rows are scored and fused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.memory.ports import CorpusStatistics
from actors.memory.ranking import (
    WEIGHTS,
    Ranked,
    RowScores,
    channel_weights,
    explain,
    fuse,
    inverse_document_frequency,
    lexical_query,
    peakedness,
)

STATISTICS = CorpusStatistics(documents=10, total_terms=50, document_frequency=(1, 5, 0))


def test_bm25_is_the_published_formula_over_its_bound() -> None:
    query = lexical_query(["rare", "usual", "unknown"], STATISTICS)
    rare, usual, unknown = (math.log(1 + (10 - n + 0.5) / (n + 0.5)) for n in (1, 5, 0))
    pull = WEIGHTS.k1 * (1 - WEIGHTS.b + WEIGHTS.b * 4 / 5)
    expected = (rare * 2 / (2 + pull) + usual * 1 / (1 + pull)) / (rare + usual + unknown)
    assert query.score(["rare", "rare", "usual", "other"]) == pytest.approx(expected)
    assert query.score(["other"]) == 0.0


def test_a_rare_word_tells_more_and_a_shorter_text_scores_higher() -> None:
    query = lexical_query(["rare", "usual", "unknown"], STATISTICS)
    assert query.score(["rare"]) > query.score(["usual"])
    assert query.score(["rare"]) > query.score(["rare", *["filler"] * 20])
    assert query.matched(["usual", "rare", "x"]) == ["rare", "usual"]


def test_terms_that_the_cube_does_not_hold_lower_the_score() -> None:
    known = lexical_query(["rare"], CorpusStatistics(10, 50, (1,)))
    partly = lexical_query(["rare", "unknown"], CorpusStatistics(10, 50, (1, 0)))
    assert partly.score(["rare"]) < known.score(["rare"]) < 1.0


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_weight_of_a_term_is_positive_and_falls_with_its_frequency(frequency: int, documents: int) -> None:
    weight = inverse_document_frequency(frequency, documents)
    assert weight > 0.0
    assert inverse_document_frequency(frequency + 1, max(documents, frequency + 1)) <= weight or documents <= frequency


def test_an_empty_cube_or_query_scores_nothing() -> None:
    assert lexical_query(["a"], CorpusStatistics(0, 0, (0,))).score(["a"]) == 0.0
    assert lexical_query([], CorpusStatistics(3, 9, ())).score(["a"]) == 0.0


def test_fusion_is_the_weighted_mean_of_the_channels_that_answered() -> None:
    scores = {"dense": RowScores.of({2: 0.5, 1: 0.5}), "lexical": RowScores.of({1: 0.4})}
    shares = channel_weights(scores)
    assert sum(shares.values()) == pytest.approx(1.0)
    best, other = fuse(scores, 5)
    assert best.row == 1
    assert best.score == pytest.approx(0.5 * shares["dense"] + 0.4 * shares["lexical"])
    assert other.score == pytest.approx(0.5 * shares["dense"])
    assert dict(other.channels) == {"dense": 0.5}


def test_one_channel_alone_keeps_its_own_scale() -> None:
    assert [(item.row, item.score) for item in fuse({"dense": RowScores.of({3: 0.9, 4: 0.1})}, 5)] == [
        (3, 0.9),
        (4, 0.1),
    ]
    assert fuse({}, 5) == []


def test_the_more_dense_stands_out_the_less_lexical_counts() -> None:
    def lexical_share(best: float, rows: int) -> float:
        dense = RowScores.of({0: best, **dict.fromkeys(range(1, rows), 0.3)})
        return channel_weights({"dense": dense, "lexical": RowScores.of({0: 0.3})})["lexical"]

    assert lexical_share(0.9, 200) < lexical_share(0.4, 200) < lexical_share(0.3, 200)
    assert lexical_share(0.9, 200) == lexical_share(0.9, 5000)
    assert lexical_share(0.9, 200) < lexical_share(0.9, 20) < lexical_share(0.9, 2), "few rows tell little"
    for flat in ([0.5] * 10, [], [-0.1, -0.5]):
        assert peakedness(np.array(flat, dtype=np.float64), 10) == 0.0


def test_a_channel_nobody_knows_yet_counts_like_dense() -> None:
    shares = channel_weights({"dense": RowScores.of({1: 0.2}), "graph": RowScores.of({1: 0.2})})
    assert shares == {"dense": 0.5, "graph": 0.5}


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from([0.0, 0.25, 0.5])), unique_by=lambda pair: pair[0]))
def test_equal_scores_stand_newest_first_however_the_rows_came(pairs: list[tuple[int, float]]) -> None:
    ranked = [(item.score, item.row) for item in fuse({"dense": RowScores.of(dict(pairs))}, 100)]
    assert ranked == sorted(ranked, reverse=True)


@given(
    st.dictionaries(st.integers(0, 40), st.sampled_from([0.0, 0.25, 0.5, 0.75])),
    st.integers(0, 12),
    st.lists(st.integers(0, 50), unique=True),
)
def test_the_best_are_the_highest_the_newest_of_equal_ones(
    scores: dict[int, float], count: int, asked: list[int]
) -> None:
    best = RowScores.of(scores).best(count)
    expected = sorted(scores, key=lambda row: (-scores[row], -row))[:count]
    assert best.rows.tolist() == sorted(expected)
    held, values = best.find(np.array(asked, dtype=np.int64))
    assert held.tolist() == [row in expected for row in asked]
    assert values.tolist() == [scores[row] if row in expected else 0.0 for row in asked]


def test_the_reason_names_cosine_and_words() -> None:
    both = explain(Ranked(1, 0.4, {"dense": 0.61, "lexical": 0.3}), ["group", "support"])
    assert both == "close in meaning (cosine 0.61); holds 'group', 'support'"
    assert explain(Ranked(1, 0.4, {"lexical": 0.0, "dense": 0.1}), []).endswith("holds no word of the query")
    assert explain(Ranked(1, 0.4, {"lexical": 0.2}), list("abcdefg")).endswith("and 2 more")
