"""Calls for one cube that come together travel together: one call of its host for all of them.

A call between processes costs about as much as a search of a small cube, and adds that arrive together share a
commit and a batch of the embedder. A lone call goes at once; those that come while some are under way make up
the next one. Other cubes never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from actors.errors import MemosError

log = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Together:
    """`at_once` calls are under way for a cube; one carries asked-for things of up to `weight` in all, one at least."""

    at_once: int
    weight: int


@dataclass(slots=True)
class _Waiting(Generic[A, R]):
    asked: A
    weight: int
    answer: asyncio.Future[R]


@dataclass(slots=True)
class _Cube(Generic[A, R]):
    """What was asked of one cube and not sent yet, and how many calls are under way."""

    waiting: deque[_Waiting[A, R]] = field(default_factory=deque)
    calls: int = 0

    def take(self, weight: int) -> list[_Waiting[A, R]]:
        taken: list[_Waiting[A, R]] = []
        while self.waiting and (not taken or weight >= self.waiting[0].weight):
            first = self.waiting.popleft()
            if not first.answer.done():  # else its caller has gone
                taken.append(first)
                weight -= first.weight
        return taken


class Coalesced(Generic[A, R]):
    """For one event loop. How many wait is bounded by whoever lets requests in.

    `call_many(cube_id, asked)` answers each, in order, with its result or with what it raised.
    """

    def __init__(
        self, call_many: Callable[[str, Sequence[A]], Awaitable[Sequence[R | MemosError]]], together: Together
    ) -> None:
        self._call_many = call_many
        self._together = together
        self._cubes: dict[str, _Cube[A, R]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, cube_id: str, asked: A, weight: int = 1) -> R:
        """Raises what this one raised, or what the call for all of them did. Cancelling one leaves the others."""
        cube = self._cubes.setdefault(cube_id, _Cube())
        waiting = _Waiting[A, R](asked, weight, asyncio.get_running_loop().create_future())
        cube.waiting.append(waiting)
        if cube.calls < self._together.at_once:
            cube.calls += 1
            task = asyncio.create_task(self._send(cube_id, cube))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.answer

    async def _send(self, cube_id: str, cube: _Cube[A, R]) -> None:
        try:
            while batch := cube.take(self._together.weight):
                await self._answer(cube_id, batch)
        finally:
            cube.calls -= 1
            if not cube.calls and not cube.waiting:
                self._cubes.pop(cube_id, None)

    async def _answer(self, cube_id: str, batch: Sequence[_Waiting[A, R]]) -> None:
        answers: Sequence[R | MemosError]
        try:
            answers = await self._call_many(cube_id, [waiting.asked for waiting in batch])
        except MemosError as error:
            answers = [copy(error) for _ in batch]  # each caller adds its own traceback
        except Exception:  # the loop of a cube's calls: those that wait behind this one must be sent all the same
            log.exception("a call for %s failed", cube_id)
            answers = [MemosError("the call failed; the log says why") for _ in batch]
        for waiting, answer in zip(batch, answers, strict=True):
            _settle(waiting, answer)


def _settle(waiting: _Waiting[A, R], answer: R | MemosError) -> None:
    if waiting.answer.done():  # its caller has gone
        return
    if isinstance(answer, MemosError):
        waiting.answer.set_exception(answer)
    else:
        waiting.answer.set_result(answer)
