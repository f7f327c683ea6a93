"""Which host to ask about a cube: its hash says it, save for cubes that live elsewhere, which hosts tell of.

A cube that lives elsewhere, as a fork does, costs one call more, the first time. It stays where it is, so that what was
learnt stays true; forgetting costs that one call again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from actors.errors import Misplaced
from cluster.directory import Directory, host_name
from cluster.topology import Topology

R = TypeVar("R")

REMEMBERED = 100_000


class CubePlaces:
    """For one event loop."""

    def __init__(self, directory: Directory, topology: Topology) -> None:
        self._directory = directory
        self._topology = topology
        self._shards: OrderedDict[str, int] = OrderedDict()

    def owner_of(self, cube_id: str) -> str:
        """The host to ask, as far as is known."""
        shard = self._shards.get(cube_id)
        host = self._topology.host_of(cube_id) if shard is None else self._topology.host_of_shard(shard)
        return host_name(host)

    def learn(self, cube_id: str, shard: int) -> None:
        self._shards[cube_id] = shard
        self._shards.move_to_end(cube_id)
        if len(self._shards) > REMEMBERED:
            self._shards.popitem(last=False)

    async def call(self, cube_id: str, method: str, *args: Any) -> Any:
        """Call the cube's host, wherever it is. Raises what the host raises, Unavailable when it does not answer."""
        return await self.found(cube_id, lambda: self._directory.call(self.owner_of(cube_id), method, *args))

    async def found(self, cube_id: str, call: Callable[[], Awaitable[R]]) -> R:
        """A call that asks `owner_of`; made again when the cube turns out to live elsewhere."""
        try:
            return await call()
        except Misplaced as elsewhere:
            self.learn(cube_id, elsewhere.facts["shard"])
        return await call()
