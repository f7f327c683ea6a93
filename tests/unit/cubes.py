"""Cubes driven by hand: a state, and commands committed to it at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from actors.memory.commands import create
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event
from actors.memory.governance import Action

R = TypeVar("R")
KEY = b"k" * 32


class HandDriven:
    """One cube without a journal: `run` decides, then applies what was decided."""

    def __init__(self, cube_id: str = "c", seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.state = CubeState(cube_id)
        self.events: list[Event] = []
        self.now_us = 1_000_000
        self.sealer = Sealer(KEY, self.random.randbytes)
        self.run(lambda draft, origin: create(draft, origin, "olga", "Cube", {}))

    def run(self, decide: Callable[[CubeDraft, Origin], R], idempotency: str = "") -> R:
        self.now_us += 1000
        draft = CubeDraft(self.state, self.sealer)
        result = decide(draft, Origin("olga", "req", self.now_us, idempotency))
        for event in draft.events:
            self.state.apply(event)
        self.events += draft.events
        return result


def allow_all(action: Action) -> None:
    return None
