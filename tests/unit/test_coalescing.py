"""Searches of one cube travel together, and none of them pays for another's fate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.errors import CubeNotFound, Unavailable
from actors.memory.governance import Caller
from actors.memory.requests import CubeHits, SearchCube, Shortfall
from cluster.coalescing import AT_ONCE, TOGETHER, Answer, Asked, CoalescedSearches
from tests.unit.edge import run

CALLER = Caller("olga", "key-o", "req")


def search(query: str) -> SearchCube:
    return SearchCube(query, None, "words", 5)


def hits(query: str) -> CubeHits:
    return CubeHits((), (Shortfall(query, ""),))


class Host:
    """Answers each search with its query, once the gate is open."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.gate = asyncio.Event()
        self.searches = CoalescedSearches(self._search_many)
        self.down = False

    async def _search_many(self, cube_id: str, asked: Sequence[Asked]) -> Sequence[Answer]:
        queries = [request.query for _, request in asked]
        self.calls.append((cube_id, queries))
        await self.gate.wait()
        if self.down:
            raise Unavailable("host-0 is down")
        return [CubeNotFound("no cube") if query == "hidden" else hits(query) for query in queries]

    def ask(self, cube_id: str, query: str) -> asyncio.Task[CubeHits]:
        return asyncio.create_task(self.searches.search(cube_id, CALLER, search(query)))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_lone_search_goes_at_once_and_later_ones_go_together() -> None:
    async def play() -> None:
        host = Host()
        asked = [host.ask("c", "q0")]
        await settle()
        assert host.calls == [("c", ["q0"])]
        asked += [host.ask("c", f"q{n}") for n in range(1, 2 + TOGETHER)]
        await settle()
        assert len(host.calls) == AT_ONCE
        host.gate.set()
        assert [await task for task in asked] == [hits(f"q{n}") for n in range(2 + TOGETHER)]
        assert max(len(queries) for _, queries in host.calls) <= TOGETHER
        assert len(host.calls) < len(asked)

    run(play())


def test_another_cube_does_not_wait() -> None:
    async def play() -> None:
        host = Host()
        slow = [host.ask("huge", f"q{n}") for n in range(5)]
        await settle()
        other = host.ask("small", "q")
        await settle()
        assert ("small", ["q"]) in host.calls
        host.gate.set()
        await asyncio.gather(other, *slow)

    run(play())


def test_each_search_gets_its_own_error() -> None:
    async def play() -> None:
        host = Host()
        host.gate.set()
        asked = [host.ask("c", query) for query in ("q0", "hidden", "q1")]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[0] == hits("q0") and answers[2] == hits("q1")
        assert isinstance(answers[1], CubeNotFound)

    run(play())


def test_a_host_that_is_down_is_told_to_everyone_and_asked_again_later() -> None:
    async def play() -> None:
        host = Host()
        host.down = True
        asked = [host.ask("c", f"q{n}") for n in range(4)]
        host.gate.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers)
        host.down = False
        assert await host.ask("c", "q") == hits("q")

    run(play())


def test_a_caller_that_goes_leaves_the_others() -> None:
    async def play() -> None:
        host = Host()
        asked = []
        for number in range(6):
            asked.append(host.ask("c", f"q{number}"))
            await settle()
        asked[-1].cancel()
        await settle()
        host.gate.set()
        assert await asyncio.gather(*asked[:-1]) == [hits(f"q{n}") for n in range(5)]
        with pytest.raises(asyncio.CancelledError):
            await asked[-1]
        assert all("q5" not in queries for _, queries in host.calls)

    run(play())
