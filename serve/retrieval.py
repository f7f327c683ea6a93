"""Search as the edge does it: embed the query here, then one hop to the hosts."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from actors.errors import MemosError
from actors.memory.auditing import AuditAction
from actors.memory.governance import Caller
from actors.memory.requests import Moment
from actors.memory.search_requests import Channel, CubeHits, SearchCube, Shortfall
from serve.backend import Memories
from serve.metrics import Metrics

log = logging.getLogger("memos.serve")


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for, over which cubes."""

    query: str
    cube_ids: tuple[str, ...]
    top_k: int
    filter: Mapping[str, Any] | None = None
    as_of: Moment | None = None
    channels: frozenset[Channel] = frozenset(Channel)
    explain: bool = False
    purpose: AuditAction = AuditAction.SEARCH


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, best first, and the milliseconds of `embed`, `search` and `total`."""

    hits: CubeHits
    took_ms: dict[str, float]


class QueryEmbedder(Protocol):
    """Embeds one query without blocking the event loop; `actors.models.query_embedder.MicroBatcher` is one."""

    @property
    def model_id(self) -> str: ...

    @property
    def waiting(self) -> int:
        """Queries that wait to be embedded, or are being."""
        ...

    async def embed_query(self, text: str) -> npt.NDArray[np.float32]:
        """Shape (dimension,), unit length. Raises an error of our tree when the model does not answer."""
        ...


class Retrieval:
    """Searches over cubes. Holds no state of its own; safe for concurrent use."""

    def __init__(self, backend: Memories, embedder: QueryEmbedder, metrics: Metrics) -> None:
        self._backend = backend
        self._embedder = embedder
        self._metrics = metrics

    async def search(self, caller: Caller, question: Question) -> Found:
        """The best hits over the question's cubes.

        A query that cannot be embedded is searched by the other channels, and `degraded` says so. Raises
        CubeNotFound when the caller has no role on one of the cubes, VersionNotFound for a wrong `as_of`.
        """
        started = time.perf_counter()
        vector, shortfalls = await self._embed(question)
        embedded = time.perf_counter()
        request = SearchCube(
            query=question.query,
            query_vector=vector,
            model_id=self._embedder.model_id,
            top_k=question.top_k,
            filter=question.filter,
            as_of=question.as_of,
            channels=question.channels,
            explain=question.explain,
            purpose=question.purpose,
        )
        hits = await self._backend.search(caller, _distinct(question.cube_ids), request)
        ended = time.perf_counter()
        degraded = _merged(shortfalls, hits.degraded)
        self._metrics.searches.inc()
        self._metrics.embed_s.observe(embedded - started)
        if degraded:
            self._metrics.search_degraded.inc()
        took_ms = {
            "embed": round((embedded - started) * 1000, 3),
            "search": round((ended - embedded) * 1000, 3),
            "total": round((ended - started) * 1000, 3),
        }
        return Found(CubeHits(hits.hits, degraded), took_ms)

    async def _embed(self, question: Question) -> tuple[npt.NDArray[np.float32] | None, tuple[Shortfall, ...]]:
        if Channel.DENSE not in question.channels:
            return None, ()
        try:
            return await self._embedder.embed_query(question.query), ()
        except MemosError as error:
            log.warning("a query could not be embedded: %s", error)
            return None, (Shortfall(Channel.DENSE.value, f"the query could not be embedded: {error}"),)


def _distinct(cube_ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cube_ids))


def _merged(ours: Sequence[Shortfall], theirs: Sequence[Shortfall]) -> tuple[Shortfall, ...]:
    """Ours, then theirs for other parts: a host also notes the dense channel that it was given no vector for."""
    named = {part.part for part in ours}
    return (*ours, *(part for part in theirs if part.part not in named))
