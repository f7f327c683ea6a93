"""Weights of terms in whole steps: sums of them are exact, and tell which terms a document holds."""

from __future__ import annotations

STEPS = 64
"""Of a weight of 1."""

_MAX_WEIGHT = 1024.0


def steps_of(weight: float) -> int:
    """A term's weight as a whole number of steps, at least one."""
    return max(1, round(min(weight, _MAX_WEIGHT) * STEPS))


def subsets_with_sum(steps: dict[str, int], total: int) -> list[frozenset[str]]:
    """Every set of terms whose weights add up to `total`; one, save for terms of equal weight."""
    sums: dict[int, list[frozenset[str]]] = {0: [frozenset()]}
    for term, step in steps.items():
        for reached in sorted(sums, reverse=True):
            if reached + step <= total:
                sums.setdefault(reached + step, []).extend(held | {term} for held in sums[reached])
    return sums.get(total, [])
