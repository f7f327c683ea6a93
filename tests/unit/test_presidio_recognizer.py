"""The real recognizer: what it finds, that it calls nothing, and that what it cannot read is never passed as clean."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from actors.errors import ScreeningTooSlow
from actors.memory.policy import ENTITIES
from actors.memory.redaction import resolved
from actors.memory.screening import KINDS, Nature, Passage
from actors.models.presidio import NLP_CHARS, PresidioRecognizer
from actors.models.recognition import CustomPattern, CustomRecognizer, RecognizerSpec
from jobs.bench.planted import HALVES, sentences

BADGE = CustomRecognizer(
    "badges", "BADGE", (CustomPattern(r"\bB-\d{4}\b", 0.9), CustomPattern(r"\b\d{4}\b", 0.1)), ("badge",)
)
UNLUCKY = CustomRecognizer("unlucky", "UNLUCKY", (CustomPattern(r"(?:a|aa)+b", 0.9),))


@pytest.fixture(scope="module")
def recognizer() -> Iterator[PresidioRecognizer]:
    """Loaded, and used, where no socket can be opened."""

    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("something called out")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, refused, raising=False)
        patch.setattr(socket, "getaddrinfo", refused)
        yield PresidioRecognizer(RecognizerSpec(custom=(BADGE, UNLUCKY), regex_timeout_s=0.05))


def _found(recognizer: PresidioRecognizer, text: str, *kinds: str, nature: Nature = Nature.PROSE) -> dict[str, str]:
    [spans] = recognizer.find([Passage(text, nature)], kinds)
    return {text[span.start : span.end]: span.kind for span in resolved(text, spans)}


def test_it_finds_each_kind_in_a_sentence(recognizer: PresidioRecognizer) -> None:
    text = (
        "Sofia Rossi wrote from sofia@example.org, her phone is +44 20 7946 0958, her card 4111 1111 1111 1111, "
        "her IBAN DE89 3704 0044 0532 0130 00, her badge B-1234, her SSN 536-22-1234; she is at 10.0.0.1."
    )
    assert _found(recognizer, text) == {
        "Sofia Rossi": "PERSON",
        "sofia@example.org": "EMAIL_ADDRESS",
        "+44 20 7946 0958": "PHONE_NUMBER",
        "4111 1111 1111 1111": "CREDIT_CARD",
        "DE89 3704 0044 0532 0130 00": "IBAN_CODE",
        "B-1234": "BADGE",
        "536-22-1234": "US_SSN",
        "10.0.0.1": "IP_ADDRESS",
    }


def test_places_and_times_are_found_only_where_a_policy_names_them(recognizer: PresidioRecognizer) -> None:
    text = "We flew to Paris on 7 May 2023."
    assert _found(recognizer, text) == {}
    assert _found(recognizer, text, "LOCATION", "DATE_TIME") == {"Paris": "LOCATION", "7 May 2023": "DATE_TIME"}


def test_every_kind_that_a_policy_may_name_has_somebody_who_finds_it(recognizer: PresidioRecognizer) -> None:
    assert recognizer.kinds == (*ENTITIES, "BADGE", "UNLUCKY")
    assert recognizer.found_kinds() == set(recognizer.kinds)


def test_context_makes_a_weak_pattern_count(recognizer: PresidioRecognizer) -> None:
    assert _found(recognizer, "it was 1234 then", "BADGE") == {}
    assert _found(recognizer, "my badge is 1234", "BADGE") == {"1234": "BADGE"}


def test_an_id_is_not_read_as_prose(recognizer: PresidioRecognizer) -> None:
    for label in ("D1:3", "s1", "Caroline", "4155552671", "2023-05-08"):
        assert _found(recognizer, label, nature=Nature.LABEL) == {}
    assert _found(recognizer, "ann@example.org#3", nature=Nature.LABEL) == {"ann@example.org": "EMAIL_ADDRESS"}


def test_what_stands_late_in_a_long_text_is_found_where_it_stands(recognizer: PresidioRecognizer) -> None:
    text = "We walked on. " * (3 * NLP_CHARS // 14) + "Write to ann@example.org, or call +44 20 7946 0958."
    assert set(_found(recognizer, text)) == {"ann@example.org", "+44 20 7946 0958"}


def test_a_pattern_that_takes_too_long_has_the_text_refused(
    recognizer: PresidioRecognizer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ScreeningTooSlow, match="unlucky"):
        recognizer.find([Passage("a" * 60 + "c")], ("UNLUCKY",))
    assert "aaaa" not in caplog.text


def test_it_logs_nothing_of_what_it_reads(recognizer: PresidioRecognizer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        recognizer.find([Passage("Sofia Rossi, sofia@example.org, DE89 3704 0044 0532 0130 99")], KINDS)
    assert "sofia" not in caplog.text.lower()


@pytest.mark.parametrize("half", HALVES)
def test_planted_numbers_are_all_but_always_found(recognizer: PresidioRecognizer, half: str) -> None:
    made = [sentence for sentence in sentences(120, 7, half) if sentence.planted]
    found = recognizer.find([Passage(sentence.text) for sentence in made], KINDS)
    missed = [
        sentence.text[one.start : one.end]
        for sentence, spans in zip(made, found, strict=True)
        for one in sentence.planted
        if one.kind != "PERSON"
        and not any(s.start <= one.start and one.end <= s.end for s in resolved(sentence.text, spans))
    ]
    assert len(missed) <= 0.05 * sum(one.kind != "PERSON" for sentence in made for one in sentence.planted), missed


def test_planted_sentences_are_the_same_for_a_seed_and_share_nothing_between_halves() -> None:
    assert sentences(50, 3, "seen") == sentences(50, 3, "seen") != sentences(50, 4, "seen")
    seen, held_out = ({s.text for s in sentences(400, 3, half)} for half in HALVES)
    assert seen.isdisjoint(held_out)
    for sentence in sentences(50, 3, "seen"):
        assert all(sentence.text[one.start : one.end].strip() for one in sentence.planted)
