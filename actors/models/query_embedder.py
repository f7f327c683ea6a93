"""Embeds the queries of concurrent requests together."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from actors.errors import MemosError, Overloaded, Unavailable
from actors.memory.ports import Embedder

Vector = npt.NDArray[np.float32]


@dataclass(slots=True)
class _Wanted:
    text: str
    vector: asyncio.Future[Vector] = field(repr=False)


class MicroBatcher:
    """Embeds queries one batch at a time: those that arrive while one runs make up the next.

    So a lone query never waits for company, and sixteen at once cost little more than one. Equal queries
    share their work, and the latest `cache_entries` vectors are kept. For one event loop.
    """

    def __init__(
        self, embedder: Embedder, *, max_batch: int = 32, max_waiting: int = 512, cache_entries: int = 2048
    ) -> None:
        self._embedder = embedder
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._cache_entries = cache_entries
        self._known: OrderedDict[str, Vector] = OrderedDict()
        self._wanted: OrderedDict[str, _Wanted] = OrderedDict()
        self._running: dict[str, _Wanted] = {}
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="query-embedder")

    @property
    def model_id(self) -> str:
        return self._embedder.model_id

    @property
    def waiting(self) -> int:
        """Queries that wait to be embedded, or are being; equal ones count once."""
        return len(self._wanted) + len(self._running)

    async def embed_query(self, text: str) -> Vector:
        """Shape (dimension,), unit length, not to be written to. Raises Overloaded when too many wait, or the
        embedder's own error. Cancelling one query leaves the others of its batch alone.
        """
        if (known := self._known.get(text)) is not None:
            self._known.move_to_end(text)
            return known
        wanted = self._running.get(text) or self._wanted.get(text)
        if wanted is None:
            if len(self._wanted) >= self._max_waiting:
                raise Overloaded(f"{len(self._wanted)} queries wait for the embedder already", retry_after_s=1)
            wanted = self._wanted[text] = _Wanted(text, asyncio.get_running_loop().create_future())
            if self._worker is None or self._worker.done():
                self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(wanted.vector)

    def close(self) -> None:
        """Give the thread back; queries that wait end with Unavailable."""
        if self._worker is not None:
            self._worker.cancel()
        for wanted in (*self._running.values(), *self._wanted.values()):
            if not wanted.vector.done():
                _settle(wanted, Unavailable("the embedder was closed", retry_after_s=1))
        self._wanted.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while self._wanted:
            batch = [self._wanted.popitem(last=False)[1] for _ in range(min(self._max_batch, len(self._wanted)))]
            self._running = {wanted.text: wanted for wanted in batch}
            try:
                await self._embed(batch)
            finally:
                self._running = {}

    async def _embed(self, batch: list[_Wanted]) -> None:
        loop = asyncio.get_running_loop()
        try:
            vectors = await loop.run_in_executor(self._thread, self._embedder.embed, [w.text for w in batch])
        except (MemosError, RuntimeError, ValueError) as error:
            told = error if isinstance(error, MemosError) else Unavailable(f"the embedder failed: {error}")
            for wanted in batch:
                _settle(wanted, told)
            return
        for wanted, vector in zip(batch, vectors, strict=True):
            own = vector.copy()  # a row alone: a view would keep the whole batch alive
            own.flags.writeable = False
            self._keep(wanted.text, own)
            if not wanted.vector.done():
                wanted.vector.set_result(own)

    def _keep(self, text: str, vector: Vector) -> None:
        self._known[text] = vector
        while len(self._known) > self._cache_entries:
            self._known.popitem(last=False)


def _settle(wanted: _Wanted, error: MemosError) -> None:
    if not wanted.vector.done():
        wanted.vector.set_exception(error)
        wanted.vector.exception()  # its waiter may have gone: then nobody needs to hear of it
