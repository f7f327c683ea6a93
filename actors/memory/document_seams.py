"""Where a document was cut into memories: what stands across a cut is in no memory as a whole, and is found here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.memory.screening import Passage, Span

SEAM_CHARS = 80
"""Characters on each side of a cut: longer than any number or address."""


@dataclass(frozen=True, slots=True)
class Seam:
    """The end of memory `before`, from its character `start` on, a gap, and the beginning of the memory behind it."""

    before: int
    start: int
    passage: Passage
    cut: int
    """Where the gap begins in the passage; `resume` is where the next memory does."""
    resume: int


def seams_of(memories: Sequence[Mapping[str, Any]]) -> list[Seam]:
    """The cuts between neighbouring memories of one document, given by their fields."""
    seams = []
    for number in range(len(memories) - 1):
        one, other = memories[number], memories[number + 1]
        gap = _gap(one.get("source") or {}, other.get("source") or {})
        if gap is None or not one.get("text") or not other.get("text"):
            continue
        tail = one["text"][-SEAM_CHARS:]
        text = tail + " " * gap + other["text"][:SEAM_CHARS]
        seams.append(Seam(number, len(one["text"]) - len(tail), Passage(text), len(tail), len(tail) + gap))
    return seams


def _gap(one: Mapping[str, Any], other: Mapping[str, Any]) -> int | None:
    """Characters of white space between two pieces of the same document, None when they are no neighbours."""
    if one.get("kind") != "document" or other.get("kind") != "document" or one.get("name") != other.get("name"):
        return None
    end, start = one.get("end"), other.get("start")
    if not isinstance(end, int) or not isinstance(start, int) or not 0 <= start - end <= SEAM_CHARS:
        return None
    return start - end


def seam_spans(seam: Seam, found: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """(memory, span of its text) of what crosses the cut, each side for itself."""
    for span in found:
        if span.start < seam.cut and span.end > seam.resume:
            yield seam.before, Span(span.kind, seam.start + span.start, seam.start + seam.cut, span.score)
            yield seam.before + 1, Span(span.kind, 0, span.end - seam.resume, span.score)
