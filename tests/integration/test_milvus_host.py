"""A host whose vectors are in Milvus, opened as production opens it: what it does while Milvus is away and after."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.host import CubeHost
from actors.memory.search_requests import CubeHits
from actors.shard import ShardLimits
from tests.contracts.milvus_server import MilvusServer, milvus_server
from tests.unit.hosts import OWNER, Catalogue, HashEmbedder, file_host, query, texts

LIMITS = ShardLimits(index_wait_s=20.0)


class Rig:
    """A host over one Milvus, with a cube; `open` is what a start of its process would do."""

    def __init__(self, folder: Path, server: MilvusServer) -> None:
        self.folder, self.server = folder, server
        self.embedder, self.queries = HashEmbedder(), HashEmbedder()
        self.catalogue = Catalogue()
        self.catalogue.register("c")
        self.host = self.open()

    def open(self) -> CubeHost:
        self.host = file_host(self.folder, self.catalogue, self.embedder, LIMITS, self.server.spec("host"))
        return self.host

    def add(self, first: int, last: int) -> None:
        self.host.add(OWNER, "c", texts(*(f"fact {n}" for n in range(first, last)), key=f"{first}"))

    def ask(self) -> CubeHits:
        return self.host.search(OWNER, "c", query("fact 7", self.queries, top_k=100))

    def degraded(self) -> set[str]:
        return {shortfall.part for shortfall in self.ask().degraded}

    def dense(self) -> list[str]:
        """The memories that the dense channel knows."""
        return [hit.memory.text for hit in self.ask().hits if "dense" in hit.channels]

    def embedded_by(self, work: Callable[[], object]) -> int:
        before = self.embedder.embedded
        work()
        return self.embedder.embedded - before


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with milvus_server(tmp_path / "milvus") as server:
        rig = Rig(tmp_path, server)
        yield rig
        rig.host.close()


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


def all_there(rig: Rig, count: int) -> bool:
    return not rig.degraded() and sorted(rig.dense()) == sorted(f"fact {n}" for n in range(count))


def test_a_restart_embeds_nothing_again(rig: Rig) -> None:
    rig.add(0, 20)
    before = rig.ask().hits
    rig.host.close()
    assert rig.embedded_by(rig.open) == 0
    assert rig.ask().hits == before
    assert rig.ask().degraded == ()


def test_writes_go_on_while_milvus_is_away_and_nothing_is_lost_or_doubled(rig: Rig) -> None:
    rig.add(0, 20)
    assert all_there(rig, 20)
    rig.server.kill()
    rig.add(20, 40)
    assert rig.degraded() == {"dense"}
    assert "fact 27" in [hit.memory.text for hit in rig.ask().hits], "words still find it"
    assert any(str(rig.server.port) in reason for reason in rig.host.ready())
    rig.server.start()
    eventually(lambda: all_there(rig, 40))
    assert rig.host.ready() == []
    assert rig.host.verify(OWNER, "c").problems == ()


def test_a_host_opens_while_milvus_is_away_and_follows_when_it_is_back(rig: Rig) -> None:
    rig.add(0, 20)
    rig.host.close()
    rig.server.kill()
    rig.open()
    rig.add(20, 30)
    assert rig.degraded() == {"dense"}
    assert {shard["indexed"]["dense"] for shard in rig.host.status()["shards"].values()} == {None}

    def back() -> None:
        rig.server.start()
        eventually(lambda: all_there(rig, 30))

    assert rig.embedded_by(back) == 10, "what Milvus kept is not embedded again"
    rig.host.close()
    assert rig.embedded_by(rig.open) == 0


def test_what_was_committed_but_not_projected_before_an_outage_is_replayed_after_it(rig: Rig) -> None:
    rig.add(0, 10)
    rig.host.close()
    rig.open()
    rig.server.kill()
    rig.add(10, 20)
    rig.host.close()
    rig.open()
    rig.add(20, 30)

    def back() -> None:
        rig.server.start()
        eventually(lambda: all_there(rig, 30))

    assert rig.embedded_by(back) == 20, "neither what Milvus has nor what is fed besides is embedded again"


def test_vectors_that_milvus_lost_are_made_anew(rig: Rig) -> None:
    rig.add(0, 20)
    rig.server.kill()
    shutil.rmtree(rig.server.folder)
    rig.server.folder.mkdir()
    rig.server.start()
    eventually(lambda: all_there(rig, 20))
    rig.add(20, 25)
    assert all_there(rig, 25)
