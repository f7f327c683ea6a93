"""Graphs of large cubes: the contract holds with them, and what is particular to building, storing and using them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from actors.memory.ports import Mask, VectorIndex, Vectors
from actors.stores.location import StorageSpec
from actors.stores.vectors import graph as graph_module
from actors.stores.vectors import graph_building
from actors.stores.vectors.faiss_index import FaissVectorIndex
from actors.stores.vectors.graph import RowGraph, breadth_for
from tests.contracts.test_vector_indexes import flush_until_killed, next_epoch
from tests.contracts.vector_contract import DIMENSION, StoredVectorIndexContract, everything, unit_vectors

ROWS = 3000
K = 20


@pytest.fixture(autouse=True)
def small_breadth(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that cubes of a test's size are searched by their graphs."""
    monkeypatch.setattr(graph_module, "SEARCH_BREADTH", 100)
    monkeypatch.setattr(graph_module, "_ROWS_PER_BREADTH", 1)


def _opened(folder: Path, from_rows: int) -> FaissVectorIndex:
    return FaissVectorIndex(StorageSpec(str(folder)), "model", DIMENSION, next_epoch(folder), from_rows)


def topical_vectors(count: int, seed: int = 0) -> Vectors:
    """Unit vectors around a number of topics, as embedded sentences lie."""
    rng = np.random.default_rng(seed)
    topics = np.random.default_rng(99).standard_normal((40, DIMENSION))
    vectors = topics[rng.integers(0, 40, count)] + 0.7 * rng.standard_normal((count, DIMENSION))
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.fixture
def index(tmp_path: Path) -> Iterator[FaissVectorIndex]:
    """With ROWS rows of cube "c" and a finished graph."""
    index = _opened(tmp_path, ROWS)
    _fill(index, ROWS)
    yield index
    index.close()


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[FaissVectorIndex]:
    exact = _opened(tmp_path / "exact", 1_000_000)
    _fill(exact, ROWS)
    yield exact
    exact.close()


def _fill(index: FaissVectorIndex, rows: int) -> None:
    assert index.present("c") == 0
    index.put("c", range(rows), topical_vectors(rows))
    index.flush(rows)
    _settle(index)


def _settle(index: FaissVectorIndex) -> None:
    """Wait until nothing is being built."""
    waiting = threading.Event()
    while not index._graphs.idle():
        waiting.wait(0.01)


def _graph(index: FaissVectorIndex) -> RowGraph | None:
    return index._open["c"].graph


def _recall(index: FaissVectorIndex, exact: FaissVectorIndex, allowed: Mask) -> float:
    """The share of the exact search's best rows that a search finds; scores must be the same bit for bit."""
    found = 0
    for query in topical_vectors(50, seed=7):
        best = dict(exact.search("c", query[None], allowed, K))
        hits = index.search("c", query[None], allowed, K)
        assert len(hits) == len(best)
        assert hits == sorted(hits, key=lambda hit: (-hit[1], hit[0]))
        assert all(allowed[row] for row, _ in hits)
        assert all(best[row] == score for row, score in hits if row in best)
        found += len(best.keys() & dict(hits).keys())
    return found / (50 * K)


class TestFaissWithGraphs(StoredVectorIndexContract):
    """Breadth enough to visit every row: then the contract holds to the letter."""

    @pytest.fixture(autouse=True)
    def exhaustive(self, small_breadth: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(graph_module, "SEARCH_BREADTH", 500)
        monkeypatch.setattr(graph_module, "_ROWS_PER_BREADTH", 0)

    def open(self, folder: Path) -> VectorIndex:
        return _opened(folder, 20)


def test_a_graph_finds_nearly_all_with_the_scores_of_exact_search(
    index: FaissVectorIndex, exact: FaissVectorIndex
) -> None:
    graph = _graph(index)
    assert graph is not None and graph.rows == ROWS
    assert _recall(index, exact, everything(ROWS)) >= 0.98


def test_scores_are_the_same_bit_for_bit_however_a_row_was_found(tmp_path: Path) -> None:
    rows, dimension, k = 5000, 384, 200
    vectors = np.random.default_rng(0).standard_normal((rows, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = FaissVectorIndex(StorageSpec(str(tmp_path)), "model", dimension, 1, rows)
    assert index.present("c") == 0
    index.put("c", range(rows - 1), vectors[:-1])
    most, few = everything(rows - 1), np.arange(rows - 1) % 10 == 0
    most[1] = False
    scanned = [dict(index.search("c", vectors[:1], mask, k)) for mask in (everything(rows - 1), most, few)]
    index.put("c", [rows - 1], vectors[-1:])
    _settle(index)
    assert _graph(index) is not None
    found = dict(index.search("c", vectors[:1], everything(rows), k))
    for scores in (*scanned, found):
        assert all(scanned[0].get(row, score) == score for row, score in scores.items())
    assert len(found.keys() & scanned[0].keys()) > k / 2
    index.close()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_a_mask_costs_no_recall(index: FaissVectorIndex, exact: FaissVectorIndex, share: float) -> None:
    assert _recall(index, exact, np.random.default_rng(3).random(ROWS) < share) >= 0.98


def test_allowed_rows_that_lie_far_from_the_query_are_all_found(
    index: FaissVectorIndex, exact: FaissVectorIndex
) -> None:
    query = topical_vectors(1, seed=5)
    scores = topical_vectors(ROWS) @ query[0]
    far = scores < np.median(scores)
    assert index.search("c", query, far, K) == exact.search("c", query, far, K)


def test_rows_after_the_graph_and_rows_that_changed_are_found(index: FaissVectorIndex) -> None:
    covered = _graph(index)
    added, changed = unit_vectors(2, seed=11)
    index.put("c", [ROWS], added[None])
    index.put("c", [17], changed[None])
    assert index.search("c", added[None], everything(ROWS + 1), 1)[0][0] == ROWS
    assert index.search("c", changed[None], everything(ROWS + 1), 1)[0][0] == 17
    assert _graph(index) is covered and covered is not None and covered.rows == ROWS


def test_a_graph_is_extended_when_enough_rows_came_after_it(index: FaissVectorIndex, exact: FaissVectorIndex) -> None:
    more = topical_vectors(500, seed=1)
    for some in (index, exact):
        some.put("c", range(ROWS, ROWS + 500), more)
    _settle(index)
    graph = _graph(index)
    assert graph is not None and graph.rows == ROWS + 500
    assert _recall(index, exact, everything(ROWS + 500)) >= 0.98


def test_a_stored_graph_is_used_again_and_not_built_again(
    tmp_path: Path, index: FaissVectorIndex, exact: FaissVectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.close()

    def never(dimension: int) -> RowGraph:
        raise AssertionError("built anew")

    monkeypatch.setattr(RowGraph, "empty", never)
    again = _opened(tmp_path, ROWS)
    assert again.present("c") == ROWS
    graph = _graph(again)
    assert graph is not None and graph.rows == ROWS
    assert _recall(again, exact, everything(ROWS)) >= 0.98
    again.close()


@pytest.mark.parametrize("damage", ["flip", "remove", "more rows"])
def test_a_graph_that_cannot_be_used_is_built_anew(
    tmp_path: Path, index: FaissVectorIndex, exact: FaissVectorIndex, damage: str
) -> None:
    index.close()
    (file,) = tmp_path.glob("graph-*")
    data = file.read_bytes()
    if damage == "flip":
        file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "remove":
        file.unlink()
    index = _opened(tmp_path, ROWS)
    if damage == "more rows":  # the graph reaches further than what was flushed
        graph = graph_module.RowGraph.empty(DIMENSION)
        graph.add(topical_vectors(ROWS + 1))
        index._segments.write_graph("c", ROWS + 1, graph.to_bytes())
    assert index.search("c", topical_vectors(ROWS)[:1], everything(ROWS), 1)[0][0] == 0
    _settle(index)
    used = _graph(index)
    assert used is not None and used.rows == ROWS
    assert _recall(index, exact, everything(ROWS)) >= 0.98
    index.close()
    assert len(list(tmp_path.glob("graph-*"))) == 1


def test_an_erased_cube_takes_its_graph_along(tmp_path: Path, index: FaissVectorIndex) -> None:
    assert list(tmp_path.glob("graph-*"))
    index.erase("c")
    assert not list(tmp_path.glob("graph-*"))
    assert index.search("c", topical_vectors(1), everything(ROWS), 1) == []


class _Steps:
    """Holds the builder before each step until it is let go; counts the steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        add = RowGraph.add

        def stepping(graph: RowGraph, vectors: Vectors) -> None:
            self.reached.set()
            assert self.go.wait(30)
            add(graph, vectors)

        monkeypatch.setattr(RowGraph, "add", stepping)


def test_exact_search_serves_while_a_graph_is_built_and_what_changes_meanwhile_counts(
    tmp_path: Path, exact: FaissVectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _Steps(monkeypatch)
    index = _opened(tmp_path, ROWS)
    assert index.present("c") == 0
    index.put("c", range(ROWS), topical_vectors(ROWS))
    assert steps.reached.wait(30)
    assert _graph(index) is None
    assert _recall(index, exact, everything(ROWS)) == 1.0
    late, changed = unit_vectors(2, seed=12)
    index.put("c", [ROWS], late[None])
    index.put("c", [5], changed[None])  # in the step that is under way
    steps.go.set()
    _settle(index)
    assert _graph(index) is not None
    assert index.search("c", late[None], everything(ROWS + 1), 1)[0][0] == ROWS
    hit = index.search("c", changed[None], everything(ROWS + 1), 1)[0]
    assert hit[0] == 5 and hit[1] > 0.99
    index.close()


def test_a_cube_that_is_unloaded_while_its_graph_is_built_goes_on_from_there(
    tmp_path: Path, exact: FaissVectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_building, "STEP_ROWS", 2 * ROWS // 3)
    steps = _Steps(monkeypatch)
    index = _opened(tmp_path, ROWS)
    assert index.present("c") == 0
    index.put("c", range(ROWS), topical_vectors(ROWS))
    index.flush(ROWS)
    assert steps.reached.wait(30)
    index.unload("c")
    steps.go.set()
    _settle(index)
    assert index.held_bytes("c") == 0
    (stored,) = index._segments._manifest.graphs
    assert stored.rows == 2 * ROWS // 3
    assert index.present("c") == ROWS
    _settle(index)
    graph = _graph(index)
    assert graph is not None and graph.rows == ROWS
    assert _recall(index, exact, everything(ROWS)) >= 0.98
    index.close()


def test_a_cube_that_is_erased_while_its_graph_is_built_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_building, "STEP_ROWS", 2 * ROWS // 3)
    steps = _Steps(monkeypatch)
    index = _opened(tmp_path, ROWS)
    assert index.present("c") == 0
    index.put("c", range(ROWS), topical_vectors(ROWS))
    assert steps.reached.wait(30)
    index.unload("c")
    index.erase("c")
    steps.go.set()
    _settle(index)
    assert not list(tmp_path.glob("graph-*"))
    index.close()


def test_closing_stops_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_building, "STEP_ROWS", 8)
    index = _opened(tmp_path, ROWS)
    assert index.present("c") == 0
    index.put("c", range(ROWS), topical_vectors(ROWS))
    index.flush(ROWS)
    index.close()
    assert index._graphs.idle()
    assert _opened(tmp_path, ROWS).present("c") == ROWS


def test_searches_and_puts_go_on_while_graphs_are_built_and_extended(tmp_path: Path) -> None:
    index, vectors, wrong = _opened(tmp_path, 300), topical_vectors(2000), []
    assert index.present("c") == 0
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            hits = index.search("c", vectors[:1], everything(2000), 3)
            if hits and hits[0][0] != 0:
                wrong.append(hits)

    threads = [threading.Thread(target=search) for _ in range(2)]
    index.put("c", [0], vectors[:1])
    for thread in threads:
        thread.start()
    for start in range(1, 2000, 37):
        end = min(start + 37, 2000)
        index.put("c", range(start, end), vectors[start:end])
        if start % 3 == 0:
            index.flush(end)
    _settle(index)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    graph = _graph(index)
    assert index.present("c") == 2000
    assert graph is not None and graph.rows > 1500
    index.close()


def test_a_kill_while_graphs_are_built_and_stored_loses_nothing(tmp_path: Path) -> None:
    for round_number in range(2):
        flushed = flush_until_killed(tmp_path, seconds=1.0 + 0.3 * round_number, graph_from_rows=16)
        index = _opened(tmp_path, 16)
        assert index.position >= flushed > 0
        assert index.present("c") >= flushed
        vector = unit_vectors(1, seed=flushed - 1)
        assert index.search("c", vector, everything(flushed), 1)[0][1] > 0.99
        index.close()


def test_what_a_cube_holds_is_counted_with_its_graph(index: FaissVectorIndex) -> None:
    graph = _graph(index)
    assert graph is not None
    vectors = ROWS * (4 * DIMENSION + 1)
    assert ROWS * 4 * 2 * graph_module.LINKS < graph.held_bytes < ROWS * 4 * 3 * graph_module.LINKS
    assert index.held_bytes("c") == vectors + graph.held_bytes
    index.unload("c")
    assert index.held_bytes("c") == 0


def test_a_search_is_as_broad_as_its_mask_asks_for_and_exact_when_that_is_cheaper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert breadth_for(10, 100_000, 100_000) == graph_module.SEARCH_BREADTH
    assert breadth_for(200, 100_000, 100_000) == 260
    assert breadth_for(200, 50_000, 100_000) == 520
    assert breadth_for(200, 10_000, 100_000) is None
    assert breadth_for(200, 100_000, 1_000_000) == 2600
    assert breadth_for(0, 0, 100_000) is None
