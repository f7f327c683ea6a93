"""Replacing what was found in a memory's texts: at write for good, or in a copy for who may not see it. Pure.

Texts are addressed by path: `text`, `tags/0`, `metadata/owner/name`; a key of the metadata by its path and a `#`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.memory.screening import Finding, Nature, Passage, Span

PROSE_FIELDS = ("text", "tags", "metadata")
LABEL_FIELDS = ("type", "role", "session", "ref", "source")
SPEAKER = "speaker"
SCREENED_FIELDS = (*PROSE_FIELDS, SPEAKER, *LABEL_FIELDS)

ROLES = frozenset({"user", "assistant", "system", "tool", "developer"})
_KEY = "#"
_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")

Found = Mapping[str, Sequence[Span]]
"""Path -> spans."""


def placeholder(kind: str) -> str:
    return f"<{kind}>"


def passages_of(fields: Mapping[str, Any]) -> dict[str, Passage]:
    """Path -> text, of every text of a memory's fields (names as in NewMemory) that may hold personal data.

    The speaker is not among them: `speaker_spans` says what becomes of it.
    """
    found: dict[str, Passage] = {}
    for name in (*PROSE_FIELDS, *LABEL_FIELDS):
        nature = Nature.PROSE if name in PROSE_FIELDS else Nature.LABEL
        found.update(_walk(fields.get(name), name, nature))
    if fields.get(SPEAKER):
        found[SPEAKER] = Passage(fields[SPEAKER], Nature.LABEL)
    return found


def _walk(value: Any, path: str, nature: Nature) -> Iterator[tuple[str, Passage]]:
    if isinstance(value, str):
        if value:
            yield path, Passage(value, nature)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            below = f"{path}/{_escaped(key)}"
            yield below + _KEY, Passage(key, Nature.LABEL)
            yield from _walk(inner, below, nature)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _walk(inner, f"{path}/{place}", nature)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1").replace(_KEY, "~2")


def is_role(speaker: str, role: str = "") -> bool:
    """Whether a speaker is a part in a conversation and not somebody's name."""
    return speaker.casefold() in ROLES or speaker == role


def speaker_spans(speaker: str, role: str = "") -> list[Span]:
    """Who speaks under a name is a person, whatever a model thinks of a name that stands alone."""
    return [] if not speaker or is_role(speaker, role) else [Span("PERSON", 0, len(speaker))]


def name_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """Matches these names, and the first of several words of one, as whole words; None without any."""
    words = {word for name in names for word in (name, name.split()[0] if name.split() else "") if len(word) > 2}
    if not words:
        return None
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")


def name_spans(text: str, pattern: re.Pattern[str] | None) -> list[Span]:
    """Where the names of those who speak stand in a text."""
    if pattern is None:
        return []
    return [Span("PERSON", match.start(), match.end(), 0.9) for match in pattern.finditer(text)]


def resolved(text: str, spans: Iterable[Span]) -> list[Span]:
    """Spans in order, none overlapping: those that overlap become one, with the kind of the most certain. What is a
    placeholder already is left alone. Nothing that any span covers is uncovered.
    """
    taken = [match.span() for match in _PLACEHOLDER.finditer(text)] if "<" in text else []
    kept = [s for s in spans if s.start < s.end and not any(b <= s.start and s.end <= e for b, e in taken)]
    result: list[Span] = []
    for span in sorted(kept, key=lambda s: (s.start, -s.end)):
        if result and span.start < result[-1].end:
            last = result[-1]
            best = max(last, span, key=lambda s: (s.score, s.end - s.start))
            result[-1] = Span(best.kind, last.start, max(last.end, span.end), best.score)
        else:
            result.append(span)
    return result


def replaced(text: str, spans: Sequence[Span]) -> tuple[str, list[Span]]:
    """The text with each span (in order, none overlapping) replaced by its placeholder, and where those stand."""
    pieces: list[str] = []
    moved: list[Span] = []
    at = length = 0
    for span in spans:
        mark = placeholder(span.kind)
        pieces += [text[at : span.start], mark]
        length += span.start - at
        moved.append(Span(span.kind, length, length + len(mark), span.score))
        length += len(mark)
        at = span.end
    return "".join([*pieces, text[at:]]), moved


Treat = Callable[[str, Sequence[Span]], tuple[str, Sequence[Span]]]
"""What becomes of a text and of what was found in it."""


def noted(text: str, spans: Sequence[Span]) -> tuple[str, Sequence[Span]]:
    """Keeps the text and the spans as they are."""
    return text, spans


@dataclass(slots=True)
class Rewriting:
    """Rewrites fields of a memory: `found` in its texts is treated; `findings` are those of what comes out."""

    found: Found
    treat: Treat
    findings: list[Finding] = field(default_factory=list)

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with every text treated. Structure and order are kept, tuples too."""
        return {
            name: self._value(value, name, name) if name in SCREENED_FIELDS else value for name, value in fields.items()
        }

    def _value(self, value: Any, old: str, new: str) -> Any:
        if isinstance(value, str):
            return self._text(value, old, new)
        if isinstance(value, Mapping):
            return self._mapping(value, old, new)
        if isinstance(value, list | tuple):
            items = [self._value(inner, f"{old}/{n}", f"{new}/{n}") for n, inner in enumerate(value)]
            return tuple(items) if isinstance(value, tuple) else items
        return value

    def _text(self, text: str, old: str, new: str) -> str:
        spans = self.found.get(old)
        if not spans:
            return text
        text, left = self.treat(text, spans)
        self._note(new, left)
        return text

    def _note(self, place: str, spans: Sequence[Span]) -> None:
        self.findings += [Finding(place, span.kind, span.start, span.end) for span in spans]

    def _mapping(self, value: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, inner in value.items():
            path = f"{old}/{_escaped(key)}"
            shown, left = self.treat(key, self.found.get(path + _KEY, ()))
            name, number = shown, 1
            while name in result or (name != key and name in value):  # two keys may come to look the same
                number += 1
                name = f"{shown} {number}"
            place = f"{new}/{_escaped(name)}"
            self._note(place + _KEY, left)
            result[name] = self._value(inner, path, place)
        return result


def hidden(fields: Mapping[str, Any], findings: Iterable[Finding]) -> dict[str, Any]:
    """The fields with these findings replaced: what somebody sees who may not see them."""
    found: dict[str, list[Span]] = {}
    for finding in findings:
        found.setdefault(finding.place, []).append(Span(finding.kind, finding.start, finding.end))
    for spans in found.values():
        spans.sort(key=lambda span: span.start)
    return Rewriting(found, replaced).fields(fields)
