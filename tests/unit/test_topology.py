"""Cubes spread evenly, and a change of hosts moves no more than it must."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.memory.placement import shard_of
from cluster.topology import Topology, owner_of

PLACES = [9, 2, 11, 11]
OWNERS = [1, 2, 2, 2, 2, 0, 0, 1]


def test_where_a_cube_lives_never_changes() -> None:
    """Written down: another answer would look for every stored cube in the wrong journal."""
    assert [shard_of(cube, 16) for cube in ("alice", "bob", "team.notes-2026", "c")] == PLACES
    assert [owner_of(shard, 3) for shard in range(8)] == OWNERS


@given(st.text(min_size=1, max_size=128), st.integers(1, 64), st.integers(1, 16))
def test_every_cube_has_one_shard_and_one_host(cube_id: str, shards: int, hosts: int) -> None:
    topology = Topology(shards, hosts)
    owner = topology.host_of(cube_id)
    assert shard_of(cube_id, shards) in topology.shards_of(owner)
    assert 0 <= owner < hosts


@given(st.integers(1, 200), st.integers(1, 12))
def test_hosts_share_all_shards_without_overlap(shards: int, hosts: int) -> None:
    topology = Topology(shards, hosts)
    owned = [shard for host in range(hosts) for shard in topology.shards_of(host)]
    assert sorted(owned) == list(range(shards))


@given(st.integers(1, 300), st.integers(1, 12))
def test_a_new_host_takes_shards_and_no_other_moves(shards: int, hosts: int) -> None:
    before = [owner_of(shard, hosts) for shard in range(shards)]
    after = [owner_of(shard, hosts + 1) for shard in range(shards)]
    assert all(now in (was, hosts) for was, now in zip(before, after, strict=True))


def test_cubes_and_shards_are_balanced() -> None:
    per_shard = Counter(shard_of(f"cube-{n}", 16) for n in range(16_000))
    assert len(per_shard) == 16
    assert max(per_shard.values()) < 1_200
    per_host = Counter(owner_of(shard, 4) for shard in range(1_000))
    assert min(per_host.values()) > 200
    assert max(per_host.values()) < 300


def test_one_host_more_moves_about_its_share() -> None:
    moved = sum(owner_of(shard, 4) != owner_of(shard, 5) for shard in range(1_000))
    assert 140 < moved < 260


def test_there_must_be_a_host() -> None:
    with pytest.raises(ValueError, match="at least one"):
        owner_of(0, 0)
