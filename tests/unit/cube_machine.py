"""A cube driven at random beside a plain model of it: whatever is done, both say the same.

    python -m tests.unit.cube_machine --steps 2000 [--seed N]

`CubeMachine` is open for more: a subclass adds rules, which change `cube` and `model` alike through `both`, and
invariants. What a rule refuses, the model must refuse with the same error, and nothing may have changed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from actors.errors import MemosError
from actors.memory.commands import add, change, move
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.item import Memory
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.merging import MergeMemory, SplitMemory, link, merge, split
from actors.memory.requests import AddMemories, ChangeMemory, MoveMemory, NewMemory
from actors.memory.sources import shown
from tests.unit.cubes import HandDriven, allow_all
from tests.unit.plain_model import PlainModel, Seen

TEXTS = st.sampled_from(["tea", "Tea", "green  tea", "Green tea", "coffee", "I live in Rome"])
SPEAKERS = st.sampled_from(["", "Ann"])
PICKS = st.integers(0, 1000)
STEPS_OF_A_RUN = 100


class CubeMachine(RuleBasedStateMachine):
    steps = 0
    """Of all runs in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.cube = HandDriven()
        self.model = PlainModel()
        self.ids: list[str] = []

    def pick(self, number: int) -> str:
        return self.ids[number % len(self.ids)]

    def both(self, real: Callable[[], object], model: Callable[[], object]) -> None:
        """Do the same to both; a refusal must be the same, and change nothing."""
        version = self.cube.state.version
        expected = _refusal(model)
        assert _refusal(real) is expected
        assert expected is None or self.cube.state.version == version

    @rule(texts=st.lists(TEXTS, min_size=1, max_size=3), speaker=SPEAKERS, generated=st.booleans())
    def add(self, texts: list[str], speaker: str, generated: bool) -> None:
        state = State.GENERATED if generated else State.ACTIVATED
        request = AddMemories(tuple(NewMemory(text, speaker=speaker, state=state) for text in texts))
        added = self.cube.run(lambda d, o: add(d, o, request, self.cube.random.randbytes)).memories
        for text, one in zip(texts, added, strict=True):
            absorbers = set() if generated else self.model.repeated(text, speaker)
            into = self.cube.state.current(one.id).links.into
            assert into in absorbers if absorbers else into == ""
            seen = Seen(text, speaker, state)
            if absorbers:
                seen = Seen(text, speaker, State.MERGED, 1, into, Absorption.DUPLICATE)
            assert one.state is seen.state
            self.model.add(one.id, seen)
            self.ids.append(one.id)

    @precondition(lambda self: self.ids)
    @rule(text=TEXTS, number=PICKS)
    def supersede(self, text: str, number: int) -> None:
        older = self.pick(number)
        request = AddMemories((NewMemory(text, supersedes=(older,)),))
        made: list[str] = []

        def real() -> None:
            done = self.cube.run(lambda d, o: add(d, o, request, self.cube.random.randbytes))
            made.append(done.memories[0].id)

        version = self.cube.state.version
        refused = _refusal(lambda: self._merge_allowed(older))
        assert _refusal(real) is refused
        if refused is not None:
            assert self.cube.state.version == version
            return
        self.model.add(made[0], Seen(text, ""))
        self.model.merge(older, made[0], Absorption.SUPERSEDED)
        self.ids.append(made[0])

    def _merge_allowed(self, older: str) -> None:
        """Raise what merging a memory into a fresh one must raise."""
        trial = PlainModel(dict(self.model.now))
        trial.add("fresh", Seen("", ""))
        trial.merge(older, "fresh", Absorption.SUPERSEDED)

    @precondition(lambda self: self.ids)
    @rule(number=PICKS, text=TEXTS)
    def patch(self, number: int, text: str) -> None:
        memory_id = self.pick(number)
        self.both(
            lambda: self.cube.run(partial(change, request=ChangeMemory(memory_id, {"text": text}))),
            lambda: self.model.change(memory_id, text),
        )

    @precondition(lambda self: self.ids)
    @rule(number=PICKS, to=st.sampled_from(list(State)))
    def transition(self, number: int, to: State) -> None:
        memory_id = self.pick(number)
        self.both(
            lambda: self.cube.run(partial(move, request=MoveMemory(memory_id, to), allow=allow_all)),
            lambda: self.model.move(memory_id, to),
        )

    @precondition(lambda self: self.ids)
    @rule(one=PICKS, other=PICKS, kind=st.sampled_from(list(Absorption)))
    def merge(self, one: int, other: int, kind: Absorption) -> None:
        memory_id, into = self.pick(one), self.pick(other)
        self.both(
            lambda: self.cube.run(partial(merge, request=MergeMemory(memory_id, into, kind))),
            lambda: self.model.merge(memory_id, into, kind),
        )

    @precondition(lambda self: self.ids)
    @rule(number=PICKS)
    def split(self, number: int) -> None:
        memory_id = self.pick(number)
        order = self.cube.state.relations.absorbed.get(memory_id, [])
        self.model.now = {**{k: v for k, v in self.model.now.items() if k not in order}, **_ordered(self.model, order)}
        self.both(
            lambda: self.cube.run(partial(split, request=SplitMemory(memory_id))),
            lambda: self.model.split(memory_id),
        )

    @precondition(lambda self: len(self.ids) > 1)
    @rule(one=PICKS, other=PICKS)
    def contradict(self, one: int, other: int) -> None:
        newer, older = self.pick(one), self.pick(other)
        if newer != older:
            self.both(
                lambda: self.cube.run(partial(link, newer_id=newer, older_id=older, similarity=0.9, reason="")),
                lambda: self.model.link(newer, older),
            )

    @rule(cut=st.integers(0, 10_000))
    def restart(self, cut: int) -> None:
        """A snapshot of some moment, and the events since."""
        cut %= len(self.cube.events) + 1
        state = CubeState(self.cube.state.cube_id)
        for event in self.cube.events[:cut]:
            state.apply(event)
        revived = state_of(json.loads(json.dumps(snapshot_of(state))))
        for event in self.cube.events[cut:]:
            revived.apply(event)
        for told in (snapshot_of, CubeState.counts, lambda one: (one.relations, one.held_bytes)):
            assert told(revived) == told(self.cube.state)
        self.cube.state = revived

    @rule(version=st.integers(0, 10_000))
    def look_back(self, version: int) -> None:
        """Any version reads as it was."""
        at = version % len(self.model.past)
        found = {memory.id: _seen(memory) for memory in self.cube.state.memories(at)}
        assert found == self.model.past[at]
        live = self.cube.state.rows.live(at).nonzero()[0]
        held = {State.ACTIVATED, State.FROZEN}
        expected = sorted(memory_id for memory_id, seen in self.model.past[at].items() if seen.state in held)
        assert sorted(self.cube.state.rows.memory_ids[row] for row in live) == expected

    @invariant()
    def both_say_the_same(self) -> None:
        CubeMachine.steps += 1
        state = self.cube.state
        assert state.version == len(self.model.past) - 1
        assert {memory.id: _seen(memory) for memory in state.memories(None)} == self.model.now
        counts: dict[str, int] = {}
        for seen in self.model.now.values():
            counts[seen.state.value] = counts.get(seen.state.value, 0) + 1
        assert state.counts().get("plaintext", {}) == counts
        for memory_id in self.model.now:
            assert shown(state, state.current(memory_id), None).sources == self.model.sources(memory_id)


def _ordered(model: PlainModel, order: list[str]) -> dict[str, Seen]:
    return {memory_id: model.now[memory_id] for memory_id in order}


def _seen(memory: Memory) -> Seen:
    links = memory.links
    against = frozenset(links.contradicts)
    return Seen(memory.text, memory.speaker, memory.state, memory.version, links.into, links.absorption, against)


def _refusal(act: Callable[[], object]) -> type[MemosError] | None:
    try:
        act()
    except MemosError as error:
        return type(error)
    return None


def drive(machine: type[RuleBasedStateMachine], steps: int, seed: int) -> None:
    """Run a machine for so many steps at least, from a seed. Raises what a difference raises."""
    checks = list(HealthCheck)
    bounds = settings(
        max_examples=max(1, steps // STEPS_OF_A_RUN),
        stateful_step_count=STEPS_OF_A_RUN,
        deadline=None,
        database=None,
        suppress_health_check=checks,
        print_blob=True,
    )
    run_state_machine_as_test(seeded(seed)(machine), settings=bounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    sys.stdout.write(f"seed {seed}\n")
    runs = 0
    while CubeMachine.steps < given.steps:
        drive(CubeMachine, given.steps - CubeMachine.steps, seed + runs)
        runs += 1
    sys.stdout.write(f"{CubeMachine.steps} steps without a difference\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
