"""Which shard a cube lives in, and which host owns a shard. Pure: every process computes the same answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from actors.memory.placement import shard_of


def owner_of(shard: int, hosts: int) -> int:
    """The host (0 to `hosts` - 1) that owns a shard, by rendezvous hashing.

    Each host bids a hash for the shard and the highest bid wins, so that one host more takes over its own
    share alone: no shard moves between the hosts that stay. (Thaler and Ravishankar, 1998.)
    """
    if hosts < 1:
        raise ValueError("at least one host is needed")
    return max(range(hosts), key=lambda host: (_bid(shard, host), host))


def _bid(shard: int, host: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{shard}/{host}".encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Topology:
    """`shards` is a state's own, fixed when it is created; `hosts` is how many run now."""

    shards: int
    hosts: int

    def host_of(self, cube_id: str) -> int:
        return owner_of(shard_of(cube_id, self.shards), self.hosts)

    def host_of_shard(self, shard: int) -> int:
        return owner_of(shard, self.hosts)

    def shards_of(self, host: int) -> tuple[int, ...]:
        """The shards that a host owns, in order."""
        return tuple(shard for shard in range(self.shards) if owner_of(shard, self.hosts) == host)
