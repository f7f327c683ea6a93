"""A recognizer as a plain object: addresses, numbers and a few names, by pattern. No model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from actors.errors import Unavailable
from actors.memory.policy import ENTITIES
from actors.memory.screening import KINDS, Nature, Passage, Span

PATTERNS = {
    "EMAIL_ADDRESS": re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"),
    "PHONE_NUMBER": re.compile(r"\+\d[\d ]{7,}\d"),
    "CREDIT_CARD": re.compile(r"\b4\d{3}( \d{4}){3}\b"),
    "PERSON": re.compile(r"\b(Caroline|Melanie|Ann Smith)\b"),
    "LOCATION": re.compile(r"\bLisbon\b"),
    "BADGE": re.compile(r"\bB-\d{4}\b"),
}
GUESSED = frozenset({"PERSON", "LOCATION"})


class PlainRecognizer:
    """`broken` makes it fail; `read` counts the passages that it was given."""

    kinds = (*ENTITIES, "BADGE")

    def __init__(self) -> None:
        self.broken = False
        self.read = 0

    def find(self, passages: Sequence[Passage], kinds: Sequence[str]) -> list[list[Span]]:
        if self.broken:
            raise Unavailable("the recognizer is down", retry_after_s=1)
        self.read += len(passages)
        wanted = [kind for kind in PATTERNS if kind in (kinds or (*KINDS, "BADGE"))]
        return [
            [
                Span(kind, match.start(), match.end())
                for kind in wanted
                if passage.nature is Nature.PROSE or kind not in GUESSED
                for match in PATTERNS[kind].finditer(passage.text)
            ]
            for passage in passages
        ]
