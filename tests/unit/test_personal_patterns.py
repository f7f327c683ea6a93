"""Addresses and numbers, in the forms that people write, and what only looks like one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from actors.models.personal_names import spoken_names
from actors.models.personal_patterns import Scored, cards, emails, ibans, phones
from actors.models.recognition import check_regex

Find = Callable[[str], Iterator[Scored]]


def _found(find: Find, text: str) -> list[str]:
    return [text[start:end] for start, end, _ in find(text)]


@pytest.mark.parametrize(
    ("find", "text", "found"),
    [
        (emails, "to ann.x+news@mail.example.co.uk, ok", ["ann.x+news@mail.example.co.uk"]),
        (emails, "mailto:ANN@EXAMPLE.ORG.", ["ANN@EXAMPLE.ORG"]),
        (emails, "<élise@müller.рф>", ["élise@müller.рф"]),
        (emails, "bob [at] example [dot] org", ["bob [at] example [dot] org"]),
        (emails, "bob at example dot com", ["bob at example dot com"]),
        (emails, "meet me at noon, @ann", []),
        (cards, "4111 1111 1111 1111 exp 12/27", ["4111 1111 1111 1111"]),
        (cards, "5 cards: 3782-822463-10005", ["3782-822463-10005"]),
        (cards, "4111.1111.1111.1111!", ["4111.1111.1111.1111"]),
        (cards, "4111 1111 1111 1112", []),
        (cards, "0000 0000 0000 0000", []),
        (ibans, "DE89 3704 0044 0532 0130 00 by Friday", ["DE89 3704 0044 0532 0130 00"]),
        (ibans, "gb82west12345698765432 thanks", ["gb82west12345698765432"]),
        (ibans, "NO93-8601-1117-947 2 days", ["NO93-8601-1117-947"]),
        (ibans, "DE89 3704 0044 0532 0130 01", []),
        (phones, "call (415) 555-2671 or +44 20 7946 0958.", ["(415) 555-2671", "+44 20 7946 0958"]),
        (phones, "0033 1 42 68 53 00", ["0033 1 42 68 53 00"]),
        (phones, "030 901820, 0151 23456789", ["030 901820", "0151 23456789"]),
        (phones, "on 2023-05-08, 08/05/2023, 2019-2023, at 10.0.0.1", []),
        (phones, "it cost 1,299.99, order 12", []),
    ],
)
def test_what_is_found_in(find: Find, text: str, found: list[str]) -> None:
    assert _found(find, text) == found


@pytest.mark.parametrize("find", [emails, cards, ibans, phones, spoken_names])
@pytest.mark.parametrize(
    "text", ["a" * 60_000, "1" * 60_000, "1 " * 30_000, "a.b-" * 15_000, "DE89 " * 12_000, "Hi A " * 9_000]
)
def test_a_long_text_without_anything_is_read_to_its_end(find: Find, text: str) -> None:
    for _ in find(text):
        pass


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("my name is caroline", ["caroline"]),
        ("Hi Ngozi, how are you?", ["Ngozi"]),
        ("Dr. Anna Müller-Lüdenscheidt said", ["Anna Müller-Lüdenscheidt"]),
        ("Hi there, thanks everyone! My name is not important", []),
    ],
)
def test_names_that_the_words_around_tell(text: str, names: list[str]) -> None:
    assert _found(spoken_names, text) == names


@pytest.mark.parametrize("wrong", ["(", "[a-", "(?P<x", "a*", ""])
def test_a_pattern_that_is_none_or_finds_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):
        check_regex(wrong)
