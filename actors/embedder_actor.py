"""EmbedderActor: the ingest embedder as a Ray actor, and the port over it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import ray

from actors.errors import Unavailable
from actors.footprint import footprint
from actors.memory.ports import JsonObject, Vectors
from actors.remote_actor import HEALTH, ActorAddress, RemoteCalls, node_id

if TYPE_CHECKING:
    from actors.models.embedder import EmbedderSpec

GIVES_WAY = 5
"""Niceness: beside a query that somebody waits for, what comes in is embedded a little later."""

MODEL_WAIT_S = 60.0
EMBED_TIMEOUT_S = 300.0


class EmbedderActor:
    """One model for the texts that come in, its threads its own. Calls that come together are embedded together."""

    def __init__(self, spec: EmbedderSpec) -> None:
        os.nice(GIVES_WAY)
        from actors.models.embedder import TransformersEmbedder  # hosts import this module without torch
        from actors.models.shared_batches import SharedBatches

        self._embedder = SharedBatches(TransformersEmbedder(spec))

    def describe(self) -> tuple[str, int]:
        """(model id, dimension)"""
        return self._embedder.model_id, self._embedder.dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._embedder.embed(texts)

    @ray.method(concurrency_group=HEALTH)
    def status(self) -> JsonObject:
        return {
            "node": node_id(),
            **footprint(),
            "model": self._embedder.model_id,
            "dimension": self._embedder.dimension,
            "waiting": self._embedder.waiting,
            "embedded": self._embedder.embedded,
        }

    @ray.method(concurrency_group=HEALTH)
    def ready(self) -> list[str]:
        return []


class RemoteEmbedder:
    """An Embedder in another process. Raises Unavailable while it does not answer."""

    def __init__(self, address: ActorAddress, timeout_s: float = EMBED_TIMEOUT_S) -> None:
        self._calls = RemoteCalls(address, timeout_s)
        self._described: tuple[str, int] | None = None

    @property
    def model_id(self) -> str:
        return self._describe()[0]

    @property
    def dimension(self) -> int:
        return self._describe()[1]

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._calls.call("embed", list(texts))
        return np.asarray(vectors)

    def _describe(self) -> tuple[str, int]:
        until = time.monotonic() + MODEL_WAIT_S
        while self._described is None:
            try:
                self._described = self._calls.call("describe")
            except Unavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
        return self._described
