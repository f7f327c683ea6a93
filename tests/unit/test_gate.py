"""Who is let in, in which order, and who is turned away when too many come."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import Overloaded
from serve import admission
from serve.admission import Gate, GateLimits, kind_of, share_the_processor
from tests.unit.edge import run


class Crowd:
    """Callers of a gate, each held inside until it is told to go."""

    def __init__(self, running: int, waiting: int, beside: int = 0) -> None:
        self.now = 0.0
        self.gate = Gate("searches", GateLimits(running, waiting, beside), lambda: self.now)
        self.inside: list[str] = []
        self.turned_away: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._goes: dict[str, asyncio.Event] = {}

    async def comes(self, *names: str) -> None:
        """`names` are key-number; they arrive in this order."""
        for name in names:
            self._goes[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._call(name))
            await settle()

    async def goes(self, name: str) -> None:
        self._goes[name].set()
        await settle()

    async def _call(self, name: str) -> None:
        try:
            async with self.gate.admitted(name.partition("-")[0]):
                self.inside.append(name)
                await self._goes[name].wait()
        except Overloaded as error:
            assert error.facts["retry_after_s"] >= 1
            self.turned_away.append(name)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "TURNED_AWAY_AFTER_S", 0.0)


def test_a_line_that_holds_everybody_is_first_come_first_served() -> None:
    async def play() -> None:
        crowd = Crowd(running=2, waiting=4)
        await crowd.comes("a-1", "b-1", "a-2", "c-1")
        assert crowd.inside == ["a-1", "b-1"]
        await crowd.goes("a-1")
        await crowd.goes("b-1")
        assert crowd.inside == ["a-1", "b-1", "a-2", "c-1"]
        assert crowd.turned_away == []

    run(play())


def test_beside_writes_few_searches_run_and_few_writes_while_searches_wait() -> None:
    async def play() -> None:
        searches, writes = Crowd(running=4, waiting=4, beside=2), Crowd(running=4, waiting=4, beside=2)
        share_the_processor(searches.gate, writes.gate)
        await searches.comes("a-1", "b-1")
        await writes.comes("a-1")
        await searches.comes("c-1")
        assert searches.inside == ["a-1", "b-1"], "two are enough beside a write"
        await writes.comes("b-1", "c-1")
        assert writes.inside == ["a-1", "b-1"], "two are enough while a search waits"
        await searches.goes("a-1")
        assert searches.inside == ["a-1", "b-1", "c-1"]
        assert writes.inside == ["a-1", "b-1", "c-1"], "no search waits: every place is theirs"

    run(play())


def test_once_it_overflows_the_newest_go_first_and_the_oldest_are_turned_away() -> None:
    async def play() -> None:
        crowd = Crowd(running=1, waiting=2)
        await crowd.comes("a-1", "a-2", "a-3", "a-4")
        assert (crowd.turned_away, crowd.gate.turned_away) == (["a-2"], 1)
        await crowd.goes("a-1")
        assert crowd.inside == ["a-1", "a-4"]
        crowd.now += admission.OVERFLOWING_S
        await crowd.comes("a-5")
        await crowd.goes("a-4")
        assert crowd.inside[-1] == "a-3", "the overflow is over: the oldest first again"

    run(play())


def test_keys_take_turns_and_one_alone_never_takes_every_place() -> None:
    async def play() -> None:
        crowd = Crowd(running=4, waiting=8)
        await crowd.comes(*(f"flood-{n}" for n in range(8)))
        assert len(crowd.inside) == 3
        await crowd.comes("other-1", "other-2")
        assert crowd.inside[-1] == "other-1"
        await crowd.goes("flood-0")
        await crowd.goes("flood-1")
        assert "other-2" in crowd.inside[-2:]

    run(play())


def test_the_longest_line_gives_way_to_others() -> None:
    async def play() -> None:
        crowd = Crowd(running=1, waiting=3)
        await crowd.comes("flood-1", "flood-2", "flood-3", "flood-4", "other-1", "other-2")
        assert crowd.turned_away == ["flood-2", "flood-3"]

    run(play())


def test_who_hangs_up_leaves_the_line_or_its_place() -> None:
    async def play() -> None:
        crowd = Crowd(running=1, waiting=3)
        await crowd.comes("a-1", "a-2", "a-3")
        crowd.tasks["a-2"].cancel()
        await settle()
        assert crowd.gate.waiting == 1
        crowd.tasks["a-1"].cancel()
        await settle()
        assert crowd.inside == ["a-1", "a-3"]
        await crowd.goes("a-3")
        assert (crowd.gate.running, crowd.gate.waiting) == (0, 0)

    run(play())


def test_who_hangs_up_just_as_it_is_let_in_gives_the_place_on() -> None:
    async def play() -> None:
        crowd = Crowd(running=1, waiting=3)
        await crowd.comes("a-1", "a-2", "a-3")
        crowd._goes["a-1"].set()
        for _ in range(20):
            if crowd.gate.waiting == 1:
                break
            await asyncio.sleep(0)
        crowd.tasks["a-2"].cancel()
        await settle()
        assert crowd.inside[-1] == "a-3"
        await crowd.goes("a-3")
        assert (crowd.gate.running, crowd.gate.waiting) == (0, 0)

    run(play())


def test_who_hangs_up_in_the_moment_in_which_another_leaves_takes_no_place_along() -> None:
    async def play() -> None:
        crowd = Crowd(running=1, waiting=2)
        await crowd.comes("a-1", "a-2", "a-3")
        crowd.tasks["a-2"].cancel()  # and before it can notice:
        crowd._goes["a-1"].set()
        await settle()
        assert crowd.inside[-1] == "a-3"
        await crowd.goes("a-3")
        assert (crowd.gate.running, crowd.gate.waiting) == (0, 0)

    run(play())


def test_who_hangs_up_in_the_moment_in_which_it_is_turned_away_leaves_nothing_behind() -> None:
    async def play() -> None:
        crowd = Crowd(running=1, waiting=2)
        await crowd.comes("a-1", "a-2", "a-3")
        crowd.tasks["a-2"].cancel()
        await crowd.comes("a-4")
        for name in ("a-1", "a-3", "a-4"):
            await crowd.goes(name)
        assert (crowd.gate.running, crowd.gate.waiting) == (0, 0)
        assert {"a-1", "a-3", "a-4"} == set(crowd.inside)

    run(play())


def test_each_kind_of_request_has_a_gate_of_its_own() -> None:
    assert kind_of("POST", "/v1/search") == "searches"
    assert kind_of("POST", "/v1/chat/completions") == "chats"
    assert kind_of("GET", "/v1/cubes/c/memories") == "reads"
    assert kind_of("POST", "/v1/cubes/c/memories") == "writes"
