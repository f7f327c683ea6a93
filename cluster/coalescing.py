"""Searches of one cube that come together travel together: one call of its host for all of them.

A call between processes costs about as much as a search of a small cube. A lone search goes at once; those that
come while `AT_ONCE` calls for the same cube are under way make up the next call. Other cubes never wait for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from actors.errors import MemosError
from actors.memory.governance import Caller
from actors.memory.requests import CubeHits, SearchCube

AT_ONCE = 2
"""Calls under way for one cube: one that is worked on, and one on its way."""

TOGETHER = 8
"""Searches in one call: what a search may wait for beside itself."""

Asked = tuple[Caller, SearchCube]
Answer = CubeHits | MemosError
SearchMany = Callable[[str, Sequence[Asked]], Awaitable[Sequence[Answer]]]
"""Answers each of the searches of a cube, in order, with its hits or what it raised."""


@dataclass(slots=True)
class _Cube:
    """The searches of one cube that have not been sent yet, and how many calls are under way."""

    waiting: deque[tuple[Asked, asyncio.Future[CubeHits]]] = field(default_factory=deque)
    calls: int = 0


class CoalescedSearches:
    """For one event loop. How many wait is bounded by whoever lets requests in."""

    def __init__(self, search_many: SearchMany) -> None:
        self._search_many = search_many
        self._cubes: dict[str, _Cube] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def search(self, cube_id: str, caller: Caller, request: SearchCube) -> CubeHits:
        """Raises what this search raised, or what the call for all of them did. Cancelling one leaves the others."""
        cube = self._cubes.setdefault(cube_id, _Cube())
        answer: asyncio.Future[CubeHits] = asyncio.get_running_loop().create_future()
        cube.waiting.append(((caller, request), answer))
        if cube.calls < AT_ONCE:
            cube.calls += 1
            task = asyncio.create_task(self._send(cube_id, cube))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _send(self, cube_id: str, cube: _Cube) -> None:
        try:
            while cube.waiting:
                batch = [cube.waiting.popleft() for _ in range(min(TOGETHER, len(cube.waiting)))]
                batch = [(asked, answer) for asked, answer in batch if not answer.done()]
                if batch:
                    await self._answer(cube_id, batch)
        finally:
            cube.calls -= 1
            if not cube.calls and not cube.waiting:
                self._cubes.pop(cube_id, None)

    async def _answer(self, cube_id: str, batch: Sequence[tuple[Asked, asyncio.Future[CubeHits]]]) -> None:
        answers: Sequence[Answer] = ()
        try:
            answers = await self._search_many(cube_id, [asked for asked, _ in batch])
        except MemosError as error:
            answers = [error] * len(batch)
        finally:  # come what may, nobody waits for ever
            for place, (_, future) in enumerate(batch):
                _settle(future, answers[place] if place < len(answers) else MemosError("the search was not answered"))


def _settle(future: asyncio.Future[CubeHits], answer: Answer) -> None:
    if future.done():  # its caller has gone
        return
    if isinstance(answer, MemosError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
