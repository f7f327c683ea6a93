"""Neo4j against the graph contract, over Bolt from its official driver to ArcadeDB's server; and what is particular."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import ConfigError, NewerFormat, StorageUnavailable
from actors.memory.graph_ports import GraphIndex
from actors.stores.graph.neo4j_connection import Neo4jConnection
from actors.stores.graph.neo4j_index import Neo4jGraphIndex
from tests.contracts.bolt_server import BoltServer, bolt_server
from tests.contracts.graph_contract import StoredGraphIndexContract, alias, mention
from tests.contracts.until import until_it_works


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoltServer]:
    with bolt_server(tmp_path_factory.mktemp("bolt") / "data") as running:
        yield running


class TestNeo4j(StoredGraphIndexContract):
    examples = 6

    @pytest.fixture(autouse=True)
    def _reach(self, server: BoltServer) -> None:
        self.server = server

    def open(self, folder: Path) -> GraphIndex:
        """The index that a folder's name stands for: the database is shared by all tests of the module."""
        prefix = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        return Neo4jGraphIndex(self.server.spec(prefix), "000")


def test_no_node_is_left_of_an_erased_memory(server: BoltServer) -> None:
    index, connection = Neo4jGraphIndex(server.spec("bare"), "000"), Neo4jConnection(server.spec("bare"))
    index.put([mention("m", "secret"), alias("m", "secret", "another secret"), mention("n", "open")])
    index.erase_memories({"c": ["m"]})
    names = connection.read(lambda tell: tell("MATCH (n:MemosNode {shard: 'bare/000'}) RETURN n.name", {}))
    assert sorted(names) == [["n"], ["open"]]
    index.close()
    connection.close()


def test_shards_of_a_database_do_not_see_each_other(server: BoltServer) -> None:
    one, other = Neo4jGraphIndex(server.spec("apart"), "000"), Neo4jGraphIndex(server.spec("apart"), "001")
    for index in (one, other):
        index.put([mention("m", "x")])
        index.flush(3)
    other.put([mention("m", "x", words="other's")])
    assert one.page({"c": 1}, 9) == [mention("m", "x")]
    one.clear()
    assert (one.page({"c": 1}, 9), one.position) == ([], 0)
    assert (other.page({"c": 1}, 9), other.position) == ([mention("m", "x", words="other's")], 3)
    one.close()
    other.close()


def test_more_than_one_statement_holds_is_put_ended_and_erased(
    server: BoltServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.stores.graph.neo4j_index._ROWS", 7)
    index = Neo4jGraphIndex(server.spec("many"), "000")
    index.put([mention(f"m{n:02}", f"x{n % 4}", since=1 + n % 3) for n in range(40)])
    assert len(index.page({"c": 9}, 99)) == 40
    index.erase_memories({"c": [f"m{n:02}" for n in range(20)]})
    assert sorted(edge.memory_id for edge in index.page({"c": 9}, 99)) == [f"m{n}" for n in range(20, 40)]
    index.erase("c")
    assert index.page({"c": 9}, 99) == []
    index.close()


def test_an_owner_whose_graph_was_cleared_by_another_does_not_say_how_far_it_is(server: BoltServer) -> None:
    stale, owner = Neo4jGraphIndex(server.spec("owners"), "000"), Neo4jGraphIndex(server.spec("owners"), "000")
    stale.put([mention("m", "x")])
    stale.flush(5)
    owner.clear()
    stale.put([mention("n", "x")])
    with pytest.raises(StorageUnavailable, match="another owner"):
        stale.flush(9)
    assert owner.position == 0
    stale.close()
    owner.close()


def test_a_password_that_is_refused_is_named_as_the_setting_it_is(server: BoltServer) -> None:
    index = Neo4jGraphIndex(replace(server.spec("refused"), password="another"), "000")
    with pytest.raises(ConfigError, match=r"graph\.user 'root'"):
        index.put([mention("m", "x")])
    index.close()


@pytest.mark.parametrize("addresses", [("http://127.0.0.1:7687",), ("nonsense",), ()])
def test_what_is_no_address_of_a_neo4j_is_refused(server: BoltServer, addresses: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"graph\.addresses"):
        Neo4jGraphIndex(replace(server.spec("nowhere"), addresses=addresses), "000")


def test_a_newer_format_is_refused(server: BoltServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("actors.stores.graph.neo4j_index.FORMAT", 2)
        index = Neo4jGraphIndex(server.spec("newer"), "000")
        index.flush(0)
        index.close()
    index = Neo4jGraphIndex(server.spec("newer"), "000")
    with pytest.raises(NewerFormat):
        index.put([mention("m", "x")])
    index.close()


def test_a_closed_index_takes_nothing_more(server: BoltServer) -> None:
    index = Neo4jGraphIndex(server.spec("closed"), "000")
    index.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        index.page({"c": 1}, 9)


def test_a_server_that_is_away_at_first_dies_while_it_works_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    server = BoltServer(folder)
    index = Neo4jGraphIndex(server.spec("kill", timeout_s=1.0), "000")
    edges = [mention(f"m{n}", f"x{n % 7}", since=n + 1) for n in range(400)]
    try:
        for _ in range(2):  # the second at once
            with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1"):
                index.put(edges)
        server.start()
        until_it_works(lambda: index.put(edges[:100]))
        until_it_works(lambda: index.flush(100))
        dying = threading.Timer(0.05, server.kill)
        dying.start()
        with pytest.raises(StorageUnavailable):
            for edge in itertools.cycle(edges[100:]):
                index.put([edge])
        dying.join()
        server.start()
        until_it_works(lambda: index.page({"c": 999}, 1))
        assert index.position == 100
        assert set(index.page({"c": 999}, 999)) >= set(edges[:100])
        until_it_works(lambda: index.put(edges[100:]))  # what was not flushed is put again
        assert index.page({"c": 999}, 999) == sorted(edges, key=lambda edge: edge.place)
    finally:
        index.close()
        server.kill()
