"""The words of a cube in memory score as the domain's formula does, bit for bit, at every version."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actors.memory.analysis import terms_of
from actors.memory.ports import CorpusStatistics, LexicalDocument
from actors.memory.postings import Postings
from actors.memory.ranking import lexical_query
from actors.stores.lexical.plain import PlainLexicalIndex

WORDS = "tea milk bees goats Oslo Kent boat house rain honey".split()
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join), max_size=25)
QUERY = ["tea", "bee", "goat", "honey", "unknown"]


@given(TEXTS, st.data())
def test_scores_and_statistics_are_those_of_the_formula(texts: list[str], data: st.DataObject) -> None:
    masks = st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))
    live = np.array(data.draw(masks), dtype=np.bool_)
    allowed = live & np.array(data.draw(masks), dtype=np.bool_)
    postings = Postings()
    postings.extend(texts)
    statistics = postings.statistics(QUERY, live)
    rows = [terms_of(text) for text, there in zip(texts, live, strict=True) if there]
    frequency = tuple(sum(term in row for row in rows) for term in QUERY)
    assert statistics == CorpusStatistics(len(rows), sum(map(len, rows)), frequency)
    query = lexical_query(QUERY, statistics)
    found = postings.scores(query, allowed)
    expected = {row: query.score(terms_of(texts[row])) for row in np.flatnonzero(allowed).tolist()}
    assert dict(zip(found.rows.tolist(), found.values.tolist(), strict=True)) == {
        row: score for row, score in expected.items() if score > 0.0
    }


@given(TEXTS, st.integers(0, 25))
def test_rows_that_came_later_change_nothing_of_an_earlier_version(texts: list[str], count: int) -> None:
    count = min(count, len(texts))
    then, now = Postings(), Postings()
    then.extend(texts[:count])
    for text in texts:
        now.extend([text])
    assert (len(then), len(now)) == (count, len(texts))
    live = np.ones(count, dtype=np.bool_)
    assert now.statistics(QUERY, live) == then.statistics(QUERY, live)
    query = lexical_query(QUERY, then.statistics(QUERY, live))
    one, other = then.scores(query, live), now.scores(query, live)
    assert (one.rows.tolist(), one.values.tolist()) == (other.rows.tolist(), other.values.tolist())


def test_the_index_on_storage_and_the_one_in_memory_count_alike() -> None:
    texts = ["tea and bees", "bees", "goats of Oslo", "tea tea tea"]
    stored, held = PlainLexicalIndex(), Postings()
    held.extend(texts)
    stored.put([LexicalDocument("c", row, terms_of(text), row + 1, 99) for row, text in enumerate(texts)])
    stored.flush(1)
    assert held.statistics(QUERY, np.ones(4, dtype=np.bool_)) == stored.statistics("c", QUERY, 4)
    assert held.size_bytes > 0
