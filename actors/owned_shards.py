"""The shards that a host owns: opened together, opened anew when storage failed one, and found by their cubes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, ItemsView, Sequence
from contextlib import ExitStack

from actors.errors import Fenced, MemosError, Misplaced
from actors.memory.governance import CubeAccess
from actors.memory.placement import shard_of
from actors.shard import Shard

log = logging.getLogger(__name__)


class OwnedShards:
    """`open_shard(number)` opens one of `numbers`, of `shard_count` in all. Safe to use from many threads."""

    def __init__(self, host: str, numbers: Sequence[int], shard_count: int, open_shard: Callable[[int], Shard]) -> None:
        self._host = host
        self._shard_count = shard_count
        self._open_shard = open_shard
        self._reopening = threading.Lock()
        self._shards: dict[int, Shard] = {}
        try:
            for number in numbers:
                self._shards[number] = open_shard(number)
        except BaseException:
            self.close()  # what stays open here would lock out the next try
            raise

    def number_of(self, cube_id: str, access: CubeAccess | None) -> int:
        """The shard of a cube: its hash's, unless the catalogue says otherwise."""
        placed = None if access is None else access.shard
        return shard_of(cube_id, self._shard_count) if placed is None else placed

    def find(self, cube_id: str, access: CubeAccess | None) -> Shard | None:
        """The cube's shard, whatever its state; None when this host does not own it."""
        return self._shards.get(self.number_of(cube_id, access))

    def of(self, cube_id: str, access: CubeAccess | None) -> Shard:
        """The cube's shard in working order: one that storage failed is opened anew. Raises Misplaced when another host
        owns it, Fenced when it was taken over.
        """
        number = self.number_of(cube_id, access)
        shard = self._shards.get(number)
        if shard is None:
            if access is not None and access.shard is not None:
                raise Misplaced(f"cube {cube_id!r} lives in shard {number}", shard=number)
            raise MemosError(f"host {self._host} does not own shard {number}")
        if shard.failure is None or isinstance(shard.failure, Fenced):
            return shard
        with self._reopening:
            if self._shards[number] is shard:
                log.warning("shard %d is opened anew after: %s", number, shard.failure)
                shard.close()
                self._shards[number] = self._open_shard(number)
            return self._shards[number]

    def items(self) -> ItemsView[int, Shard]:
        return self._shards.items()

    def close(self) -> None:
        """Close every shard, also when one cannot be."""
        with ExitStack() as closing:
            for shard in self._shards.values():
                closing.callback(shard.close)
