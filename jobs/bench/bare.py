"""The physical limits: the embedder and the index alone, in this process, with nothing around them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import faiss
import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from actors.memory.ports import Vectors
from actors.models.embedder import EmbedderSpec, TransformersEmbedder
from actors.models.loading import pick_device, pick_dtype, quiet, use_threads
from actors.models.weights import default_embedder_path
from jobs.bench.report import Json

BATCH = 32


class Recipe:
    """The encoder as its documentation has it: tokenizer with padding, forward pass, mean pooling, unit length."""

    def __init__(self, path: str) -> None:
        quiet()
        device = pick_device()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model: Any = AutoModel.from_pretrained(path, dtype=pick_dtype(device), local_files_only=True)
        self._model = model.to(device).eval()

    def embed(self, texts: Sequence[str]) -> Vectors:
        given = self._tokenizer(list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")
        given = given.to(self._model.device)
        with torch.inference_mode():
            hidden = self._model(**given).last_hidden_state.float()
        weight = given["attention_mask"].unsqueeze(-1).float()
        mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
        unit: Vectors = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return unit


@dataclass(slots=True)
class EmbedderLimit:
    """Texts a second in batches of 32, by threads: the better of two implementations and of all the rounds.

    `recipe` is transformers as documented, `ours` the class that the system runs; the dtype is the same. Measure
    while the system is idle, before and after it is under load: a slow moment must not lower the limit.
    """

    path: str
    threads: tuple[int, ...] = (1, 2)
    rounds: list[Json] = field(default_factory=list)
    _recipe: Recipe | None = None
    _ours: dict[int, TransformersEmbedder] = field(default_factory=dict)

    def measure(self, texts: Iterator[str], seconds: float) -> None:
        self._recipe = self._recipe or Recipe(self.path)
        for threads in self.threads:
            if threads not in self._ours:
                self._ours[threads] = TransformersEmbedder(EmbedderSpec(path=self.path, threads=threads))
            use_threads(threads)
            self.rounds.append(
                {
                    "threads": threads,
                    "recipe_per_s": _texts_per_s(self._recipe, texts, seconds),
                    "ours_per_s": _texts_per_s(self._ours[threads], texts, seconds),
                }
            )

    def per_s(self, threads: int) -> float:
        """The limit with at most so many threads: more of them are not always faster."""
        seen = (r for r in self.rounds if r["threads"] <= threads)
        return max((max(r["recipe_per_s"], r["ours_per_s"]) for r in seen), default=0.0)

    def as_json(self) -> Json:
        return {
            "batch": BATCH,
            "per_s": {str(threads): self.per_s(threads) for threads in self.threads},
            "rounds": self.rounds,
        }


def default_limit(threads: int = 0) -> EmbedderLimit:
    """Of the default weights, with one thread and with `threads` of them; 0: one for every core of this machine."""
    most = threads or torch.multiprocessing.cpu_count()
    return EmbedderLimit(str(default_embedder_path()), tuple(dict.fromkeys((1, most))))


def _texts_per_s(embedder: Recipe | TransformersEmbedder, texts: Iterator[str], seconds: float) -> float:
    batches = [list(islice(texts, BATCH)) for _ in range(32)]
    embedder.embed(batches[0])  # warms up
    began, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        embedder.embed(batches[done % len(batches)])
        done += 1
    return round(done * BATCH / elapsed, 1)


class BareSearch:
    """Query embedding and an exact faiss index over the vectors of `texts`, one query at a time."""

    def __init__(self, texts: Sequence[str], threads: int) -> None:
        self._threads = threads
        path = str(default_embedder_path())
        every_core = torch.multiprocessing.cpu_count()
        filling = TransformersEmbedder(EmbedderSpec(path=path, threads=every_core))
        self._index = faiss.IndexFlatIP(filling.dimension)
        for start in range(0, len(texts), 1024):
            self._index.add(filling.embed(texts[start : start + 1024]))
        self._embedder = TransformersEmbedder(EmbedderSpec(path=path, threads=threads))
        faiss.omp_set_num_threads(threads)

    def search(self, query: str, k: int) -> tuple[float, float]:
        """Seconds of the embedding, and of the search."""
        began = time.perf_counter()
        vector = self._embedder.embed([query])
        embedded = time.perf_counter()
        self._index.search(np.ascontiguousarray(vector, dtype=np.float32), k)
        return embedded - began, time.perf_counter() - embedded
