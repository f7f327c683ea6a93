"""Concurrent callers of an embedder share its batches, and only those."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from actors.memory.ports import Vectors
from actors.models.shared_batches import MOST_TEXTS, SharedBatches
from tests.unit.opened import closed_with_the_test


class Panic(BaseException):
    """What a panic in a tokenizer's Rust code is: no Exception."""


class Slow:
    """Embeds a text as its length; the first call waits for the gate. A text "bad" is refused."""

    model_id, dimension = "slow", 1

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Event()
        self.batches: list[int] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.began.set()
        assert self.gate.wait(10)
        if "bad" in texts:
            raise ValueError("a text that cannot be read")
        if "panic" in texts:
            raise Panic("in Rust")
        self.batches.append(len(texts))
        return np.array([[len(text)] for text in texts], dtype=np.float32).reshape(len(texts), 1)


def lengths(vectors: Vectors) -> list[int]:
    return [int(value) for value in vectors[:, 0]]


def waiting_behind_one(shared: SharedBatches, slow: Slow, pool: ThreadPoolExecutor, *asked: list[str]) -> list[object]:
    """Ask while one call is under way; the outcomes, once all are answered."""
    first = pool.submit(shared.embed, ["first"])
    assert slow.began.wait(10)
    futures = [pool.submit(shared.embed, texts) for texts in asked]
    while shared.waiting < len(asked):
        threading.Event().wait(0.001)
    slow.gate.set()
    assert lengths(first.result(10)) == [5]
    return [future.exception(10) or lengths(future.result(10)) for future in futures]


@pytest.fixture
def slow() -> Slow:
    return Slow()


def test_those_that_wait_are_embedded_together_and_get_their_own(slow: Slow) -> None:
    shared = closed_with_the_test(SharedBatches(slow))
    with ThreadPoolExecutor(8) as pool:
        answers = waiting_behind_one(shared, slow, pool, ["a"], ["bb", "ccc"], [], ["dddd"])
    assert answers == [[1], [2, 3], [], [4]]
    assert slow.batches == [1, 4]
    assert shared.embedded == 5


def test_a_text_that_fails_is_its_own_callers_error_alone(slow: Slow) -> None:
    shared = closed_with_the_test(SharedBatches(slow))
    with ThreadPoolExecutor(8) as pool:
        good, bad, other = waiting_behind_one(shared, slow, pool, ["a"], ["bad"], ["bb"])
    assert (good, other) == ([1], [2])
    assert isinstance(bad, ValueError)


def test_nobody_waits_for_more_than_so_many_texts_of_others(slow: Slow) -> None:
    shared = closed_with_the_test(SharedBatches(slow))
    with ThreadPoolExecutor(8) as pool:
        waiting_behind_one(shared, slow, pool, *(["x"] * (MOST_TEXTS // 2) for _ in range(5)))
    assert max(slow.batches) <= MOST_TEXTS
    assert sum(slow.batches) == 1 + 5 * (MOST_TEXTS // 2)


def test_a_panic_is_an_error_of_its_caller_and_the_next_ones_are_embedded(slow: Slow) -> None:
    shared = closed_with_the_test(SharedBatches(slow))
    with ThreadPoolExecutor(8) as pool:
        good, bad = waiting_behind_one(shared, slow, pool, ["a"], ["panic"])
    assert good == [1]
    assert isinstance(bad, RuntimeError)
    assert lengths(shared.embed(["later"])) == [5]
