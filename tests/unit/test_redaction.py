"""What becomes of a memory's texts when something was found in them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.memory.document_seams import SEAM_CHARS, seam_spans, seams_of
from actors.memory.item import Memory, from_fields, to_fields
from actors.memory.redaction import (
    Rewriting,
    hidden,
    name_pattern,
    name_spans,
    noted,
    passages_of,
    replaced,
    resolved,
    speaker_spans,
)
from actors.memory.screening import CLEAN, Finding, Nature, Screening, Span, total

FIELDS: dict[str, Any] = {
    "text": "write to ann@x.org or bob@y.org",
    "speaker": "Caroline",
    "tags": ("art", "ann@x.org"),
    "metadata": {"owner": {"ann@x.org": ["call ann@x.org", 7]}, "n": 1},
    "source": {"kind": "message"},
    "occurred_at_us": 5,
}


def _found(fields: dict[str, Any]) -> dict[str, list[Span]]:
    found = {}
    for path, passage in passages_of(fields).items():
        spans = [
            Span("EMAIL_ADDRESS", at, at + 9)
            for word in ("ann@x.org", "bob@y.org")
            for at in [passage.text.find(word)]
            if at >= 0
        ]
        found[path] = resolved(passage.text, spans)
    return found


def test_every_text_of_a_memory_is_looked_at_and_nothing_else() -> None:
    passages = passages_of(FIELDS)
    assert passages["metadata/owner/ann@x.org/0"].text == "call ann@x.org"
    assert passages["metadata/owner/ann@x.org#"].nature is Nature.LABEL
    assert passages["tags/1"].nature is Nature.PROSE
    assert {path.split("/")[0].rstrip("#") for path in passages} == {"text", "speaker", "tags", "metadata", "source"}


def test_what_was_found_is_replaced_wherever_it_stands() -> None:
    rewriting = Rewriting(_found(FIELDS), replaced)
    fields = rewriting.fields(FIELDS)
    assert fields["text"] == "write to <EMAIL_ADDRESS> or <EMAIL_ADDRESS>"
    assert fields["tags"] == ("art", "<EMAIL_ADDRESS>")
    assert fields["metadata"] == {"owner": {"<EMAIL_ADDRESS>": ["call <EMAIL_ADDRESS>", 7]}, "n": 1}
    assert fields["occurred_at_us"] == 5
    assert "x.org" not in str(fields) and "x.org" not in str(rewriting.findings)
    assert total([Screening((), tuple(rewriting.findings))]) == {"EMAIL_ADDRESS": 5}


def test_masking_what_was_replaced_already_changes_nothing() -> None:
    rewriting = Rewriting(_found(FIELDS), replaced)
    fields = rewriting.fields(FIELDS)
    assert hidden(fields, rewriting.findings) == fields


def test_what_was_only_noted_is_masked_in_a_copy_keys_too() -> None:
    rewriting = Rewriting(_found(FIELDS), noted)
    assert rewriting.fields(FIELDS) == FIELDS
    masked = hidden(FIELDS, rewriting.findings)
    assert masked == Rewriting(_found(FIELDS), replaced).fields(FIELDS)


def test_keys_that_look_the_same_once_replaced_stay_apart() -> None:
    fields = {"metadata": {"ann@x.org": 1, "bob@y.org": 2, "<EMAIL_ADDRESS>": 3}}
    assert Rewriting(_found(fields), replaced).fields(fields)["metadata"] == {
        "<EMAIL_ADDRESS> 2": 1,
        "<EMAIL_ADDRESS> 3": 2,
        "<EMAIL_ADDRESS>": 3,
    }


def test_paths_of_awkward_keys_are_told_apart() -> None:
    fields = {"metadata": {"a/b": "ann@x.org", "a": {"b": "x"}, "c#": "ann@x.org", "~1": "y"}}
    masked = Rewriting(_found(fields), replaced).fields(fields)["metadata"]
    assert masked == {"a/b": "<EMAIL_ADDRESS>", "a": {"b": "x"}, "c#": "<EMAIL_ADDRESS>", "~1": "y"}


@pytest.mark.parametrize(
    ("text", "spans", "left"),
    [
        ("Ann Smith", [Span("PERSON", 0, 3, 0.5), Span("PERSON", 0, 9, 0.8)], [("PERSON", 0, 9)]),
        ("a@b.com", [Span("URL", 2, 7, 0.5), Span("EMAIL_ADDRESS", 0, 7, 1.0)], [("EMAIL_ADDRESS", 0, 7)]),
        ("12345678", [Span("A", 0, 5, 0.4), Span("B", 3, 8, 0.9)], [("B", 0, 8)]),
        ("x <PERSON> y", [Span("PERSON", 3, 9)], []),
        ("<PERSON> Smith", [Span("PERSON", 1, 14)], [("PERSON", 1, 14)]),
        ("ab", [Span("A", 0, 1), Span("B", 1, 2)], [("A", 0, 1), ("B", 1, 2)]),
    ],
)
def test_overlapping_spans_become_one(text: str, spans: list[Span], left: list[tuple[str, int, int]]) -> None:
    assert [(span.kind, span.start, span.end) for span in resolved(text, spans)] == left


@given(st.text("ab<>", max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8))
def test_nothing_that_was_found_is_left_uncovered(text: str, places: list[tuple[int, int]]) -> None:
    text += "x" * 31
    spans = [Span("A", start, end) for start, end in places if start < end]
    kept = resolved(text, spans)
    covered = {at for span in kept for at in range(span.start, span.end)}
    assert covered >= {at for span in spans for at in range(span.start, span.end)}
    assert all(one.end <= other.start for one, other in pairwise(kept))
    rewritten, moved = replaced(text, kept)
    assert [rewritten[span.start : span.end] for span in moved] == ["<A>"] * len(kept)


def test_a_speaker_is_a_person_unless_it_is_a_role() -> None:
    assert speaker_spans("Caroline", "user") == [Span("PERSON", 0, 8)]
    assert speaker_spans("User") == speaker_spans("narrator", "narrator") == speaker_spans("") == []


def test_names_of_speakers_are_found_in_texts_as_whole_words() -> None:
    pattern = name_pattern({"Ann Smith", "Jo"})
    text = "Ann and Annabel met Ann Smith; Jo left."
    assert [text[span.start : span.end] for span in name_spans(text, pattern)] == ["Ann", "Ann Smith"]
    assert name_spans(text, name_pattern(["Jo"])) == []


def test_what_stands_across_a_cut_of_a_document_is_found_on_both_sides() -> None:
    iban = "DE89 3704 0044 0532 0130 00"
    text = "x" * 200 + " pay " + iban
    cut = text.index("0044") + 4
    source = {"kind": "document", "name": "d"}
    pieces = [
        {"text": text[:cut], "source": {**source, "start": 0, "end": cut}},
        {"text": text[cut + 1 :], "source": {**source, "start": cut + 1, "end": len(text)}},
        {"text": "other", "source": {"kind": "document", "name": "e", "start": 0, "end": 5}},
    ]
    [seam] = seams_of(pieces)
    assert seam.passage.text.startswith("x" * (SEAM_CHARS - 30))
    at = seam.passage.text.index(iban)
    sides = dict(seam_spans(seam, [Span("IBAN_CODE", at, at + len(iban)), Span("PERSON", 0, 3)]))
    assert {n: pieces[n]["text"][s.start : s.end] for n, s in sides.items()} == {0: iban[:14], 1: iban[15:]}


def test_a_screening_covers_what_it_looked_for() -> None:
    everything, mail = CLEAN, Screening(("EMAIL_ADDRESS",))
    assert everything.covers(()) and everything.covers(("PERSON", "BADGE"))
    assert not everything.covers(("LOCATION",))
    assert mail.covers(("EMAIL_ADDRESS",)) and not mail.covers(("PERSON",)) and not mail.covers(())
    assert not Screening(None).covers(())


def test_a_change_keeps_what_is_known_of_the_fields_that_it_leaves() -> None:
    before = Screening((), (Finding("text", "PERSON", 0, 3), Finding("tags/0", "PERSON", 0, 3)))
    fresh = Screening((), (Finding("text", "CRYPTO", 1, 2),))
    assert before.after(["text"], fresh) == Screening((), (before.findings[1], fresh.findings[0]))
    assert before.after(["text"], None) == Screening(None, (before.findings[1],))
    assert CLEAN.after(["text"], None) is None


def test_what_was_found_is_stored_with_a_memory() -> None:
    memory = from_fields({"text": "Ann", "speaker": "Bo"}, id="m", cube_id="c", version=1, recorded_at_us=0)
    assert memory.screening is None and "screening" not in to_fields(memory)
    found = Screening(("PERSON",), (Finding("text", "PERSON", 0, 3), Finding("speaker", "PERSON", 0, 2)))
    again = from_fields(
        {**to_fields(memory), "screening": found.to_json()}, id="m", cube_id="c", version=1, recorded_at_us=0
    )
    assert again.screening == found
    assert again.indexed_text == "<PERSON>: <PERSON>"
    assert Memory.__dataclass_fields__["screening"].default is None
