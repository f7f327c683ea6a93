"""Forks of a shard's cubes: how one begins, and how it is found again when its origin is not in memory.

A fork has no events of its own below its fork point: its state there is its origin's, cut at that version. So long as
no snapshot holds the fork, opening it opens its origin.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Protocol

from actors.errors import Corrupted
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.events import GENESIS, Event
from actors.memory.forking import cut
from actors.memory.ports import Journal
from actors.memory.requests import ForkPoint
from actors.memory.time_commands import begin_fork


class Held(Protocol):
    """A cube in memory; `lock` guards its state."""

    @property
    def state(self) -> CubeState: ...

    @property
    def lock(self) -> AbstractContextManager[Any]: ...


Pinned = Callable[[str], AbstractContextManager[Held]]
"""A cube by its id, opened when it was not, and kept in memory until the block ends."""


def base_of(event: Event, pinned: Pinned) -> CubeState:
    """What the fork whose first own event this is begins with."""
    with pinned(event.payload()["origin"]) as origin, origin.lock:
        return cut(origin.state, event.version - 1, event.cube_id, event.previous_hash)


class Forks:
    """Begins forks. `submit` queues a command of a cube with the shard's writer."""

    def __init__(
        self, journal: Journal, pinned: Pinned, submit: Callable[[str, Callable[[CubeDraft], None]], Future[None]]
    ) -> None:
        self._journal = journal
        self._pinned = pinned
        self._submit = submit

    def ensure_begun(self, cube_id: str, point: ForkPoint, origin: Origin, settings: dict[str, Any]) -> bool:
        """Give a registered fork its first own event; False when it has one. Its origin stays in memory meanwhile."""
        with self._pinned(cube_id) as fork:
            if fork.state.version:
                return False
        with self._pinned(cube_id) as fork, self._pinned(point.cube_id) as source:
            if fork.state.version:
                return False
            head = self.head_at(point)
            with source.lock:
                last_at_us = source.state.recorded_at_us[point.version - 1] if point.version else 0

            def decide(draft: CubeDraft) -> None:
                if not draft.version:
                    draft.begin_at(point.version, head, last_at_us)
                    begin_fork(draft, origin, point, settings)

            self._submit(cube_id, decide).result()
            return True

    def head_at(self, point: ForkPoint) -> bytes:
        """The hash of a cube's event `point.version`, the origin's when the cube is a fork and has it from there."""
        with self._pinned(point.cube_id) as cube, cube.lock:
            version, head, fork = cube.state.version, cube.state.head, cube.state.fork
        if not point.version:
            return GENESIS
        if point.version == version:
            return head
        if fork is not None and point.version <= fork.version:
            return self.head_at(ForkPoint(fork.cube_id, point.version))
        found = self._journal.head_at(point.cube_id, point.version)
        if found is None:
            raise Corrupted(f"event {point.version} of cube {point.cube_id} is missing from the journal")
        return found
