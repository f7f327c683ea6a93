"""Which shard a cube lives in: a stable hash, so that every process agrees without asking."""

from __future__ import annotations

import hashlib


def shard_of(cube_id: str, shard_count: int) -> int:
    """The shard of a cube, 0 to `shard_count` - 1. The count is fixed when a state is created."""
    digest = hashlib.blake2b(cube_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shard_count
