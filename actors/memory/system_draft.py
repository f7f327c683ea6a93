"""A draft of the system shard: what commands on it write."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from typing import Any

from actors.memory.draft import Draft, Origin, Sealer
from actors.memory.events import Event, EventType
from actors.memory.system import Records, SystemState


class SystemDraft(Draft):
    """A draft that also knows how the records will look. `records` reads through to the committed ones."""

    __slots__ = ("_state", "records")

    def __init__(self, state: SystemState, sealer: Sealer) -> None:
        super().__init__(state, sealer, state.last_at_us)
        self._state = state
        self.records = self._overlay()

    def emit(
        self,
        origin: Origin,
        type: EventType,
        payload: Mapping[str, Any],
        memory_id: str = "",
        memory_version: int = 0,
    ) -> Event:
        event = super().emit(origin, type, payload, memory_id, memory_version)
        self.records.fold(event)
        return event

    def rewind(self, length: int, version: int, head: bytes) -> None:
        super().rewind(length, version, head)
        self.records = self._overlay()
        for event in self.events:
            self.records.fold(event)

    def _overlay(self) -> Records:
        base = self._state.records
        return Records(
            principals=ChainMap({}, base.principals),
            keys=ChainMap({}, base.keys),
            cubes=ChainMap({}, base.cubes),
            jobs=ChainMap({}, base.jobs),
        )
