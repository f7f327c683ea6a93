"""What commands with an idempotency key did, remembered for a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.memory.events import Event, EventType

OUTCOME_LIFE_US = 24 * 3600 * 1_000_000
"""How long an idempotency key is remembered: a repeat that comes later is a new command."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command with an idempotency key did: enough to answer a repeat of it."""

    request_digest: str
    version: int
    memory_ids: tuple[str, ...]

    def followed_by(self, event: Event) -> Outcome:
        """With the next event of the same command."""
        added = event.type is EventType.MEMORY_ADDED
        return Outcome(
            self.request_digest, event.version, (*self.memory_ids, event.memory_id) if added else self.memory_ids
        )


def begun(request_digest: str) -> Outcome:
    """A command that has done nothing yet."""
    return Outcome(request_digest, 0, ())


def note_outcome(outcomes: dict[str, Outcome], event: Event, recorded_at_us: Sequence[int]) -> int:
    """Take an event of a command with a key in, and forget what is too old; by how many outcomes the table grew.

    All events of one command carry "key:request"; they are committed together or not at all. `recorded_at_us` holds
    the record time of each of the chain's events.
    """
    key, _, request = event.idempotency.partition(":")
    before = len(outcomes)
    outcomes[key] = outcomes.get(key, begun(request)).followed_by(event)
    while True:  # the oldest stand first
        oldest = next(iter(outcomes))
        if recorded_at_us[outcomes[oldest].version - 1] >= event.recorded_at_us - OUTCOME_LIFE_US:
            return len(outcomes) - before
        del outcomes[oldest]
