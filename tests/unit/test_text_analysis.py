"""What counts as the same word."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.memory.analysis import MAX_TERM_CHARS, MAX_TERMS, terms_of


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Running RUNS ran", ("run", "run", "ran")),
        ("Caroline's and Caroline\u2019s groups", ("carolin", "carolin", "group")),
        ("I don't know what you'll do", ("know",)),
        ("O'Brien", ("obrien",)),
        ("7 May 2023, 3:45pm", ("7", "may", "2023", "3", "45pm")),
        ("naïve CAFÉ \uff21\uff22\uff23", ("naïve", "café", "abc")),
        ("Straße STRASSE", ("strass", "strass")),
        ("support_group c++ e-mail", ("support", "group", "c", "e", "mail")),
        ("東京都 と tokyo", ("東京", "京都", "と", "tokyo")),
        ("", ()),
        ("the of and", ()),
        ("😀 …", ()),
    ],
)
def test_words_are_folded_stemmed_and_stripped_of_stop_words(text: str, terms: tuple[str, ...]) -> None:
    assert terms_of(text) == terms


def test_no_term_and_no_text_is_unbounded() -> None:
    assert [len(term) for term in terms_of("x" * 100_000)] == [MAX_TERM_CHARS]
    assert len(terms_of("word " * (MAX_TERMS + 10))) == MAX_TERMS


@given(st.text(max_size=200))
def test_terms_hold_neither_blanks_nor_capitals_and_are_the_same_every_time(text: str) -> None:
    terms = terms_of(text)
    assert all(term and len(term.split()) == 1 and term == term.casefold() for term in terms)
    assert terms == terms_of(text)


def test_threads_do_not_disturb_each_other() -> None:
    words = [f"connecting{n}s gatherings{n}" for n in range(2000)]
    expected = [terms_of(word) for word in words[:200]]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(terms_of, words))[:200] == expected
