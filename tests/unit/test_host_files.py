"""A host on files, opened as production opens it: what a restart, damage and a second owner do to it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from actors.clock import SystemClock
from actors.errors import Corrupted, Fenced, StorageUnavailable
from actors.host import CubeHost, HostSpec
from actors.memory_budget import MemoryBudget
from actors.shard import Shard
from actors.shard_opening import open_audit, open_shard
from tests.unit.hosts import KEY, OWNER, Catalogue, HashEmbedder, file_host, query, texts
from tests.unit.test_projection import eventually


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue()
    for n in range(4):
        catalogue.register(f"c{n}")
    return catalogue


def _fill(host: CubeHost) -> None:
    for n in range(4):
        host.add(OWNER, f"c{n}", texts(f"fact {n}", f"story {n}", key=f"k{n}"))


def _found(host: CubeHost, n: int, embedder: HashEmbedder) -> list[str]:
    answer = host.search(OWNER, f"c{n}", query(f"fact {n}", embedder))
    assert answer.degraded == ()
    return [hit.memory.text for hit in answer.hits]


def test_everything_is_there_after_a_restart_and_scores_are_the_same(tmp_path: Path, catalogue: Catalogue) -> None:
    embedder = HashEmbedder()
    host = file_host(tmp_path, catalogue, embedder)
    _fill(host)
    before = [host.search(OWNER, f"c{n}", query("fact story", embedder)).hits for n in range(4)]
    host.close()
    embedded = embedder.embedded
    host = file_host(tmp_path, catalogue, embedder)
    assert embedder.embedded == embedded
    after = [host.search(OWNER, f"c{n}", query("fact story", embedder)).hits for n in range(4)]
    assert after == before
    assert all(host.verify(OWNER, f"c{n}").problems == () for n in range(4))
    host.close()


def test_a_damaged_index_is_rebuilt_from_the_journal(tmp_path: Path, catalogue: Catalogue) -> None:
    embedder = HashEmbedder()
    host = file_host(tmp_path, catalogue, embedder)
    _fill(host)
    host.close()
    for pattern in ("shards/*/vectors/*.parquet", "indexes/*/lexical/*.store", "indexes/*/lexical/meta.json"):
        damaged = list(tmp_path.glob(pattern))
        assert damaged
        for file in damaged:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    host = file_host(tmp_path, catalogue, embedder)
    for n in range(4):  # damage that only reading shows is named once, then the index is rebuilt
        host.search(OWNER, f"c{n}", query("fact", embedder))
    assert [_found(host, n, embedder)[0] for n in range(4)] == [f"fact {n}" for n in range(4)]
    host.close()


def test_a_damaged_journal_is_refused_by_name(tmp_path: Path, catalogue: Catalogue) -> None:
    embedder = HashEmbedder()
    host = file_host(tmp_path, catalogue, embedder)
    _fill(host)
    host.close()
    victim = max((tmp_path / "shards" / "000" / "journal").glob("*.parquet"), key=lambda f: f.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(Corrupted, match=victim.name):
        file_host(tmp_path, catalogue, embedder)


def test_a_second_host_takes_over_and_the_first_cannot_write(tmp_path: Path, catalogue: Catalogue) -> None:
    first_embedder, second_embedder = HashEmbedder(), HashEmbedder()
    first = file_host(tmp_path, catalogue, first_embedder)
    _fill(first)
    eventually(lambda: not any(sum(shard["lag"].values()) for shard in first.status()["shards"].values()))
    first_indexes = tmp_path / "indexes"
    first_indexes.rename(tmp_path / "elsewhere")  # another machine has index files of its own
    second = file_host(tmp_path, catalogue, second_embedder)
    with pytest.raises(Fenced):
        first.add(OWNER, "c0", texts("too late"))
    second.add(OWNER, "c0", texts("in time"))
    assert [_found(second, n, second_embedder)[0] for n in range(4)] == [f"fact {n}" for n in range(4)]
    assert second.verify(OWNER, "c0").problems == ()
    second.close()


def test_an_opening_that_fails_half_way_can_be_tried_again(tmp_path: Path, catalogue: Catalogue) -> None:
    embedder = HashEmbedder()
    spec = HostSpec("host-0", str(tmp_path / "shards"), str(tmp_path / "indexes"), (0, 1), 2, KEY)
    tries = []

    def open_second_late(number: int, budget: MemoryBudget) -> Shard:
        tries.append(number)
        if number == 1 and len(tries) == 2:
            raise StorageUnavailable("storage is away for a moment")
        return open_shard(spec, number, embedder, budget)

    with pytest.raises(StorageUnavailable):
        CubeHost(spec, open_second_late, partial(open_audit, spec), catalogue, SystemClock())
    host = CubeHost(spec, open_second_late, partial(open_audit, spec), catalogue, SystemClock())
    _fill(host)
    host.close()


def test_a_shard_that_fails_while_it_opens_lets_go_of_its_files(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = HashEmbedder()
    host = file_host(tmp_path, catalogue, embedder)
    _fill(host)
    host.close()

    def broken(*_: object) -> None:
        raise StorageUnavailable("storage is away for a moment")

    with monkeypatch.context() as patched:
        patched.setattr(Shard, "_distrust_what_is_ahead", broken)
        with pytest.raises(StorageUnavailable) as caught:
            file_host(tmp_path, catalogue, embedder)
    host = file_host(tmp_path, catalogue, embedder)
    assert caught.value.detail == "storage is away for a moment"
    assert _found(host, 0, embedder)[0] == "fact 0"
    host.close()


def test_what_is_ahead_of_a_journal_that_was_put_back_is_made_anew(tmp_path: Path, catalogue: Catalogue) -> None:
    embedder = HashEmbedder()
    host = file_host(tmp_path, catalogue, embedder)
    host.add(OWNER, "c0", texts("fact 0"))
    host.close()
    shutil.copytree(tmp_path / "shards", tmp_path / "copy")
    host = file_host(tmp_path, catalogue, embedder)
    host.add(OWNER, "c0", texts(*(f"forgotten {n}" for n in range(5))))
    host.close()
    for kept in (tmp_path / "shards").glob("*/snapshots"):
        shutil.rmtree(tmp_path / "copy" / kept.parent.name / "snapshots", ignore_errors=True)
        shutil.copytree(kept, tmp_path / "copy" / kept.parent.name / "snapshots")
    shutil.rmtree(tmp_path / "shards")
    (tmp_path / "copy").rename(tmp_path / "shards")
    host = file_host(tmp_path, catalogue, embedder)
    assert _found(host, 0, embedder) == ["fact 0"]
    assert host.read_cube(OWNER, "c0").version == 2
    for shard in host.status()["shards"].values():
        assert max(shard["indexed"].values()) <= shard["position"]
    host.close()
