"""A host whose shards belong to another instance: it stays away from them, and says why to whoever calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors import remote_actor
from actors.errors import MemosError, StateInUse, StorageUnavailable, Unavailable
from actors.instance_claim import CLAIM_FILE, InstanceClaim
from actors.remote_actor import opened
from actors.shard_opening import HostSpec
from actors.stores.location import StorageSpec


class Host:
    def __init__(self) -> None:
        self.closed = False

    def ready(self) -> list[str]:
        return []

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def claim(tmp_path: Path) -> InstanceClaim:
    write(tmp_path, "one")
    return InstanceClaim(StorageSpec(str(tmp_path)), "one")


def write(folder: Path, owner: str) -> None:
    (folder / CLAIM_FILE).write_text(json.dumps({"instance": owner, "where": "Ray at 10.0.0.2:6379"}))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_actor, "OPENING_PAUSE_S", 0.0)


@pytest.fixture(autouse=True)
def no_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks for as long as its process lives."""
    monkeypatch.setattr(remote_actor, "watch", lambda claim, lost: None)


def test_a_host_opens_once_what_it_needs_is_there(claim: InstanceClaim) -> None:
    away = iter([Unavailable("the embedder is away"), StorageUnavailable("the bucket is away")])

    def open_host() -> Host:
        for error in away:
            raise error
        return Host()

    assert opened("host-0", claim, open_host).ready() == []


def test_an_owner_that_cannot_be_looked_up_is_looked_up_again(
    claim: InstanceClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = iter([StorageUnavailable("the bucket is away")])
    check = InstanceClaim.check

    def look(self: InstanceClaim) -> None:
        for error in away:
            raise error
        check(self)

    monkeypatch.setattr(InstanceClaim, "check", look)
    assert opened("host-0", claim, Host).ready() == []


def test_a_host_of_another_instance_is_not_opened_and_every_call_says_whose_it_is(
    claim: InstanceClaim, tmp_path: Path
) -> None:
    write(tmp_path, "two")
    host = opened("host-0", claim, Host)
    for _ in range(2):
        with pytest.raises(StateInUse, match=r"instance two \(Ray at 10.0.0.2:6379\)"):
            host.ready()
    host.close()


def test_a_host_whose_claim_came_back_starts_anew(
    claim: InstanceClaim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []

    def leave(name: str, reason: MemosError, close: object) -> None:
        left.append(name)

    monkeypatch.setattr(remote_actor, "leave", leave)
    write(tmp_path, "two")
    host = opened("host-0", claim, Host)
    write(tmp_path, "one")
    with pytest.raises(Unavailable, match="starts anew"):
        host.ready()
    assert left == ["host-0"]


def test_a_node_keeps_its_indexes_apart_and_drops_those_of_nodes_that_are_gone(tmp_path: Path) -> None:
    own, neighbour, gone = ("a" * 56, "b" * 56, "c" * 56)
    for folder in (neighbour, gone, "not-a-node"):
        (tmp_path / folder / "000").mkdir(parents=True)
    spec = HostSpec("host-0", "s3://b/s", "unused", (0,), 1, b"k", node_cache=str(tmp_path))
    assert spec.on_node(own, lambda: {own, neighbour}).index_folder == str(tmp_path / own)
    assert sorted(path.name for path in tmp_path.iterdir()) == [neighbour, "not-a-node"]
