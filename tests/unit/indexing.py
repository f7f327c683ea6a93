"""Indexes and an embedder for tests of what stands on them: no model, nothing stored."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

import numpy as np

from actors.memory.analysis import terms_of
from actors.memory.commands import add
from actors.memory.ports import Vectors
from actors.memory.requests import AddMemories, NewMemory
from actors.row_deltas import RowDelta
from tests.unit.cubes import HandDriven

DIMENSION = 32


class WordEmbedder:
    """Texts that share terms are near each other. `fail` makes it raise; `gate` can hold it up."""

    model_id = "words"
    dimension = DIMENSION

    def __init__(self) -> None:
        self.fail = ""
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.gate.wait(10)
        if self.fail:
            raise RuntimeError(self.fail)
        self.batches.append(list(texts))
        return np.stack([_vector(text) for text in texts])


def _vector(text: str) -> Vectors:
    total = np.full(DIMENSION, 1e-3, dtype=np.float32)
    for term in terms_of(text):
        seed = int.from_bytes(hashlib.sha256(term.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return total / np.linalg.norm(total)


def remember(cube: HandDriven, *memories: NewMemory) -> list[str]:
    """Add memories to a cube; their ids."""
    added = cube.run(lambda draft, origin: add(draft, origin, AddMemories(memories), cube.random.randbytes))
    return [memory.id for memory in added.memories]


def replay(*cubes: HandDriven, position: int = 1) -> list[RowDelta]:
    """Everything that cubes hold, as a projector gets it."""
    return [*(delta for cube in cubes for delta in RowDelta.since(cube.state, 1)), RowDelta.reached(position)]
