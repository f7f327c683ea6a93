"""What a CubeHost does for retention: says what is due, and archives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.memory.draft import Origin
from actors.memory.governance import Action, Caller
from actors.memory.retaining import all_due, archive_due
from actors.memory.retention import Due
from actors.shard import Shard


class HostRetention:
    """`enter` and `origin` as in HostErasure."""

    def __init__(self, enter: Callable[[Caller, Action, str], Shard], origin: Callable[[Caller], Origin]) -> None:
        self._enter = enter
        self._origin = origin

    def due(self, caller: Caller, cube_id: str) -> Sequence[Due]:
        """What is due now by the cube's policy."""
        shard, now_us = self._enter(caller, Action.READ, cube_id), self._origin(caller).at_us
        return shard.run(cube_id, lambda draft: all_due(draft, now_us))

    def archive_due(self, caller: Caller, cube_id: str, limit: int) -> Sequence[Due]:
        """Archive what is due to be, `limit` memories at most; everything that was due. It takes who may erase too."""
        self._enter(caller, Action.ERASE, cube_id)
        shard, origin = self._enter(caller, Action.TRANSITION, cube_id), self._origin(caller)
        return shard.run(cube_id, lambda draft: archive_due(draft, origin, limit))
