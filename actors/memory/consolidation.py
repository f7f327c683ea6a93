"""Consolidation: near-duplicates become one memory, and what seems to contradict each other is linked.

Pairs come from the vectors; here they are confirmed by their texts, and decided anew in the writer's sequence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from actors.memory.draft import Origin
from actors.memory.item import Memory
from actors.memory.links import Absorption
from actors.memory.merge_draft import MergeDraft
from actors.memory.merging import MergeMemory, link, merge
from actors.memory.repeats import identity_of, may_absorb
from actors.memory.similarity import THRESHOLDS, MergeThresholds, says_otherwise, says_the_same

NEAR_DUPLICATE = "it says the same"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two memories whose vectors are near: `newer` was recorded after `older`."""

    newer: Memory
    older: Memory
    similarity: float


WORDLESS = "they seem to say otherwise"
"""Why memories are linked where their words must not be repeated."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the texts of a pair say: `contradiction` in words, empty for one that says the same."""

    newer_id: str
    older_id: str
    similarity: float
    contradiction: str = ""

    def unquoted(self) -> Finding:
        """The same in a cube that looks for personal data: why two memories contradict each other quotes neither."""
        return replace(self, contradiction=WORDLESS) if self.contradiction else self


@dataclass(frozen=True, slots=True)
class ConsolidateCube:
    """A bounded step over the rows of a cube, from a row on: where the last one ended."""

    start: int = 0
    rows: int = 256


@dataclass(frozen=True, slots=True)
class Consolidated:
    """What a step did. `next` is the row to go on from, None at the end, of `total` rows that the cube has."""

    checked: int
    merged: int
    linked: int
    next: int | None = None
    total: int = 0


def comparable(one: Memory, other: Memory) -> bool:
    """Whether two memories are of one kind, by one speaker and with the same labels; only such are compared."""
    return (
        one.id != other.id
        and may_absorb(one)
        and may_absorb(other)
        and (one.role, one.speaker, one.type) == (other.role, other.speaker, other.type)
        and identity_of(one)[4] == identity_of(other)[4]
    )


def examined(pair: Pair, thresholds: MergeThresholds = THRESHOLDS) -> Finding | None:
    """What is to be done about a pair, None when its texts do not confirm what the vectors propose."""
    if not comparable(pair.newer, pair.older):
        return None
    if pair.similarity >= thresholds.duplicate and says_the_same(pair.newer, pair.older):
        return Finding(pair.newer.id, pair.older.id, pair.similarity)
    if pair.similarity >= thresholds.contradiction:
        told = says_otherwise(pair.older, pair.newer, thresholds)
        if told:
            return Finding(pair.newer.id, pair.older.id, pair.similarity, told)
    return None


def consolidate(draft: MergeDraft, origin: Origin, findings: Iterable[Finding]) -> Consolidated:
    """Record what still holds of the findings: memories may have changed since. The older one of two that say the same
    stays; a contradiction is linked, and both stay. What was split is not merged with the same memory again.
    """
    merged = linked = 0
    for finding in _oldest_first(findings):
        newer, older = draft.find(finding.newer_id), draft.find(finding.older_id)
        if newer is None or older is None or not comparable(newer, older):
            continue
        if finding.contradiction:
            linked += link(draft, origin, newer.id, older.id, finding.similarity, finding.contradiction)
        elif says_the_same(newer, older) and not _were_split(draft, newer.id, older.id):
            asked = MergeMemory(newer.id, older.id, Absorption.DUPLICATE, NEAR_DUPLICATE, finding.similarity)
            merge(draft, origin, asked)
            merged += 1
    return Consolidated(0, merged, linked)


def _were_split(draft: MergeDraft, one: str, other: str) -> bool:
    """Whether somebody has said already that two memories are not the same."""
    return draft.was_split(one, other) or draft.was_split(other, one)


def _oldest_first(findings: Iterable[Finding]) -> Sequence[Finding]:
    """By the older memory: so what says the same as several goes into the first of them. Duplicates before links."""
    return sorted(findings, key=lambda finding: (bool(finding.contradiction), finding.older_id, finding.newer_id))
