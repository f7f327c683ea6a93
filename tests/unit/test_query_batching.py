"""Queries that arrive together are embedded together, once each, and none waits for company."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from actors.errors import Overloaded, Unavailable
from actors.memory.ports import Vectors
from actors.models.query_embedder import MicroBatcher


class GatedEmbedder:
    """Notes its batches; `embed` blocks while `gate` is shut."""

    model_id, dimension = "gated@1", 2

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered, self.gate = threading.Semaphore(0), threading.Event()
        self.gate.set()

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        self.entered.release()
        self.gate.wait(10)
        if "bad" in texts:
            raise RuntimeError("no memory left")
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    async def wait_entered(self) -> None:
        await asyncio.to_thread(self.entered.acquire, timeout=10)


@asynccontextmanager
async def batching(embedder: GatedEmbedder, **options: int) -> AsyncIterator[MicroBatcher]:
    batcher = MicroBatcher(embedder, **options)
    try:
        yield batcher
    finally:
        embedder.gate.set()
        batcher.close()


def test_those_that_arrive_while_one_runs_make_up_the_next_batch() -> None:
    async def scenario() -> None:
        embedder = GatedEmbedder()
        async with batching(embedder, max_batch=3) as batcher:
            embedder.gate.clear()
            first = asyncio.create_task(batcher.embed_query("a"))
            await embedder.wait_entered()
            others = [asyncio.create_task(batcher.embed_query("b" * n)) for n in range(1, 6)]
            await asyncio.sleep(0)
            assert batcher.waiting == 6
            embedder.gate.set()
            vectors = await asyncio.gather(first, *others)
            assert batcher.waiting == 0
            assert [int(vector[0]) for vector in vectors] == [1, 1, 2, 3, 4, 5]
            assert embedder.batches == [["a"], ["b", "bb", "bbb"], ["bbbb", "bbbbb"]]

    asyncio.run(scenario())


def test_equal_queries_share_their_work_and_known_ones_need_none() -> None:
    async def scenario() -> None:
        embedder = GatedEmbedder()
        async with batching(embedder) as batcher:
            await asyncio.gather(*(batcher.embed_query("same") for _ in range(5)))
            await batcher.embed_query("same")
            assert embedder.batches == [["same"]]

    asyncio.run(scenario())


def test_only_the_latest_vectors_are_kept() -> None:
    async def scenario() -> None:
        embedder = GatedEmbedder()
        async with batching(embedder, cache_entries=2) as batcher:
            for text in ("a", "b", "a", "c", "a", "b"):
                await batcher.embed_query(text)
            assert embedder.batches == [["a"], ["b"], ["c"], ["b"]]

    asyncio.run(scenario())


def test_a_kept_vector_cannot_be_written_to() -> None:
    async def scenario() -> None:
        async with batching(GatedEmbedder()) as batcher:
            vector = await batcher.embed_query("a")
            with pytest.raises(ValueError, match="read-only"):
                vector[0] = 9

    asyncio.run(scenario())


def test_a_cancelled_query_leaves_the_others_alone() -> None:
    async def scenario() -> None:
        embedder = GatedEmbedder()
        async with batching(embedder) as batcher:
            embedder.gate.clear()
            tasks = [asyncio.create_task(batcher.embed_query(text)) for text in ("a", "a", "b")]
            await embedder.wait_entered()
            tasks[0].cancel()
            embedder.gate.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found[0], asyncio.CancelledError)
            assert [vector[0] for vector in found[1:]] == [1, 1]  # type: ignore[index]

    asyncio.run(scenario())


def test_a_failure_reaches_its_batch_and_the_next_one_works() -> None:
    async def scenario() -> None:
        async with batching(GatedEmbedder()) as batcher:
            with pytest.raises(Unavailable, match="no memory left"):
                await batcher.embed_query("bad")
            assert (await batcher.embed_query("good"))[0] == 4

    asyncio.run(scenario())


def test_too_many_waiting_are_refused() -> None:
    async def scenario() -> None:
        embedder = GatedEmbedder()
        async with batching(embedder, max_waiting=1) as batcher:
            embedder.gate.clear()
            running = asyncio.create_task(batcher.embed_query("a"))
            await embedder.wait_entered()
            waiting = asyncio.create_task(batcher.embed_query("b"))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await batcher.embed_query("c")
            embedder.gate.set()
            await asyncio.gather(running, waiting)

    asyncio.run(scenario())


def test_closing_ends_the_queries_that_wait() -> None:
    async def scenario() -> None:
        embedder = GatedEmbedder()
        async with batching(embedder) as batcher:
            embedder.gate.clear()
            tasks = [asyncio.create_task(batcher.embed_query(text)) for text in "ab"]
            await asyncio.sleep(0)
            batcher.close()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(error, (Unavailable, asyncio.CancelledError)) for error in found)

    asyncio.run(scenario())
