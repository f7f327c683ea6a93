"""From tokens to text: characters stay whole, stop sequences are found across borders, nothing gets lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.models.decoding import AnswerText, StopScanner, TextStream, overlap


def decode(tokens: Sequence[int]) -> str:
    """A byte-level tokenizer: each token is one byte."""
    return bytes(tokens).decode("utf-8", "replace")


def shown(text: str, stops: Sequence[str] = ()) -> tuple[list[str], bool]:
    answer = AnswerText(decode, stops)
    pieces = []
    for byte in text.encode():
        pieces.append(answer.push(byte))
        if answer.stopped:
            return pieces, True
    return [*pieces, answer.finish()], answer.stopped


@given(st.text(max_size=40))
def test_pieces_add_up_to_the_text_and_hold_whole_characters(text: str) -> None:
    pieces, _ = shown(text)
    assert "".join(pieces) == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


def test_broken_bytes_are_shown_as_such_and_hold_nothing_back_for_long() -> None:
    stream = TextStream(decode)
    text = "".join(stream.push(byte) for byte in b"a" + b"\xff" * 12 + b"b") + stream.finish()
    assert text == "a" + "\ufffd" * 12 + "b"


def test_a_text_that_ends_within_a_character_ends_with_a_replacement() -> None:
    stream = TextStream(decode)
    assert [stream.push(byte) for byte in "é".encode()[:1]] == [""]
    assert stream.finish() == "\ufffd"


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_an_answer_ends_before_the_first_stop_sequence(text: str, stops: list[str]) -> None:
    pieces, stopped = shown(text, stops)
    # The first to be completed, as the text comes; among those the earliest begun.
    ends = sorted((text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text)
    assert stopped == bool(ends)
    if ends:
        completed = [begun for end, begun in ends if end == ends[0][0]]
        assert "".join(pieces) == text[: min(completed)]
    else:
        assert "".join(pieces) == text


def test_the_beginning_of_a_stop_sequence_is_held_back_until_it_is_sure() -> None:
    scanner = StopScanner(["\nUser:"])
    assert [scanner.push(piece) for piece in ("Hi\nUs", "e", "less", "\nUse")] == ["Hi", "", "\nUseless", ""]
    assert scanner.push("r: x") == ""
    assert scanner.stopped
    assert scanner.push("more") + scanner.finish() == ""


def test_an_empty_stop_sequence_stops_nothing() -> None:
    assert shown("text", [""]) == (["t", "e", "x", "t", ""], False)


@pytest.mark.parametrize(
    ("text", "stop", "length"), [("abc", "cd", 1), ("ab", "abc", 2), ("abc", "abc", 0), ("", "a", 0)]
)
def test_overlap_is_the_longest_proper_beginning(text: str, stop: str, length: int) -> None:
    assert overlap(text, stop) == length
