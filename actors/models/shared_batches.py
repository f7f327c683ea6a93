"""Embeds the texts of concurrent callers together: small batches cost a model nearly as much as large ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from actors.memory.ports import Embedder, Vectors

MOST_TEXTS = 256
"""Texts of one call of the model, unless one caller brings more: what a caller may wait for beside its own."""


@dataclass(slots=True, eq=False)
class _Wanted:
    texts: Sequence[str]
    vectors: Future[Vectors] = field(default_factory=Future)


class SharedBatches:
    """An Embedder over another one, which it calls from one thread: what waits when that is free is embedded together.

    One thread, because torch keeps working memory for each that ever computed: with one for each caller the process
    grew to three times its size. A text that the model cannot take is its own caller's error alone.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")
        self._guard = threading.Lock()
        self._waiting: deque[_Wanted] = deque()
        self.embedded = 0
        """Texts, so far."""

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
        self._thread.submit(self._work)
        return wanted.vectors.result()

    def close(self) -> None:
        """End the thread, once what it does is done."""
        self._thread.shutdown(cancel_futures=True)

    def _work(self) -> None:
        """A turn of the thread. There is one for each caller, and all but the first of a batch find nothing left."""
        batch = self._take()
        if batch:
            self._embed(batch)

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
                told = error if isinstance(error, Exception) else RuntimeError(f"the model failed: {error}")
                batch[0].vectors.set_exception(told)
                return
            for wanted in batch:
                self._embed([wanted])
            return
        self.embedded += len(vectors)
        start = 0
        for wanted in batch:
            wanted.vectors.set_result(vectors[start : start + len(wanted.texts)])
            start += len(wanted.texts)
