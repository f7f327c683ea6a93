"""The five states of a memory, and the one table of transitions between them."""

from __future__ import annotations

from enum import StrEnum

from actors.errors import FrozenMemory, TransitionRefused


class State(StrEnum):
    GENERATED = "generated"
    """Recorded, awaiting confirmation."""
    ACTIVATED = "activated"
    """Retrievable."""
    MERGED = "merged"
    """Absorbed into another memory, which names it."""
    ARCHIVED = "archived"
    """Out of retrieval, kept."""
    FROZEN = "frozen"
    """Immutable and retrievable: a legal hold. Only a governor unfreezes."""


TRANSITIONS: dict[State, frozenset[State]] = {
    State.GENERATED: frozenset({State.ACTIVATED, State.ARCHIVED}),
    State.ACTIVATED: frozenset({State.MERGED, State.ARCHIVED, State.FROZEN}),
    State.MERGED: frozenset({State.ACTIVATED}),
    State.ARCHIVED: frozenset({State.ACTIVATED, State.FROZEN}),
    State.FROZEN: frozenset({State.ACTIVATED, State.ARCHIVED}),
}

REQUESTABLE = frozenset({State.ACTIVATED, State.ARCHIVED, State.FROZEN})
"""States that a caller may ask for; `merged` is entered by merging alone, `generated` by extraction."""

RETRIEVABLE = frozenset({State.ACTIVATED, State.FROZEN})


def allowed_from(state: State) -> list[str]:
    """What a caller may ask for from `state`, sorted."""
    return sorted(to.value for to in TRANSITIONS[state] & REQUESTABLE)


def check_transition(memory_id: str, state: State, to: State) -> None:
    """Raise TransitionRefused, naming what is allowed, unless a caller may move `state` to `to`."""
    if to not in TRANSITIONS[state] & REQUESTABLE:
        allowed = allowed_from(state)
        raise TransitionRefused(
            f"memory {memory_id} is {state} and cannot become {to}; allowed: {', '.join(allowed) or 'nothing'}",
            memory=memory_id,
            state=state.value,
            requested=to.value,
            allowed=allowed,
        )


def check_mutable(memory_id: str, state: State) -> None:
    """Raise FrozenMemory when a memory in `state` may not get a new version."""
    if state is State.FROZEN:
        raise FrozenMemory(
            f"memory {memory_id} is frozen; a governor can unfreeze it with a transition to 'activated'",
            memory=memory_id,
        )
