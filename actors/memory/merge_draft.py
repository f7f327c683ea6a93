"""What merging needs of a draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from actors.memory.draft import Origin
from actors.memory.events import Event, EventType
from actors.memory.item import Memory


class MergeDraft(Protocol):
    """A draft of a cube; `commands.CubeDraft` is one."""

    cube_id: str
    version: int

    def find(self, memory_id: str) -> Memory | None:
        """The memory as it will be after the events so far."""
        ...

    def erasure_of(self, memory_id: str) -> str | None:
        """The root of the erasure that a memory went with, None when it was not erased."""
        ...

    def was_split(self, memory_id: str, into: str) -> bool:
        """Whether a memory was merged into another one before, and split out of it again."""
        ...

    def absorbed(self, memory_id: str) -> Sequence[Memory]:
        """The memories that are merged into one, in order of merging, as they will be."""
        ...

    def emit(
        self,
        origin: Origin,
        type: EventType,
        payload: Mapping[str, Any],
        memory_id: str = "",
        memory_version: int = 0,
    ) -> Event: ...
