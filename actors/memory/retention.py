"""Retention: which memories are due to be archived or erased, since when, and why. Pure.

A memory is archived when it expires (`expires_at`), or `archive_after_days` after its content was recorded. An archived
one, whoever archived it, is erased `erase_after_days` after that. So nothing is erased that was not out of retrieval
before, and a memory that is revived in between starts anew. Frozen memories stay, and are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from actors.memory.item import Memory
from actors.memory.lifecycle import TRANSITIONS, State

DAY_US = 24 * 3600 * 1_000_000


class Step(StrEnum):
    ARCHIVE = "archive"
    ERASE = "erase"
    HELD = "held"
    """It would be due, but it is frozen."""


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """None: never."""

    archive_after_days: float | None = None
    erase_after_days: float | None = None

    @classmethod
    def of(cls, policy: Mapping[str, Mapping[str, Any]]) -> RetentionRules:
        """Those of a cube's policy."""
        said = policy.get("retention", {})
        return cls(said.get("archive_after_days"), said.get("erase_after_days"))


@dataclass(frozen=True, slots=True)
class Due:
    """A memory for which something is due, since `since_us`."""

    memory_id: str
    step: Step
    since_us: int
    reason: str


def due(
    memories: Iterable[Sequence[tuple[int, Memory]]],
    recorded_at_us: Sequence[int],
    rules: RetentionRules,
    now_us: int,
) -> Iterator[Due]:
    """What is due at `now_us`, in the order given. Each of `memories` is (cube version, memory) after each of its
    events; `recorded_at_us` has the time of each cube version, the first at index 0.
    """
    for revisions in memories:
        memory = revisions[-1][1]
        found = (
            _erasing(revisions, recorded_at_us, rules) if memory.state is State.ARCHIVED else _archiving(memory, rules)
        )
        if found is not None and found.since_us <= now_us:
            yield found


def expired(memory: Memory, at_us: int) -> bool:
    """Whether a memory is out of retrieval at a time because it has expired."""
    return memory.expires_at_us is not None and memory.expires_at_us <= at_us


def _archiving(memory: Memory, rules: RetentionRules) -> Due | None:
    reasons = []
    if memory.expires_at_us is not None:
        reasons.append((memory.expires_at_us, "it expired"))
    if rules.archive_after_days is not None:
        at_us = memory.recorded_at_us + int(rules.archive_after_days * DAY_US)
        reasons.append((at_us, f"retention: archive_after_days is {rules.archive_after_days:g}"))
    if not reasons:
        return None
    since_us, reason = min(reasons)
    if memory.state is State.FROZEN:
        return Due(memory.id, Step.HELD, since_us, f"{reason}, but it is frozen")
    if State.ARCHIVED not in TRANSITIONS[memory.state]:
        return None  # one that was merged goes with what it was merged into
    return Due(memory.id, Step.ARCHIVE, since_us, reason)


def _erasing(
    revisions: Sequence[tuple[int, Memory]], recorded_at_us: Sequence[int], rules: RetentionRules
) -> Due | None:
    if rules.erase_after_days is None:
        return None
    archived = next(
        version
        for place, (version, memory) in reversed(list(enumerate(revisions)))
        if memory.state is State.ARCHIVED and (place == 0 or revisions[place - 1][1].state is not State.ARCHIVED)
    )
    since_us = recorded_at_us[archived - 1] + int(rules.erase_after_days * DAY_US)
    reason = f"retention: erase_after_days is {rules.erase_after_days:g}"
    return Due(revisions[-1][1].id, Step.ERASE, since_us, reason)
