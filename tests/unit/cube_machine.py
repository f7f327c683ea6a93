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
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from actors.errors import Forbidden, MemosError
from actors.memory.commands import add, change, move
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.erasing import complete, erase
from actors.memory.erasure import EraseMemories, receipt_of
from actors.memory.governance import Action
from actors.memory.item import Memory
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.merging import MergeMemory, SplitMemory, link, merge, split
from actors.memory.requests import AddMemories, ChangeMemory, Moment, MoveMemory, NewMemory
from actors.memory.sources import shown
from actors.memory.time_commands import roll_back
from tests.unit.cubes import HandDriven, allow_all
from tests.unit.plain_model import PlainModel, Seen

TEXTS = st.sampled_from(["tea", "Tea", "green  tea", "Green tea", "coffee", "I live in Rome"])
SPEAKERS = st.sampled_from(["", "Ann"])
PICKS = st.integers(0, 1000)
RARELY = 20
"""Memories that are there before any is erased: each takes a few others along."""
STEPS_OF_A_RUN = 100
RUNS_AT_ONCE = 6
"""With one seed. After more, Hypothesis varies the runs that it had, and most of that leads nowhere."""


class CubeMachine(RuleBasedStateMachine):
    taken: ClassVar[Counter[str]] = Counter()
    """Steps of each rule, of all runs in this process."""

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
        expected = refusal(model)
        assert refusal(real) is expected
        assert expected is None or self.cube.state.version == version

    @rule(texts=st.lists(TEXTS, min_size=1, max_size=3), speaker=SPEAKERS, generated=st.booleans())
    def add(self, texts: list[str], speaker: str, generated: bool) -> None:
        self.taken["add"] += 1
        state = State.GENERATED if generated else State.ACTIVATED
        request = AddMemories(tuple(NewMemory(text, speaker=speaker, state=state) for text in texts))
        added = self.cube.run(lambda d, o: add(d, o, request, self.cube.random.randbytes)).memories
        for text, one in zip(texts, added, strict=True):
            absorbers = set() if generated else self.model.repeated(text, speaker)
            into = self.cube.state.current(one.id).links.into
            assert into in absorbers if absorbers else into == ""
            seen = self.model.recorded(text, speaker, state, into)
            assert one.state is seen.state
            self.model.add(one.id, seen)
            self.ids.append(one.id)

    @precondition(lambda self: self.ids)
    @rule(text=TEXTS, number=PICKS)
    def supersede(self, text: str, number: int) -> None:
        self.taken["supersede"] += 1
        older = self.pick(number)
        request = AddMemories((NewMemory(text, supersedes=(older,)),))
        made: list[str] = []

        def real() -> None:
            done = self.cube.run(lambda d, o: add(d, o, request, self.cube.random.randbytes))
            made.append(done.memories[0].id)

        version = self.cube.state.version
        refused = refusal(lambda: self._merge_allowed(older))
        assert refusal(real) is refused
        if refused is not None:
            assert self.cube.state.version == version
            return
        self.model.add(made[0], Seen(text, ""))
        self.model.merge(older, made[0], Absorption.SUPERSEDED)
        self.ids.append(made[0])

    def _merge_allowed(self, older: str) -> None:
        """Raise what merging a memory into a fresh one must raise."""
        trial = PlainModel(dict(self.model.now), erased=set(self.model.erased))
        trial.add("fresh", Seen("", ""))
        trial.merge(older, "fresh", Absorption.SUPERSEDED)

    @precondition(lambda self: self.ids)
    @rule(number=PICKS, text=TEXTS)
    def patch(self, number: int, text: str) -> None:
        self.taken["patch"] += 1
        memory_id = self.pick(number)
        self.both(
            lambda: self.cube.run(partial(change, request=ChangeMemory(memory_id, {"text": text}))),
            lambda: self.model.change(memory_id, text),
        )

    @precondition(lambda self: self.ids)
    @rule(number=PICKS, to=st.sampled_from(list(State)))
    def transition(self, number: int, to: State) -> None:
        self.taken["transition"] += 1
        memory_id = self.pick(number)
        self.both(
            lambda: self.cube.run(partial(move, request=MoveMemory(memory_id, to), allow=allow_all)),
            lambda: self.model.move(memory_id, to),
        )

    @precondition(lambda self: self.ids)
    @rule(one=PICKS, other=PICKS, kind=st.sampled_from(list(Absorption)))
    def merge(self, one: int, other: int, kind: Absorption) -> None:
        self.taken["merge"] += 1
        memory_id, into = self.pick(one), self.pick(other)
        self.both(
            lambda: self.cube.run(partial(merge, request=MergeMemory(memory_id, into, kind))),
            lambda: self.model.merge(memory_id, into, kind),
        )

    @precondition(lambda self: self.ids)
    @rule(number=PICKS)
    def split(self, number: int) -> None:
        self.taken["split"] += 1
        memory_id = self.pick(number)
        self.both(
            lambda: self.cube.run(partial(split, request=SplitMemory(memory_id))),
            lambda: self.model.split(memory_id),
        )

    @precondition(lambda self: len(self.ids) > 1)
    @rule(one=PICKS, other=PICKS)
    def contradict(self, one: int, other: int) -> None:
        self.taken["contradict"] += 1
        newer, older = self.pick(one), self.pick(other)
        if newer != older:
            self.both(
                lambda: self.cube.run(partial(link, newer_id=newer, older_id=older, similarity=0.9, reason="")),
                lambda: self.model.link(newer, older),
            )

    @rule(version=PICKS)
    def roll_back(self, version: int) -> None:
        self.taken["roll_back"] += 1
        to = version % (self.cube.state.version + 2)
        kept: list[set[str]] = []
        self.both(
            lambda: kept.append(set(self.cube.run(lambda d, o: roll_back(d, o, Moment(version=to), "")).frozen)),
            lambda: kept.append(self.model.roll_back(to)),
        )
        assert len(kept) in (0, 2) and kept[:1] == kept[1:]

    @rule(number=PICKS, governor=st.booleans())
    def erase(self, number: int, governor: bool) -> None:
        if len(self.ids) <= RARELY:
            return
        self.taken["erase"] += 1
        memory_id = self.pick(number)
        request = EraseMemories((memory_id,), "asked")

        def allow(action: Action) -> None:
            if action is Action.ERASE_FROZEN and not governor:
                raise Forbidden("governors only")

        def real() -> None:
            root = self.cube.run(partial(erase, request=request, allow=allow))
            receipt = receipt_of(self.cube.state, root, (), self.cube.now_us)
            self.cube.run(lambda d, o: complete(d, o, root, receipt))

        def plain() -> None:
            going = self.model.goes_with({memory_id} - self.model.erased)
            if any(self.model.now[one].state is State.FROZEN for one in going):
                allow(Action.ERASE_FROZEN)
            self.model.erase({memory_id})

        self.both(real, plain)

    @rule(cut=st.integers(0, 10_000))
    def restart(self, cut: int) -> None:
        """A snapshot of some moment, and the events since."""
        self.taken["restart"] += 1
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
        self.taken["look_back"] += 1
        at = version % len(self.model.past)
        found = {memory.id: seen_of(memory) for memory in self.cube.state.memories(at)}
        assert found == self.model.past[at]
        live = self.cube.state.rows.live(at).nonzero()[0]
        held = {State.ACTIVATED, State.FROZEN}
        expected = sorted(memory_id for memory_id, seen in self.model.past[at].items() if seen.state in held)
        assert sorted(self.cube.state.rows.memory_ids[row] for row in live) == expected

    @invariant()
    def both_say_the_same(self) -> None:
        state = self.cube.state
        assert state.version == len(self.model.past) - 1
        assert {memory.id: seen_of(memory) for memory in state.memories(None)} == self.model.now
        counts: dict[str, int] = {}
        for seen in self.model.now.values():
            counts[seen.state.value] = counts.get(seen.state.value, 0) + 1
        assert state.counts().get("plaintext", {}) == counts
        for memory_id in self.model.now:
            assert shown(state, state.current(memory_id), None).sources == self.model.sources(memory_id)


def seen_of(memory: Memory) -> Seen:
    links = memory.links
    return Seen(
        memory.text,
        memory.speaker,
        memory.state,
        memory.version,
        links.into,
        links.absorption,
        frozenset(links.contradicts),
        links.into_version,
        frozenset(source.memory_id for source in memory.derived_from),
    )


def refusal(act: Callable[[], object]) -> type[MemosError] | None:
    try:
        act()
    except MemosError as error:
        return type(error)
    return None


def drive(machine: type[RuleBasedStateMachine], steps: int, seed: int) -> None:
    """Run a machine for some of so many steps, from a seed. Raises what a difference raises."""
    checks = list(HealthCheck)
    bounds = settings(
        max_examples=max(2, min(RUNS_AT_ONCE, steps // STEPS_OF_A_RUN)),
        stateful_step_count=STEPS_OF_A_RUN,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
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
    while CubeMachine.taken.total() < given.steps:
        drive(CubeMachine, given.steps - CubeMachine.taken.total(), seed + (runs << 32))
        runs += 1
    sys.stdout.write(f"{CubeMachine.taken.total()} steps without a difference: {dict(CubeMachine.taken)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
