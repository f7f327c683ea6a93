"""Calls for one cube travel together, and none of them pays for another's fate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from actors.errors import CubeNotFound, MemosError, Unavailable
from actors.memory.search_requests import CubeHits, Shortfall
from cluster.coalescing import Coalesced, Together
from tests.unit.edge import run

AT_ONCE, TOGETHER = 2, 8


def hits(query: str) -> CubeHits:
    return CubeHits((), (Shortfall(query, ""),))


class Host:
    """Answers each search with its query, once the gate is open."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.gate = asyncio.Event()
        self.searches: Coalesced[str, CubeHits] = Coalesced(self._search_many, Together(AT_ONCE, TOGETHER))
        self.down = False

    async def _search_many(self, cube_id: str, queries: Sequence[str]) -> Sequence[CubeHits | MemosError]:
        self.calls.append((cube_id, list(queries)))
        await self.gate.wait()
        if self.down:
            raise Unavailable("host-0 is down")
        if "bug" in queries:
            raise TypeError("a bug")
        return [CubeNotFound("no cube") if query == "hidden" else hits(query) for query in queries]

    def ask(self, cube_id: str, query: str, weight: int = 1) -> asyncio.Task[CubeHits]:
        return asyncio.create_task(self.searches.call(cube_id, query, weight))


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


def test_those_behind_a_call_that_failed_in_an_unforeseen_way_are_sent_all_the_same() -> None:
    async def play() -> None:
        host = Host()
        asked = []
        for query in ("bug", "bug", "q0", "q1"):
            asked.append(host.ask("c", query))
            await settle()
        host.gate.set()
        answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
        assert [type(answer) for answer in answers[:2]] == [MemosError, MemosError]
        assert answers[2:] == [hits("q0"), hits("q1")]

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


def test_a_call_carries_no_more_than_its_weight_and_one_at_least() -> None:
    async def play() -> None:
        host = Host()
        asked = []
        for number in range(AT_ONCE):
            asked.append(host.ask("c", f"first{number}"))
            await settle()
        asked += [host.ask("c", query, weight) for query, weight in (("a", 5), ("b", 4), ("heavy", 50), ("d", 1))]
        await settle()
        host.gate.set()
        await asyncio.gather(*asked)
        assert [queries for _, queries in host.calls[AT_ONCE:]] == [["a"], ["b"], ["heavy"], ["d"]]

    run(play())
