"""What every vector index must keep to: inherit `VectorIndexContract`, or `StoredVectorIndexContract`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.memory.ports import Mask, VectorIndex, Vectors

DIMENSION = 16

Hits = list[tuple[int, float]]


def unit_vectors(count: int, seed: int = 0) -> Vectors:
    """Shape (count, DIMENSION), rows of unit length."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def everything(count: int) -> Mask:
    return np.ones(count, dtype=np.bool_)


class VectorIndexContract(ABC):
    """Behaviour of an open index. A server of its own may do its sums in another order each time: then scores are
    compared up to `score_error`.
    """

    score_error = 0.0
    rounds = 100
    """How often what is repeated is: a server that takes a second for a flush is asked less often."""

    def same(self, hits: Hits, others: Hits) -> bool:
        """Whether two answers hold the same rows in the same order, with the same scores."""
        rows, scores = zip(*hits, strict=True) if hits else ((), ())
        other_rows, other_scores = zip(*others, strict=True) if others else ((), ())
        return rows == other_rows and bool(np.allclose(scores, other_scores, rtol=0, atol=self.score_error))

    @abstractmethod
    def open(self, folder: Path) -> VectorIndex:
        """An index of DIMENSION dimensions that keeps what it stores in `folder`, if it stores anything."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[VectorIndex]:
        index = self.open(tmp_path / "vectors")
        yield index
        index.close()

    def test_rows_that_were_erased_are_found_no_more_and_others_are(self, index: VectorIndex) -> None:
        vectors = unit_vectors(30)
        index.put("c", range(20), vectors[:20])
        index.put("d", range(20), vectors[:20])
        index.flush(20)
        index.put("c", range(20, 30), vectors[20:])
        index.search("c", vectors[:1], everything(30), 3)
        index.erase_rows({"c": [3, 25]})
        index.erase_rows({"c": [3]})
        assert {row for row, _ in index.search("c", vectors[3:4], everything(30), 30)} == {*range(30)} - {3, 25}
        assert index.search("d", vectors[3:4], everything(20), 1)[0][0] == 3
        index.put("c", [30], vectors[3:4])
        index.flush(31)
        assert index.search("c", vectors[3:4], everything(31), 1)[0][0] == 30

    def test_vectors_are_read_back_by_their_rows(self, index: VectorIndex) -> None:
        vectors = unit_vectors(40)
        index.put("c", range(10, 50), vectors)
        index.put("d", range(3), unit_vectors(3, seed=1))
        rows, read = index.read("c", [3, 49, 12, 10, 90])
        assert rows.tolist() == [10, 12, 49]
        assert np.allclose(read, vectors[[0, 2, 39]], atol=1e-3)
        assert index.read("nobody", [0, 1])[0].tolist() == []

    def test_the_nearest_rows_come_first_with_their_cosines(self, index: VectorIndex) -> None:
        vectors = unit_vectors(50)
        index.put("c", range(50), vectors)
        hits = index.search("c", vectors[7:8], everything(50), 5)
        expected = vectors @ vectors[7]
        assert hits[0][0] == 7
        assert [row for row, _ in hits] == np.argsort(-expected, kind="stable")[:5].tolist()
        assert np.allclose([score for _, score in hits], np.sort(expected)[::-1][:5], atol=2e-3)

    def test_a_put_is_searchable_before_any_flush(self, index: VectorIndex) -> None:
        vectors = unit_vectors(2)
        index.put("c", [0], vectors[:1])
        assert index.present("c") == 1
        index.put("c", [1], vectors[1:])
        assert index.present("c") == 2
        assert index.search("c", vectors[1:], everything(2), 1)[0][0] == 1

    def test_putting_a_row_again_replaces_it(self, index: VectorIndex) -> None:
        vectors = unit_vectors(3)
        index.put("c", [0, 1], vectors[:2])
        index.flush(1)
        index.put("c", [0], vectors[2:])
        assert index.present("c") == 2
        assert index.search("c", vectors[2:], everything(2), 1)[0][0] == 0
        assert index.search("c", vectors[:1], everything(2), 1)[0][1] < 0.99

    def test_rows_may_come_in_any_order_and_gaps_are_never_found(self, index: VectorIndex) -> None:
        vectors = unit_vectors(3)
        index.put("c", [9, 4], vectors[:2])
        assert {row for row, _ in index.search("c", vectors[:1], everything(10), 10)} == {4, 9}

    def test_nothing_outside_the_mask_is_found_and_nothing_inside_is_missed(self, index: VectorIndex) -> None:
        vectors = unit_vectors(50)
        index.put("c", range(50), vectors)

        @settings(max_examples=max(self.rounds // 2, 5), deadline=None)
        @given(allowed=st.lists(st.booleans(), max_size=60), k=st.integers(1, 60))
        def holds(allowed: list[bool], k: int) -> None:
            mask = np.array(allowed, dtype=np.bool_)
            inside = np.flatnonzero(mask[:50])
            best = inside[np.argsort(-(vectors[inside] @ vectors[0]), kind="stable")][:k]
            assert [row for row, _ in index.search("c", vectors[:1], mask, k)] == best.tolist()

        holds()

    def test_a_score_does_not_depend_on_the_mask(self, index: VectorIndex) -> None:
        vectors = unit_vectors(200)
        index.put("c", range(200), vectors)
        whole = dict(index.search("c", vectors[:1], everything(200), 200))
        half = everything(200)
        half[::2] = False
        hits = index.search("c", vectors[:1], half, 100)
        assert self.same(hits, [(row, whole[row]) for row, _ in hits])

    def test_another_cubes_vectors_change_nothing(self, index: VectorIndex) -> None:
        vectors = unit_vectors(40)
        index.put("c", range(20), vectors[:20])
        before = index.search("c", vectors[:1], everything(20), 20)
        index.put("other", range(20), vectors[20:])
        index.put("other", range(20, 40), vectors[:20])
        index.flush(1)
        assert self.same(index.search("c", vectors[:1], everything(20), 20), before)

    def test_an_unknown_cube_is_empty(self, index: VectorIndex) -> None:
        assert index.present("nobody") == 0
        assert index.search("nobody", unit_vectors(1), everything(5), 5) == []
        assert index.held_bytes("never seen") == 0

    def test_erasing_a_cube_leaves_the_others(self, index: VectorIndex) -> None:
        vectors = unit_vectors(4)
        index.put("c", [0, 1], vectors[:2])
        index.put("d", [0, 1], vectors[2:])
        index.flush(3)
        index.erase("c")
        assert (index.present("c"), index.present("d"), index.position) == (0, 2, 3)

    def test_clearing_forgets_everything_and_the_position(self, index: VectorIndex) -> None:
        index.put("c", [0], unit_vectors(1))
        index.flush(7)
        index.put("c", [1], unit_vectors(1))
        index.clear()
        assert (index.present("c"), index.position) == (0, 0)

    def test_searches_and_puts_of_several_threads_do_not_disturb_each_other(self, index: VectorIndex) -> None:
        vectors, wrong = unit_vectors(400), []

        def search() -> None:
            for _ in range(self.rounds // 2):
                hits = index.search("c", vectors[:1], everything(400), 3)
                if hits and hits[0][0] != 0:
                    wrong.append(hits)

        threads = [threading.Thread(target=search) for _ in range(3)]
        index.put("c", [0], vectors[:1])
        for thread in threads:
            thread.start()
        for row in range(1, 4 * self.rounds):
            index.put("c", [row], vectors[row : row + 1])
            if row % self.rounds == 0:
                index.flush(row)
        for thread in threads:
            thread.join()
        assert not wrong
        assert index.present("c") == 4 * self.rounds


class StoredVectorIndexContract(VectorIndexContract):
    """What an index that keeps its vectors on storage promises besides."""

    def test_scores_are_the_same_after_reopening(self, tmp_path: Path) -> None:
        vectors = unit_vectors(100)
        first = self.open(tmp_path / "v")
        assert first.present("c") == 0
        first.put("c", range(100), vectors)
        before = first.search("c", vectors[3:4], everything(100), 100)
        first.flush(100)
        first.close()
        second = self.open(tmp_path / "v")
        assert second.position == 100
        assert self.same(second.search("c", vectors[3:4], everything(100), 100), before)
        second.close()

    def test_unloading_keeps_what_is_not_flushed_yet(self, tmp_path: Path) -> None:
        index, vectors = self.open(tmp_path / "v"), unit_vectors(3)
        index.put("c", [0], vectors[:1])
        index.flush(1)
        index.put("c", [1, 2], vectors[1:])
        index.unload("c")
        assert index.present("c") == 3
        index.close()

    def test_the_last_put_of_a_row_counts_after_many_flushes(self, tmp_path: Path) -> None:
        index, vectors = self.open(tmp_path / "v"), unit_vectors(300)
        for step in range(self.rounds):
            index.put(f"c{step % 3}", [step, 0], vectors[[step, step]])
            index.flush(step + 1)
        index.close()
        index = self.open(tmp_path / "v")
        assert index.position == self.rounds
        rows = [{0} | {step for step in range(self.rounds) if step % 3 == n} for n in range(3)]
        assert [index.present(f"c{n}") for n in range(3)] == [len(each) for each in rows]
        last = self.rounds - 1
        found = index.search(f"c{last % 3}", vectors[last : last + 1], everything(1), 1)
        assert found[0][1] > 0.99
        index.close()

    def test_an_erased_cube_stays_erased(self, tmp_path: Path) -> None:
        index = self.open(tmp_path / "v")
        index.put("c", [0], unit_vectors(1))
        index.put("d", [0], unit_vectors(1))
        index.flush(1)
        index.erase("c")
        index.close()
        index = self.open(tmp_path / "v")
        assert (index.present("c"), index.present("d")) == (0, 1)
        index.close()
