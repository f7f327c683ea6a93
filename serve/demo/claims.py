"""What the guided run claims to show, each judged by what was seen: the demo fails when one did not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serve.client_types import Result, Verification
from serve.demo.conversation import Question


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, what was found for it, and the answers with and without memory."""

    question: Question
    results: tuple[Result, ...]
    answer: str
    used: tuple[str, ...]
    """Ids of the memories that the answer was made with."""
    without: str | None = None
    """The answer without memory; None when it was not asked for."""
    search_ms: float = 0.0

    @property
    def evidence_rank(self) -> int | None:
        """Rank, from 1, of the first result that is evidence; None when none is."""
        refs = [result.ref for result in self.results]
        return next((rank for rank, ref in enumerate(refs, 1) if ref in self.question.evidence), None)

    @property
    def right(self) -> bool:
        return self.question.answered_by(self.answer)

    @property
    def right_without(self) -> bool:
        return self.without is not None and self.question.answered_by(self.without)


@dataclass(frozen=True, slots=True)
class Claim:
    text: str
    holds: bool


def claims_before(asked: Sequence[Asked]) -> list[Claim]:
    """Retrieval finds the evidence, the answers are made with it, and that makes them better."""
    right, guessed = sum(a.right for a in asked), sum(a.right_without for a in asked)
    return [
        Claim("every question found the turn that answers it", all(a.evidence_rank for a in asked)),
        Claim("every answer was made with memories", all(a.used for a in asked)),
        Claim(f"{right} of {len(asked)} answers are right with memory, {guessed} without", right > guessed),
    ]


def claims_after(
    before: Sequence[Asked], after: Sequence[Asked], counts: Sequence[int], chain: Verification
) -> list[Claim]:
    """Nothing is lost by a restart. `counts` holds the memories that were added, and those that are there now."""
    same = all([r.id for r in b.results] == [r.id for r in a.results] for b, a in zip(before, after, strict=True))
    return [
        Claim(f"after a restart all {counts[0]} memories are there", counts[0] == counts[1]),
        Claim("every question finds the same memories as before", same),
        Claim(f"the chain of {chain.events} events holds", chain.ok),
    ]
