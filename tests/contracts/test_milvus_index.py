"""Milvus against the vector contract, on a real `milvus-lite server`; and what is particular to a remote store."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient

from actors.errors import ConfigError, Corrupted, NewerFormat, StorageUnavailable
from actors.memory.ports import Mask, VectorIndex
from actors.stores.vectors.milvus_index import MilvusVectorIndex
from actors.stores.vectors.milvus_statements import RECORD, SearchBounds, collection_name
from actors.stores.vectors.plain import PlainVectorIndex
from tests.contracts.milvus_server import MilvusServer, milvus_server
from tests.contracts.vector_contract import DIMENSION, Hits, StoredVectorIndexContract, everything, unit_vectors


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with milvus_server(tmp_path_factory.mktemp("milvus") / "data") as running:
        yield running


def opened(server: MilvusServer, folder: Path, model: str = "model", dimension: int = DIMENSION) -> MilvusVectorIndex:
    """The index that a folder's name stands for: the server's file is shared by all tests of the module."""
    prefix = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return MilvusVectorIndex(server.spec(prefix), "000", model, dimension)


class TestMilvus(StoredVectorIndexContract):
    score_error = 1e-6

    @pytest.fixture(autouse=True)
    def _reach(self, server: MilvusServer) -> None:
        self.server = server

    def open(self, folder: Path) -> VectorIndex:
        return opened(self.server, folder)


@pytest.fixture(scope="module")
def pair(server: MilvusServer) -> Iterator[tuple[MilvusVectorIndex, PlainVectorIndex]]:
    """The same rows in Milvus, with bounds so small that masks take every way, and in the reference."""
    bounds = SearchBounds(listed_rows=4, lists=2, fetched_rows=32)
    milvus, plain = MilvusVectorIndex(server.spec("pair"), "000", "model", DIMENSION, bounds), PlainVectorIndex()
    vectors = unit_vectors(120).astype(np.float16).astype(np.float32)
    for index in (milvus, plain):
        index.put("c", range(120), vectors)
        index.flush(1)
    yield milvus, plain
    milvus.close()


def agree(pair: tuple[MilvusVectorIndex, PlainVectorIndex], mask: Mask, k: int) -> bool:
    found, expected = (index.search("c", unit_vectors(1, seed=9), mask, k) for index in pair)
    scores = [[score for _, score in hits] for hits in (found, expected)]
    return [row for row, _ in found] == [row for row, _ in expected] and np.allclose(*scores, rtol=0, atol=1e-6)


@settings(max_examples=120, deadline=None)
@given(share=st.floats(0.02, 1.0), length=st.integers(1, 130), seed=st.integers(0, 10_000), k=st.integers(1, 60))
def test_whatever_shape_a_mask_has_the_answer_is_the_references(
    pair: tuple[MilvusVectorIndex, PlainVectorIndex], share: float, length: int, seed: int, k: int
) -> None:
    assert agree(pair, np.random.default_rng(seed).random(length) < share, k)


@pytest.mark.parametrize(
    "places", [slice(60, None), slice(60), [0, *range(60, 120)]], ids=["far", "near", "far but one"]
)
def test_a_mask_that_goes_with_the_scores_is_answered_exactly(
    pair: tuple[MilvusVectorIndex, PlainVectorIndex], places: slice | list[int]
) -> None:
    order = np.array([row for row, _ in pair[1].search("c", unit_vectors(1, seed=9), everything(120), 120)])
    mask = np.zeros(120, dtype=np.bool_)
    mask[order[places]] = True
    assert all(agree(pair, mask, k) for k in (1, 2, 5, 20))


def test_a_mask_with_few_gaps_takes_one_search_whatever_the_scores(
    pair: tuple[MilvusVectorIndex, PlainVectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    milvus, plain = pair
    order = [row for row, _ in plain.search("c", unit_vectors(1, seed=9), everything(120), 120)]
    mask, searches, nearest = everything(120), [], milvus._nearest
    mask[order[:9]] = False

    def counted(*asked: Any) -> Hits:
        searches.append(asked)
        return nearest(*asked)

    monkeypatch.setattr(milvus, "_nearest", counted)
    assert agree(pair, mask, 20)
    assert len(searches) == 1


def test_no_cube_id_reaches_another_cubes_rows(server: MilvusServer, tmp_path: Path) -> None:
    index, vectors = opened(server, tmp_path), unit_vectors(2)
    index.put("victim", [0], vectors[:1])
    quoting = st.text(st.sampled_from("\"'\\/%{}[]()$ \n\t\0=or"), max_size=20)

    @settings(max_examples=60, deadline=None)
    @given(cube_id=st.one_of(st.text(max_size=20), quoting, st.just('x" or cube != "')).filter(lambda c: c != "victim"))
    def holds(cube_id: str) -> None:
        assert index.present(cube_id) == 0
        index.put(cube_id, [3], vectors[1:])
        assert [row for row, _ in index.search(cube_id, vectors[:1], everything(5), 5)] == [3]
        index.erase(cube_id)
        assert (index.present(cube_id), index.present("victim")) == (0, 1)

    holds()
    index.close()


def test_another_dimension_is_refused_and_the_way_out_named(server: MilvusServer, tmp_path: Path) -> None:
    filled(server, tmp_path)
    index = opened(server, tmp_path, dimension=DIMENSION * 2)
    with pytest.raises(ConfigError, match=rf"model \({DIMENSION} .* model \({DIMENSION * 2}\).*reindex"):
        _ = index.position
    index.close()


def test_each_model_has_vectors_of_its_own_and_a_mistaken_collection_is_refused(
    server: MilvusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(server, tmp_path)
    other = opened(server, tmp_path, model="other")
    assert (other.position, other.present("c")) == (0, 0)
    other.close()
    monkeypatch.setattr(
        "actors.stores.vectors.milvus_statements.collection_name", lambda *names: collection_name(*names[:2], "model")
    )
    mistaken = opened(server, tmp_path, model="other")
    with pytest.raises(ConfigError, match=r"model .*other .*reindex"):
        mistaken.search("c", unit_vectors(1), everything(1), 1)
    mistaken.close()


def test_a_newer_format_is_refused(server: MilvusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(server, tmp_path)
    monkeypatch.setattr("actors.stores.vectors.milvus_record.FORMAT", 0)
    index = opened(server, tmp_path)
    with pytest.raises(NewerFormat, match="newer version"):
        index.present("c")
    index.close()


def test_a_collection_that_was_dropped_is_told_and_the_next_opening_begins_anew(
    server: MilvusServer, tmp_path: Path
) -> None:
    filled(server, tmp_path)
    index = opened(server, tmp_path)
    assert index.position == 20
    drop(server, index)
    with pytest.raises(Corrupted, match=f"127.0.0.1:{server.port}"):
        index.search("c", unit_vectors(1), everything(20), 3)
    index.close()
    index = opened(server, tmp_path)
    assert (index.position, index.present("c")) == (0, 0)
    index.close()


def test_a_collection_without_a_record_is_made_anew(server: MilvusServer, tmp_path: Path) -> None:
    filled(server, tmp_path)
    index = opened(server, tmp_path)
    client = MilvusClient(server.spec("").uri)
    client.delete(collection_of(index), ids=[RECORD])
    client.close()
    assert (index.position, index.present("c")) == (0, 0)
    index.close()


def test_an_owner_whose_collection_another_one_cleared_stores_no_position(server: MilvusServer, tmp_path: Path) -> None:
    filled(server, tmp_path)
    late, owner = opened(server, tmp_path), opened(server, tmp_path)
    late.put("c", [20], unit_vectors(1))
    owner.clear()
    with pytest.raises(StorageUnavailable, match="another owner"):
        late.flush(21)
    late.close()
    owner.close()
    after = opened(server, tmp_path)
    assert after.position == 0
    after.close()


def test_a_closed_index_says_so(server: MilvusServer, tmp_path: Path) -> None:
    index = opened(server, tmp_path)
    index.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        index.flush(1)


def test_the_server_listens_on_loopback_alone_and_calls_nobody(server: MilvusServer, tmp_path: Path) -> None:
    filled(server, tmp_path)
    sockets = server.process.net_connections("inet")
    listening = [s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]
    assert listening
    assert all(on_loopback(ip) for ip in listening)
    assert all(on_loopback(s.raddr.ip) for s in sockets if s.raddr)


def test_what_was_flushed_survives_a_killed_server_and_the_index_heals_by_itself(tmp_path: Path) -> None:
    with milvus_server(tmp_path / "data") as server:
        index, vectors = opened(server, tmp_path), unit_vectors(40)
        index.put("c", range(20), vectors[:20])
        index.flush(20)
        server.kill()
        with pytest.raises(StorageUnavailable, match=f"127.0.0.1:{server.port}"):
            index.put("c", [20], vectors[20:21])
        with pytest.raises(StorageUnavailable):
            index.search("c", vectors[:1], everything(20), 1)
        server.start()
        eventually(lambda: index.put("c", range(20, 40), vectors[20:]))
        index.flush(40)
        assert index.present("c") == 40
        assert index.search("c", vectors[7:8], everything(40), 1)[0][0] == 7
        index.close()
        again = opened(server, tmp_path)
        assert (again.position, again.present("c")) == (40, 40)
        again.close()


def test_a_server_that_hangs_holds_no_call_for_longer_than_the_timeout(tmp_path: Path) -> None:
    with milvus_server(tmp_path / "data") as server:
        index = MilvusVectorIndex(replace(server.spec("hang"), timeout_s=0.5), "000", "model", DIMENSION)
        index.put("c", [0], unit_vectors(1))
        server.process.suspend()
        for _ in range(2):  # over the open connection, and over a new one
            with pytest.raises(StorageUnavailable, match=f"127.0.0.1:{server.port}"):
                index.search("c", unit_vectors(1), everything(1), 1)
        server.process.resume()
        eventually(lambda: index.put("c", [1], unit_vectors(1)))
        assert index.present("c") == 2
        index.close()


def test_a_server_killed_at_any_moment_keeps_the_position_behind_the_vectors(tmp_path: Path) -> None:
    with milvus_server(tmp_path / "data") as server:
        for round_number in range(3):
            index, flushed = opened(server, tmp_path), []

            def work(index: MilvusVectorIndex = index, flushed: list[int] = flushed) -> None:
                with suppress(StorageUnavailable):
                    for row in range(index.position, 100_000):
                        index.put("c", [row], unit_vectors(1, seed=row))
                        index.flush(row + 1)
                        flushed.append(row + 1)

            worker = threading.Thread(target=work)
            worker.start()
            while len(flushed) < 10 + 7 * round_number and worker.is_alive():
                time.sleep(0.005)
            server.kill()
            worker.join()
            index.close()
            server.start()
            index = opened(server, tmp_path)
            assert index.position >= flushed[-1] >= 10
            whole = index.search("c", unit_vectors(1), everything(index.position), index.position)
            assert sorted(row for row, _ in whole) == list(range(index.position))
            index.close()


def on_loopback(ip: str) -> bool:
    return ip.removeprefix("::ffff:") == "127.0.0.1"


def filled(server: MilvusServer, folder: Path) -> None:
    """Rows 0 to 19 of cube c, position 20."""
    index = opened(server, folder)
    index.put("c", range(20), unit_vectors(20))
    index.flush(20)
    index.close()


def collection_of(index: MilvusVectorIndex) -> str:
    return index._collection


def drop(server: MilvusServer, index: MilvusVectorIndex) -> None:
    client = MilvusClient(server.spec("").uri)
    client.drop_collection(collection_of(index))
    client.close()


def eventually(work: Callable[[], None]) -> None:
    """Try until the store answers."""
    until = time.monotonic() + 30
    while True:
        try:
            return work()
        except StorageUnavailable:
            assert time.monotonic() < until
            time.sleep(0.05)
