"""A draft: events that a command decided on, sealed but not yet committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from actors.memory.events import Event, EventType, seal
from actors.memory.identity import RandomBytes


class Aggregate(Protocol):
    """A fold of one chain of events: a cube, or the system's own records."""

    cube_id: str
    version: int
    head: bytes

    def apply(self, event: Event) -> Any: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """What every event of one command has in common."""

    principal: str
    request_id: str
    at_us: int
    idempotency: str = ""


@dataclass(frozen=True, slots=True)
class Sealer:
    """What sealing takes: the chain's key and a source of salts."""

    chain_key: bytes
    random_bytes: RandomBytes


class Draft:
    """Events in the making on top of a chain's committed head.

    One draft serves every command of a commit that touches the same chain, so that each sees what the
    ones before it decided. It never changes the aggregate: the writer applies the events once they are durable.
    """

    __slots__ = ("_last_at_us", "_sealer", "cube_id", "events", "head", "version")

    def __init__(self, aggregate: Aggregate, sealer: Sealer, last_at_us: int = 0) -> None:
        self.cube_id = aggregate.cube_id
        self.version = aggregate.version
        self.head = aggregate.head
        self.events: list[Event] = []
        self._sealer = sealer
        self._last_at_us = last_at_us

    def emit(
        self,
        origin: Origin,
        type: EventType,
        payload: Mapping[str, Any],
        memory_id: str = "",
        memory_version: int = 0,
    ) -> Event:
        """Seal the next event. Record times never go back, even when the clock does."""
        self._last_at_us = self.time_of(origin)
        event = seal(
            self._sealer.chain_key,
            cube_id=self.cube_id,
            version=self.version + 1,
            type=type,
            memory_id=memory_id,
            memory_version=memory_version,
            recorded_at_us=self._last_at_us,
            principal=origin.principal,
            request_id=origin.request_id,
            idempotency=origin.idempotency,
            payload=payload,
            salt=self._sealer.random_bytes(16),
            previous_hash=self.head,
        )
        self.events.append(event)
        self.version, self.head = event.version, event.hash
        return event

    def time_of(self, origin: Origin) -> int:
        """When the next event will be recorded: as `emit` does it."""
        return max(self._last_at_us, origin.at_us)

    def rewind(self, length: int, version: int, head: bytes) -> None:
        """Drop the events after the first `length`: a command that failed half way leaves nothing."""
        del self.events[length:]
        self.version, self.head = version, head
