"""What a recognizer of personal data is made of, and the patterns that a profile adds to it. Loads no model."""

from __future__ import annotations

from dataclasses import dataclass

import regex

from actors.memory.policy import ENTITIES

REGEX_TIMEOUT_S = 0.5
"""How long one pattern of a profile may take on one text, before the text is refused: an unlucky pattern may take
exponential time."""


@dataclass(frozen=True, slots=True)
class CustomPattern:
    """A regular expression (of the `regex` package), and how certain a match is, 0 to 1."""

    regex: str
    score: float


@dataclass(frozen=True, slots=True)
class CustomRecognizer:
    """Finds `entity` by patterns; words of `context` near a match make it more certain."""

    name: str
    entity: str
    patterns: tuple[CustomPattern, ...]
    context: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecognizerSpec:
    """Picklable: what an actor makes a recognizer of."""

    custom: tuple[CustomRecognizer, ...] = ()
    threads: int = 1
    regex_timeout_s: float = REGEX_TIMEOUT_S

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind that a policy may name."""
        return tuple(dict.fromkeys((*ENTITIES, *(recognizer.entity for recognizer in self.custom))))


def check_regex(text: str) -> str:
    """`text`, when it is a pattern that finds something. Raises ValueError with what is wrong with it."""
    try:
        compiled = regex.compile(text)
    except regex.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    if compiled.fullmatch("") is not None:
        raise ValueError("matches the empty text")
    return text
