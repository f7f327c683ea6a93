"""Cubes behind the gateway and a plain model of them, and the calls that go to both."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from actors.consolidator import ConsolidationPace
from actors.errors import MemosError
from actors.memory.governance import Caller
from actors.memory.requests import ListMemories, Moment, NewCube
from actors.shard import ShardLimits
from tests.unit.cube_machine import seen_of
from tests.unit.gateway_rig import GatewayRig
from tests.unit.opened import nothing_left_running
from tests.unit.plain_cubes import GOVERNOR, PlainCube, PlainCubes
from tests.unit.plain_model import Seen

T = TypeVar("T")
PRINCIPALS = (GOVERNOR, "ann", "bob", "cleo")
LIMITS = ShardLimits(index_wait_s=30.0, snapshot_events=20, consolidation=ConsolidationPace(share=0.0))
"""What consolidation merges, and when, is its own affair: the model does not know its vectors."""


class GovernedRig(RuleBasedStateMachine):
    """What the rules stand on: both sides, the calls to both, and how the real one is looked at."""

    taken: ClassVar[Counter[str]] = Counter()
    """Steps of each rule, of all runs in this process."""
    refused: ClassVar[Counter[str]] = Counter()
    """Calls that were refused, as the model said, by error."""

    def __init__(self) -> None:
        super().__init__()
        self._running = nothing_left_running()
        self._running.__enter__()
        self._loop = asyncio.new_event_loop()
        self.rig = GatewayRig(LIMITS)
        self.model = PlainCubes(PRINCIPALS)
        self.callers = {GOVERNOR: self.rig.root}
        for name in PRINCIPALS[1:]:
            self.callers[name] = self.done(self.rig.principal(name))
        for name, cube_id in (("ann", "home"), ("bob", "work")):
            self.done(self.rig.gateway.create_cube(self.callers[name], NewCube(cube_id)))
            self.model.cubes[cube_id] = PlainCube(name)
        self.ids: dict[str, list[str]] = {"home": [], "work": []}
        self.since_restart = self.news = self.looked = 0

    def teardown(self) -> None:
        self._loop.close()
        self._running.__exit__(None, None, None)

    def done(self, call: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
        return self._loop.run_until_complete(call)  # type: ignore[arg-type]

    def caller(self, who: str) -> Caller:
        """In a request of its own: a repeat of one is answered as the first."""
        return replace(self.callers[who], request_id=f"req-{self.taken.total()}")

    def cube(self, number: int) -> str:
        return list(self.model.cubes)[number % len(self.model.cubes)]

    def memory(self, cube_id: str, number: int) -> str:
        ids = self.ids[cube_id]
        return ids[number % len(ids)] if ids else "mem_none"

    def both(self, rule: str, real: Awaitable[T], model: Callable[[], object]) -> T | None:
        """Do the same to both; None when both refuse, with the same error."""
        self.taken[rule] += 1
        self.since_restart += 1
        self.news += 1
        expected: type[MemosError] | None = None
        try:
            model()
        except MemosError as error:
            expected = type(error)
            self.refused[expected.__name__] += 1
        try:
            answer = self.done(real)
        except MemosError as error:
            assert type(error) is expected, (error, expected)
            return None
        assert expected is None, (expected, answer)
        return answer

    def looked_up(self, cube_id: str, memory_id: str) -> Seen:
        return seen_of(self.done(self.rig.gateway.read_memory(self.rig.root, cube_id, memory_id, None)))

    def listed(self, cube_id: str, at: int) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        cursor: str | None = None
        while True:
            request = ListMemories(200, cursor, as_of=Moment(version=at))
            page = self.done(self.rig.gateway.list_memories(self.rig.root, cube_id, request))
            found |= {memory.id: seen_of(memory) for memory in page.items}
            cursor = page.next
            if cursor is None:
                return unmerged(found)


def unmerged(memories: dict[str, Seen]) -> dict[str, Seen]:
    """The memories, each derived from what it was made of alone: not from what is merged into it, as is shown."""

    def own(memory_id: str, seen: Seen) -> frozenset[str]:
        return frozenset(one for one in seen.derived if one not in memories or memories[one].into != memory_id)

    return {m: replace(seen, derived=own(m, seen)) if seen.derived else seen for m, seen in memories.items()}
