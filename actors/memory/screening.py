"""What is looked for in a memory's texts, what was found, and the port of who finds it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

KINDS = ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS", "CRYPTO")
"""Kinds that tell who somebody is or reach them or their money: what a policy without `entities` means, beside the
kinds of recognizers that a profile adds."""

KINDS_BY_NAME = ("LOCATION", "NRP", "DATE_TIME", "URL")
"""Kinds that are looked for only where a policy names them: without places, times, nationalities and links, a memory
says little."""


class RedactionMode(StrEnum):
    OFF = "off"
    MASK = "mask"
    """Kept as it is; roles below curator, and the indexes, get it masked."""
    REDACT = "redact"
    """Replaced before it is recorded: stored nowhere."""
    BLOCK = "block"
    """Refused."""


class Nature(StrEnum):
    """What kind of text a passage is, which says how it is read."""

    PROSE = "prose"
    LABEL = "label"
    """A name of a thing (an id, a key): patterns that are certain count, a model's guess does not."""


@dataclass(frozen=True, slots=True)
class Passage:
    text: str
    nature: Nature = Nature.PROSE


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to before `end` of a passage."""

    kind: str
    start: int
    end: int
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A span of one of a memory's texts. `place` is its path: `text`, `tags/0`, `metadata/owner/name`."""

    place: str
    kind: str
    start: int
    end: int

    @property
    def field(self) -> str:
        return self.place.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Screening:
    """A memory was looked through. `kinds` are the policy's entities at that time (empty: all that a policy means
    without any), None when parts of it were not looked through since. `findings` are of the text as it is stored.
    """

    kinds: tuple[str, ...] | None
    findings: tuple[Finding, ...] = ()

    def covers(self, wanted: Sequence[str]) -> bool:
        """Whether everything that a policy with these entities wants was looked for."""
        if self.kinds is None:
            return False
        if self.kinds:
            return bool(wanted) and set(wanted) <= set(self.kinds)
        return not wanted or set(wanted).isdisjoint(KINDS_BY_NAME)

    def counts(self) -> Counter[str]:
        return Counter(finding.kind for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        kinds = None if self.kinds is None else list(self.kinds)
        return {"kinds": kinds, "findings": [[f.place, f.kind, f.start, f.end] for f in self.findings]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Screening:
        kinds = stored["kinds"]
        found = tuple(Finding(*finding) for finding in stored["findings"])
        if not found and kinds == []:
            return CLEAN
        return cls(None if kinds is None else tuple(kinds), found)

    def after(self, changed: Iterable[str], fresh: Screening | None) -> Screening | None:
        """Of a memory some of whose fields were changed; `fresh`: what was found in those, None when nobody looked."""
        fields = set(changed)
        kept = tuple(finding for finding in self.findings if finding.field not in fields)
        if fresh is None:
            return Screening(None, kept) if kept else None
        return Screening(self.kinds if self.kinds == fresh.kinds else None, kept + fresh.findings)


CLEAN = Screening(())
"""The one of every memory in which nothing was found."""


def unscreened(fresh: Screening | None) -> Screening | None:
    """Of a memory that nobody had looked through, some of whose fields were changed."""
    return None if fresh is None or not fresh.findings else Screening(None, fresh.findings)


def total(screenings: Iterable[Screening | None]) -> dict[str, int]:
    """Findings by kind, sorted by kind."""
    counts: Counter[str] = Counter()
    for screening in screenings:
        if screening is not None and screening.findings:
            counts.update(screening.counts())
    return dict(sorted(counts.items()))


class Recognizer(Protocol):
    """Finds personal data in texts. Safe to call from many threads.

    It calls nothing outside of the system. What it cannot read it refuses: no text is ever passed as clean because
    looking failed.
    """

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind that a policy may name. Known without waiting."""
        ...

    def find(self, passages: Sequence[Passage], kinds: Sequence[str]) -> list[list[Span]]:
        """For each passage, the spans of these kinds (empty: KINDS and what a profile adds), in any order; they may
        overlap. Raises Unavailable while it does not answer, ScreeningTooSlow for a text that takes too long.
        """
        ...
