"""Searches and adds of cubes, sent to their hosts in company (`cluster/coalescing.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from actors.errors import MemosError
from actors.memory.governance import Caller
from actors.memory.requests import Added, AddMemories, Wait
from actors.memory.search_requests import CubeHits, SearchCube
from cluster.coalescing import Coalesced, Together
from cluster.cube_places import CubePlaces
from cluster.directory import Directory

SEARCHES_TOGETHER = Together(at_once=2, weight=8)
"""One call is worked on while the next is on its way; a search waits for at most seven others of its cube."""

ADDS_TOGETHER = Together(at_once=2, weight=256)
"""One call is committed while the texts of another are embedded; weighed in memories."""

R = TypeVar("R")
Asked = tuple[Caller, R]


class CubeCalls:
    """For one event loop."""

    def __init__(self, directory: Directory, places: CubePlaces) -> None:
        self._directory = directory
        self._places = places
        self._searches: Coalesced[Asked[SearchCube], CubeHits] = Coalesced(self._search_many, SEARCHES_TOGETHER)
        self._adds: dict[Wait, Coalesced[Asked[AddMemories], Added]] = {
            wait: Coalesced(self._add_many, ADDS_TOGETHER) for wait in Wait
        }

    async def search(self, caller: Caller, cube_id: str, request: SearchCube) -> CubeHits:
        """Raises what CubeHost.search raises, Unavailable when the host does not answer."""
        return await self._places.found(cube_id, lambda: self._searches.call(cube_id, (caller, request)))

    async def add(self, caller: Caller, cube_id: str, request: AddMemories) -> Added:
        """Raises what CubeHost.add raises, Unavailable when the host does not answer: it may have taken effect."""
        weight = len(request.memories)
        return await self._places.found(
            cube_id, lambda: self._adds[request.wait].call(cube_id, (caller, request), weight)
        )

    async def _search_many(self, cube_id: str, asked: Sequence[Asked[SearchCube]]) -> Sequence[CubeHits | MemosError]:
        answers: Sequence[CubeHits | MemosError]
        answers = await self._directory.call(self._places.owner_of(cube_id), "search_many", cube_id, asked)
        return answers

    async def _add_many(self, cube_id: str, asked: Sequence[Asked[AddMemories]]) -> Sequence[Added | MemosError]:
        answers: Sequence[Added | MemosError]
        answers = await self._directory.call(self._places.owner_of(cube_id), "add_many", cube_id, asked)
        return answers
