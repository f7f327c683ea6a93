"""The memory of a host's open cubes: one budget over all of its shards; the least recently used cubes leave."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from actors.memory.ports import JsonObject

OPEN_BYTES = 1 << 30
"""The budget where nothing else is said."""


class CubeOwner(Protocol):
    """Whoever holds open cubes."""

    def evict(self, cube_id: str) -> bool:
        """Drop a cube from memory; False when it is in use."""
        ...


class MemoryBudget:
    """Counts what open cubes hold and asks their owners to drop the coldest. Safe to use from many threads.

    The bound is soft by what is in use: cubes that are being worked on, and the one used last, stay whatever they
    hold, so that a cube larger than the whole budget still works, alone.
    """

    def __init__(self, limit_bytes: int = OPEN_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[tuple[CubeOwner, str], int] = OrderedDict()
        self._tails: dict[CubeOwner, int] = {}
        self._held_bytes = 0
        self._evictions = 0

    def used(self, owner: CubeOwner, cube_id: str, size_bytes: int) -> None:
        """A cube was used just now, and holds `size_bytes`."""
        key = (owner, cube_id)
        with self._lock:
            self._held_bytes += size_bytes - self._sizes.get(key, 0)
            self._sizes[key] = size_bytes
            self._sizes.move_to_end(key)

    def left(self, owner: CubeOwner, cube_id: str) -> None:
        """A cube is no longer in memory."""
        with self._lock:
            self._held_bytes -= self._sizes.pop((owner, cube_id), 0)

    def tail(self, owner: CubeOwner, size_bytes: int) -> None:
        """What an owner holds beside its cubes: the events that are in no snapshot yet."""
        with self._lock:
            self._held_bytes += size_bytes - self._tails.get(owner, 0)
            self._tails[owner] = size_bytes

    def forget(self, owner: CubeOwner) -> None:
        """An owner is gone, with all that it held."""
        with self._lock:
            for key in [key for key in self._sizes if key[0] is owner]:
                self._held_bytes -= self._sizes.pop(key)
            self._held_bytes -= self._tails.pop(owner, 0)

    def trim(self) -> None:
        """Have the coldest cubes dropped until what is held fits. Call it without a lock of an owner."""
        in_use: set[tuple[CubeOwner, str]] = set()
        while True:
            with self._lock:
                if self._held_bytes <= self._limit_bytes or len(self._sizes) < 2:
                    return
                last = next(reversed(self._sizes))
                coldest = next((key for key in self._sizes if key not in in_use), last)
            if coldest == last:
                return
            owner, cube_id = coldest
            if owner.evict(cube_id):
                with self._lock:
                    self._evictions += 1
            else:
                in_use.add(coldest)

    def status(self) -> JsonObject:
        with self._lock:
            return {
                "open_cubes": len(self._sizes),
                "open_bytes": self._held_bytes,
                "limit_bytes": self._limit_bytes,
                "evictions": self._evictions,
            }
