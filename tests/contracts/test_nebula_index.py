"""NebulaGraph against the graph contract: the real client and wire protocol, to a server that knows the language."""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import ConfigError, NewerFormat, StorageUnavailable
from actors.memory.graph import Ending
from actors.memory.graph_ports import GraphIndex
from actors.stores.graph.nebula_index import NebulaGraphIndex
from actors.stores.graph.nebula_statements import NODE
from tests.contracts.graph_contract import StoredGraphIndexContract, alias, entity, mention
from tests.contracts.milvus_server import free_port
from tests.contracts.nebula_server import (
    DONE_AND_DROPPED,
    DROPPED,
    EXPIRED,
    LEADER,
    LEADER_IN_WORDS,
    NebulaServer,
    nebula_server,
)
from tests.contracts.until import until_it_works

GOLDEN = Path(__file__).parent / "nebula_statements.golden"


@pytest.fixture(scope="module")
def server() -> Iterator[NebulaServer]:
    with nebula_server() as running:
        yield running


class TestNebula(StoredGraphIndexContract):
    examples = 15

    @pytest.fixture(autouse=True)
    def _reach(self, server: NebulaServer) -> Iterator[None]:
        self.server = server
        yield
        assert server.refused == []

    def open(self, folder: Path) -> GraphIndex:
        """The index that a folder's name stands for."""
        prefix = "t" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        return NebulaGraphIndex(self.server.spec(prefix), "000")


def test_everything_that_is_sent_has_a_shape_of_the_golden_file(server: NebulaServer, tmp_path: Path) -> None:
    contract = TestNebula()
    contract.server = server
    for number, step in enumerate(
        (
            contract.test_an_erased_memory_leaves_nothing_and_others_everything,
            contract.test_an_erased_cube_is_gone_and_can_be_filled_again,
            contract.test_edges_are_live_from_their_version_until_they_end,
            contract.test_pages_hold_every_live_edge_once,
            contract.test_clearing_forgets_everything_and_the_position,
        )
    ):
        with closing(contract.open(tmp_path / str(number))) as index:
            step(index)
    golden = {re.sub(" , [.]{3}", "", line) for line in GOLDEN.read_text().splitlines()}
    sent = {re.sub(r"\b[a-z][a-z0-9]{16,17}_000\b", "memos_000", shape) for shape in server.shapes}
    sent = {re.sub(" , [.]{3}", "", shape) for shape in sent}
    assert sent == golden


@pytest.fixture
def faulty() -> Iterator[NebulaServer]:
    """A server of the test's own."""
    with nebula_server() as running:
        yield running


@pytest.fixture
def index(faulty: NebulaServer) -> Iterator[NebulaGraphIndex]:
    index = NebulaGraphIndex(faulty.spec("memos", timeout_s=5.0), "000")
    yield index
    index.close()


EDGES = [mention(f"m{n}", f"x{n % 7}", since=n + 1) for n in range(60)]


@pytest.mark.parametrize("fault", [EXPIRED, LEADER, LEADER_IN_WORDS, DROPPED, DONE_AND_DROPPED])
def test_every_statement_survives_every_fault(faulty: NebulaServer, index: NebulaGraphIndex, fault: str) -> None:
    def all_of_it() -> object:
        """Everything that an index does, and what it answered."""
        index.put(EDGES[:8])
        index.end([Ending("c", "m3", 4, 9)])
        index.flush(index.position + 1)
        index.erase_memories({"c": ["m5"]})
        answers = [index.touching([entity("x1")], {"c": 60}, 5), index.page({"c": 30}, 99), index.position]
        index.erase("c")
        index.put(EDGES[:1])
        return answers

    index.clear()
    expected = all_of_it()
    before = len(faulty.sent)
    index.clear()
    all_of_it()
    statements = len(faulty.sent) - before
    for at in range(statements):
        index.clear()
        faulty.faults.extend([""] * at + [fault])
        index_of_this_run = all_of_it()
        faulty.faults.clear()
        assert index_of_this_run == expected, f"the fault came with statement {at} of {statements}"
    assert faulty.refused == []


def test_faults_that_do_not_end_are_told_within_the_time_given(faulty: NebulaServer) -> None:
    index = NebulaGraphIndex(faulty.spec("memos", timeout_s=0.4), "000")
    index.put(EDGES[:1])
    faulty.faults.extend([LEADER] * 1000)
    with pytest.raises(StorageUnavailable, match="E_LEADER_CHANGED"):
        index.put(EDGES[:1])
    faulty.faults.clear()
    assert index.page({"c": 1}, 9) == EDGES[:1]
    index.close()


def test_a_space_and_schema_that_servers_learn_of_later_are_waited_for(faulty: NebulaServer) -> None:
    faulty.late = 5
    index = NebulaGraphIndex(faulty.spec("memos"), "000")
    index.put(EDGES[:1])
    assert faulty.late == 0
    assert index.page({"c": 1}, 9) == EDGES[:1]
    index.close()


def test_nothing_is_put_into_a_new_space_before_its_servers_know_its_indexes(faulty: NebulaServer) -> None:
    index = NebulaGraphIndex(replace(faulty.spec("memos"), settle_s=0.3), "000")
    for work in (lambda: index.put(EDGES[:1]), index.clear, lambda: index.position):
        with pytest.raises(StorageUnavailable, match="just made"):
            work()
    assert not any(statement.startswith("INSERT") for statement in faulty.sent)
    until_it_works(lambda: index.put(EDGES[:1]))
    index.close()
    again = NebulaGraphIndex(replace(faulty.spec("memos"), settle_s=999), "000")
    assert again.page({"c": 1}, 9) == EDGES[:1]
    again.close()


def test_a_server_that_is_away_at_first_dies_while_it_works_and_comes_back_loses_nothing() -> None:
    server = NebulaServer()
    index = NebulaGraphIndex(server.spec("memos", timeout_s=0.3), "000")
    try:
        for _ in range(2):  # the second at once
            with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1"):
                index.put(EDGES)
        server.start()
        until_it_works(lambda: index.put(EDGES[:20]))
        index.flush(20)
        dying = threading.Timer(0.1, server.kill)
        dying.start()
        with pytest.raises(StorageUnavailable):
            for edge in itertools.cycle(EDGES[20:]):
                index.put([edge])
        dying.join()
        server.start()
        until_it_works(lambda: index.page({"c": 99}, 1))
        assert index.position == 20
        index.put(EDGES[20:])
        assert index.page({"c": 99}, 99) == EDGES
    finally:
        index.close()
        server.kill()


def test_one_of_several_addresses_is_enough(faulty: NebulaServer) -> None:
    spec = faulty.spec("memos")
    spec = replace(spec, addresses=(f"127.0.0.1:{free_port()}", *spec.addresses, f"127.0.0.1:{free_port()}"))
    index = NebulaGraphIndex(spec, "000")
    for _ in range(4):
        faulty.faults.append(DROPPED)  # each session is opened anew
        index.put(EDGES[:3])
    assert index.page({"c": 9}, 9) == EDGES[:3]
    index.close()


def test_no_vertex_is_left_of_an_erased_memory(faulty: NebulaServer, index: NebulaGraphIndex) -> None:
    index.put([mention("m", "secret"), alias("m", "secret", "another secret"), mention("n", "open")])
    index.erase_memories({"c": ["m"]})
    names = [tags[NODE]["name"] for tags in faulty.engine.spaces["memos_000"].vertices.values() if NODE in tags]
    assert sorted(names) == ["n", "open"]


def test_shards_do_not_see_each_other(faulty: NebulaServer) -> None:
    one, other = (NebulaGraphIndex(faulty.spec("memos"), shard) for shard in ("000", "001"))
    for each in (one, other):
        each.put(EDGES[:1])
        each.flush(3)
    one.clear()
    assert (one.page({"c": 1}, 9), one.position) == ([], 0)
    assert (other.page({"c": 1}, 9), other.position) == (EDGES[:1], 3)
    one.close()
    other.close()


def test_an_owner_whose_graph_was_cleared_by_another_does_not_say_how_far_it_is(faulty: NebulaServer) -> None:
    stale, owner = (NebulaGraphIndex(faulty.spec("memos"), "000") for _ in range(2))
    stale.put(EDGES[:1])
    stale.flush(5)
    owner.clear()
    for position in (9, 0):
        with pytest.raises(StorageUnavailable, match="another owner"):
            stale.flush(position)
    after = NebulaGraphIndex(faulty.spec("memos"), "000")
    assert after.position == 0
    for each in (stale, owner, after):
        each.close()


def test_sessions_are_used_again_and_given_back(faulty: NebulaServer, index: NebulaGraphIndex) -> None:
    for _ in range(20):
        index.put(EDGES[:2])
    assert len(faulty.sessions) == 2  # one outside of the space, one inside
    index.close()
    assert within(lambda: not faulty.sessions)
    with pytest.raises(StorageUnavailable, match="closed"):
        index.page({"c": 1}, 9)


def test_a_password_that_is_refused_is_named_as_the_setting_it_is(faulty: NebulaServer) -> None:
    index = NebulaGraphIndex(replace(faulty.spec("memos"), password="another"), "000")
    with pytest.raises(ConfigError, match=r"graph\.user 'root'"):
        index.put(EDGES[:1])
    index.close()


@pytest.mark.parametrize("addresses", [(), ("nowhere",), ("host:port",), ("host:0",), (":9669",)])
def test_what_is_no_address_is_refused(faulty: NebulaServer, addresses: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"graph\.addresses"):
        NebulaGraphIndex(replace(faulty.spec("memos"), addresses=addresses), "000")


def test_a_prefix_that_cannot_name_a_space_is_refused(faulty: NebulaServer) -> None:
    with pytest.raises(ConfigError, match=r"graph\.prefix"):
        NebulaGraphIndex(faulty.spec("a; DROP SPACE b"), "000")


def test_a_newer_format_is_refused(faulty: NebulaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("actors.stores.graph.nebula_index.FORMAT", 2)
        index = NebulaGraphIndex(faulty.spec("memos"), "000")
        assert index.position == 0
        index.close()
    index = NebulaGraphIndex(faulty.spec("memos"), "000")
    with pytest.raises(NewerFormat):
        index.put(EDGES[:1])
    index.close()


def within(condition: Callable[[], bool], longest_s: float = 10.0) -> bool:
    until = time.monotonic() + longest_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()
