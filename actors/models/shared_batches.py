"""Embeds the texts of concurrent callers together: small batches cost a model nearly as much as large ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from actors.memory.ports import Embedder, Vectors

MOST_TEXTS = 256
"""Texts of one call of the model, unless one caller brings more: what a caller may wait for beside its own."""


@dataclass(slots=True, eq=False)
class _Wanted:
    texts: Sequence[str]
    vectors: Vectors | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.vectors is not None or self.error is not None


class SharedBatches:
    """An Embedder over another one. Whoever finds it free embeds for all that wait; the others find theirs there.

    A text that the model cannot take is its own caller's error alone.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._free = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: deque[_Wanted] = deque()

    @property
    def model_id(self) -> str:
        return self._embedder.model_id

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return len(self._waiting)

    def embed(self, texts: Sequence[str]) -> Vectors:
        wanted = _Wanted(texts)
        with self._guard:
            self._waiting.append(wanted)
        with self._free:
            while not wanted.done:  # older ones first: its own may be in a later batch
                self._embed(self._take())
        if wanted.error is not None:
            raise wanted.error
        if wanted.vectors is None:
            raise RuntimeError("a batch ended without its vectors")
        return wanted.vectors

    def _take(self) -> list[_Wanted]:
        """The oldest that wait, as many as go together, one at least."""
        taken: list[_Wanted] = []
        count = 0
        with self._guard:
            while self._waiting and (not taken or count + len(self._waiting[0].texts) <= MOST_TEXTS):
                taken.append(self._waiting.popleft())
                count += len(taken[-1].texts)
        return taken

    def _embed(self, batch: Sequence[_Wanted]) -> None:
        try:
            vectors = self._embedder.embed([text for wanted in batch for text in wanted.texts])
        except BaseException as error:  # noqa: BLE001 - told to whom it concerns; a panic in Rust code is no Exception
            if len(batch) == 1:
                batch[0].error = error if isinstance(error, Exception) else RuntimeError(f"the model failed: {error}")
                return
            for wanted in batch:
                self._embed([wanted])
            return
        start = 0
        for wanted in batch:
            wanted.vectors = vectors[start : start + len(wanted.texts)]
            start += len(wanted.texts)
