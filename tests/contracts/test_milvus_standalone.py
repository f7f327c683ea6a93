"""A released Milvus server against the vector contract: what `milvus-lite server` does otherwise is seen here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.memory.ports import VectorIndex
from actors.stores.vectors.milvus_index import MilvusVectorIndex
from tests.contracts.milvus_standalone import MilvusStandalone, milvus_standalone
from tests.contracts.vector_contract import DIMENSION, StoredVectorIndexContract, everything, unit_vectors


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusStandalone]:
    with milvus_standalone(tmp_path_factory.mktemp("standalone")) as running:
        yield running


def opened(server: MilvusStandalone, folder: Path) -> MilvusVectorIndex:
    prefix = "s" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return MilvusVectorIndex(server.spec(prefix), "000", "model", DIMENSION)


class TestMilvusStandalone(StoredVectorIndexContract):
    score_error = 1e-6
    rounds = 10

    @pytest.fixture(autouse=True)
    def _reach(self, server: MilvusStandalone) -> None:
        self.server = server

    def open(self, folder: Path) -> VectorIndex:
        return opened(self.server, folder)


def test_a_server_that_was_killed_during_ingest_has_what_the_position_says(
    server: MilvusStandalone, tmp_path: Path
) -> None:
    vectors = unit_vectors(60)
    index = opened(server, tmp_path)
    index.put("c", range(40), vectors[:40])
    index.flush(40)
    index.put("c", range(40, 60), vectors[40:])
    server.kill()
    index.close()
    server.start()
    index = opened(server, tmp_path)
    assert index.position == 40
    assert 40 <= index.present("c") <= 60
    index.put("c", range(40, 60), vectors[40:])
    index.flush(60)
    assert index.present("c") == 60
    assert {row for row, _ in index.search("c", vectors[:1], everything(60), 60)} == {*range(60)}
    index.close()
