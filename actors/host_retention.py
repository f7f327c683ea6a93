"""What a CubeHost does for retention: says what is due, and archives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.memory.auditing import AuditAction, Note
from actors.memory.draft import Origin
from actors.memory.governance import Action, Caller
from actors.memory.retaining import all_due, archive_due
from actors.memory.retention import Due
from actors.owned_shards import Entered


class HostRetention:
    """`entered` and `origin` as in HostErasure."""

    def __init__(self, entered: Entered, origin: Callable[[Caller], Origin]) -> None:
        self._entered = entered
        self._origin = origin

    def due(self, caller: Caller, cube_id: str) -> Sequence[Due]:
        """What is due now by the cube's policy."""
        with self._entered(caller, Action.READ, cube_id, Note(AuditAction.READ, detail={"what": "due"})) as shard:
            now_us = self._origin(caller).at_us
            return shard.run(cube_id, lambda draft: all_due(draft, now_us))

    def archive_due(self, caller: Caller, cube_id: str, limit: int) -> Sequence[Due]:
        """Archive what is due to be, `limit` memories at most; everything that was due. It takes who may erase too."""
        note = Note(AuditAction.TRANSITION, detail={"what": "retention", "to": "archived"})
        with self._entered(caller, Action.ERASE, cube_id, note) as shard:
            origin = self._origin(caller)
            return shard.run(cube_id, lambda draft: archive_due(draft, origin, limit))
