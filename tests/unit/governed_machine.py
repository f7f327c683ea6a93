"""Cubes of several principals behind the gateway, driven at random beside a plain model of them.

    python -m tests.unit.governed_machine --steps 2000 [--seed N ...] [--json FILE]

Real hosts, journals, snapshots and indexes in process: adds, patches, merges, splits, transitions, freezes, rollbacks,
forks (driven as cubes of their own), erasures, grants, reads and searches by whoever may or may not, and restarts of
hosts and of the system shard on the storage that they had. What the model refuses is refused with the same error.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from actors.memory.erasure import EraseMemories
from actors.memory.governance import Role
from actors.memory.item import Reference
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.merging import SplitMemory
from actors.memory.requests import AddMemories, ChangeMemory, Moment, MoveMemory, NewMemory
from actors.memory.search_requests import SearchCube
from actors.memory.time_requests import ForkCube
from jobs.bench.report import framed
from tests.unit.cube_machine import PICKS, SPEAKERS, TEXTS, drive
from tests.unit.gateway_rig import HOSTS
from tests.unit.governed_rig import PRINCIPALS, GovernedRig, unmerged
from tests.unit.plain_cubes import GOVERNOR
from tests.unit.plain_model import PlainModel, Seen

WHO = st.sampled_from((GOVERNOR, *PRINCIPALS))
ROLES = st.sampled_from((None, *Role))
MOST_CUBES = 6
STEPS_BETWEEN_RESTARTS = 6
ERASED_FROM = 6
"""Memories that a cube had before one is erased: each takes others along."""


class GovernedMachine(GovernedRig):
    # memories

    @rule(who=WHO, cube=PICKS, texts=st.lists(TEXTS, min_size=1, max_size=3), speaker=SPEAKERS, generated=st.booleans())
    def add(self, who: str, cube: int, texts: list[str], speaker: str, generated: bool) -> None:
        cube_id, state = self.cube(cube), State.GENERATED if generated else State.ACTIVATED
        request = AddMemories(tuple(NewMemory(text, speaker=speaker, state=state) for text in texts))
        call = self.rig.gateway.add(self.caller(who), cube_id, request)
        added = self.both("add", call, lambda: self.model.entered(who, cube_id, Role.WRITER))
        if added is None:
            return
        model = self.model.cubes[cube_id].model
        for text, one in zip(texts, added.memories, strict=True):
            absorbers = set() if generated else model.repeated(text, speaker)
            into = self.looked_up(cube_id, one.id).into if absorbers else ""
            assert into in absorbers if absorbers else one.state is state
            model.add(one.id, model.recorded(text, speaker, state, into))
            self.ids[cube_id].append(one.id)

    @rule(who=WHO, cube=PICKS, number=PICKS, text=TEXTS, supersedes=st.booleans())
    def derive(self, who: str, cube: int, number: int, text: str, supersedes: bool) -> None:
        """A text that was made of a memory, or takes its place."""
        cube_id = self.cube(cube)
        memory_id = self.memory(cube_id, number)
        if memory_id == "mem_none":
            return
        text, made = f"of {text} {len(self.ids[cube_id])}", (Reference("", memory_id, 0),)
        new = NewMemory(text, supersedes=(memory_id,)) if supersedes else NewMemory(text, derived_from=made)
        model = self.model.cubes[cube_id].model

        def plain() -> None:
            self.model.entered(who, cube_id, Role.WRITER)
            model.existing(memory_id)
            if supersedes:
                trial = PlainModel(dict(model.now))
                trial.add("new", Seen("", ""))
                trial.merge(memory_id, "new", Absorption.SUPERSEDED)

        added = self.both("derive", self.rig.gateway.add(self.caller(who), cube_id, AddMemories((new,))), plain)
        if added is None:
            return
        [one] = added.memories
        model.add(one.id, Seen(text, "", derived=frozenset() if supersedes else frozenset({memory_id})))
        if supersedes:
            model.merge(memory_id, one.id, Absorption.SUPERSEDED)
        self.ids[cube_id].append(one.id)

    @rule(who=WHO, cube=PICKS, number=PICKS, text=TEXTS)
    def patch(self, who: str, cube: int, number: int, text: str) -> None:
        cube_id = self.cube(cube)
        memory_id = self.memory(cube_id, number)
        if memory_id != "mem_none":
            self.both(
                "patch",
                self.rig.gateway.change_memory(self.caller(who), cube_id, ChangeMemory(memory_id, {"text": text})),
                lambda: self.model.change(who, cube_id, memory_id, text),
            )

    @rule(who=WHO, cube=PICKS, number=PICKS, to=st.sampled_from(list(State)))
    def transition(self, who: str, cube: int, number: int, to: State) -> None:
        cube_id = self.cube(cube)
        memory_id = self.memory(cube_id, number)
        if memory_id != "mem_none":
            self.both(
                "freeze" if to is State.FROZEN else "transition",
                self.rig.gateway.move_memory(self.caller(who), cube_id, MoveMemory(memory_id, to)),
                lambda: self.model.move(who, cube_id, memory_id, to),
            )

    @rule(who=WHO, cube=PICKS, one=PICKS, other=PICKS, kind=st.sampled_from(list(Absorption)))
    def merge(self, who: str, cube: int, one: int, other: int, kind: Absorption) -> None:
        cube_id = self.cube(cube)
        memory_id, into = self.memory(cube_id, one), self.memory(cube_id, other)
        if memory_id != "mem_none":
            request = MoveMemory(memory_id, State.MERGED, "", into, kind)
            self.both(
                "merge",
                self.rig.gateway.move_memory(self.caller(who), cube_id, request),
                lambda: self.model.merge(who, cube_id, memory_id, into, kind),
            )

    @rule(who=WHO, cube=PICKS, number=PICKS)
    def split(self, who: str, cube: int, number: int) -> None:
        cube_id = self.cube(cube)
        memory_id = self.memory(cube_id, number)
        if memory_id != "mem_none":
            self.both(
                "split",
                self.rig.gateway.split(self.caller(who), cube_id, SplitMemory(memory_id)),
                lambda: self.model.split(who, cube_id, memory_id),
            )

    @rule(who=WHO, cube=PICKS, number=PICKS, reason=st.sampled_from(["", "asked for"]))
    def erase(self, who: str, cube: int, number: int, reason: str) -> None:
        cube_id = self.cube(cube)
        memory_id = self.memory(cube_id, number)
        if len(self.ids[cube_id]) > ERASED_FROM:
            self.both(
                "erase",
                self.rig.gateway.erase_memories(self.caller(who), cube_id, EraseMemories((memory_id,), reason)),
                lambda: self.model.erase(who, cube_id, memory_id, reason),
            )

    # time, and who may

    @rule(who=WHO, cube=PICKS, version=PICKS)
    def roll_back(self, who: str, cube: int, version: int) -> None:
        cube_id = self.cube(cube)
        to = version % (self.model.cubes[cube_id].model.version + 2)
        kept: list[set[str]] = []
        call = self.rig.gateway.roll_back(self.caller(who), cube_id, Moment(version=to), "")
        done = self.both("rollback", call, lambda: kept.append(self.model.roll_back(who, cube_id, to)))
        assert done is None or [set(done.frozen)] == kept

    @rule(who=WHO, cube=PICKS, version=PICKS, onto=st.booleans())
    def fork(self, who: str, cube: int, version: int, onto: bool) -> None:
        cube_id = self.cube(cube)
        taken = onto or len(self.model.cubes) >= MOST_CUBES
        fork_id = self.cube(version) if taken else f"fork-{len(self.model.cubes)}"
        at = version % (self.model.cubes[cube_id].model.version + 2)
        call = self.rig.gateway.fork_cube(self.caller(who), cube_id, ForkCube(fork_id, Moment(version=at)))
        done = self.both("fork", call, lambda: self.model.fork(who, cube_id, at, fork_id))
        if done is not None:
            self.ids[fork_id] = list(self.model.cubes[fork_id].model.now)

    @rule(who=WHO, cube=PICKS, to=st.sampled_from((*PRINCIPALS, "nobody")), role=ROLES)
    def grant(self, who: str, cube: int, to: str, role: Role | None) -> None:
        cube_id, gateway = self.cube(cube), self.rig.gateway
        caller = self.caller(who)
        call = (
            gateway.remove_grant(caller, cube_id, to) if role is None else gateway.put_grant(caller, cube_id, to, role)
        )
        self.both("grant", call, lambda: self.model.grant(who, cube_id, to, role))

    @rule(who=WHO, cube=PICKS, text=TEXTS, version=PICKS)
    def search(self, who: str, cube: int, text: str, version: int) -> None:
        """Whoever may finds what was there at that version, and nothing else."""
        cube_id = self.cube(cube)
        model = self.model.cubes[cube_id].model
        at = version % (model.version + 1)
        vector = self.rig.embedder.embed([text])[0]
        request = SearchCube(text, vector, self.rig.embedder.model_id, 200, as_of=Moment(version=at))
        call = self.rig.gateway.search(self.caller(who), [cube_id], request)
        found = self.both("search", call, lambda: self.model.entered(who, cube_id))
        if found is not None:
            held = {m for m, seen in model.past[at].items() if seen.state in (State.ACTIVATED, State.FROZEN)}
            assert (found.degraded, {hit.memory.id for hit in found.hits}) == ((), held)

    @rule(who=WHO, cube=PICKS, number=PICKS)
    def read(self, who: str, cube: int, number: int) -> None:
        cube_id = self.cube(cube)
        memory_id = self.memory(cube_id, number)
        if memory_id != "mem_none":
            call = self.rig.gateway.read_memory(self.caller(who), cube_id, memory_id, None)
            self.both("read", call, lambda: self.model.read(who, cube_id, memory_id))

    @rule(host=st.integers(0, HOSTS))
    def restart(self, host: int) -> None:
        """A host dies, or all of the instance, and what it left is opened anew."""
        if self.since_restart < STEPS_BETWEEN_RESTARTS:
            return
        self.taken["restart"] += 1
        self.since_restart = 0
        if host < HOSTS:
            self.rig.restart(host)
        else:
            self.rig.restart_all()

    @rule(cube=PICKS, version=PICKS)
    def look_back(self, cube: int, version: int) -> None:
        if self.looked == self.since_restart:
            return
        self.looked = self.since_restart
        self.taken["look back"] += 1
        cube_id = self.cube(cube)
        model = self.model.cubes[cube_id].model
        at = version % (model.version + 1)
        assert self.listed(cube_id, at) == unmerged(model.past[at])

    @invariant()
    def both_say_the_same(self) -> None:
        if not self.news:
            return
        self.news = 0
        for cube_id, cube in self.model.cubes.items():
            view = self.done(self.rig.gateway.read_cube(self.rig.root, cube_id))
            assert view.version == cube.model.version
            found, expected = self.listed(cube_id, view.version), unmerged(cube.model.now)
            assert found == expected, set(found.items()) ^ set(expected.items())
            grants = {who: role.label for who, role in cube.grants.items()} | {cube.owner: "owner"}
            assert (view.owner, view.grants) == (cube.owner, grants)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="of each seed, at least")
    parser.add_argument("--seed", type=int, nargs="*", default=None)
    parser.add_argument("--json", type=Path, default=None, help="write a report here")
    given = parser.parse_args()
    logging.disable(logging.ERROR)  # hosts that died say that others took over
    seeds = given.seed or [random.SystemRandom().randrange(1 << 32)]
    runs = [_run(seed, given.steps) for seed in seeds]
    if given.json is not None:
        report = framed("governed_machine", {"steps": given.steps, "seeds": seeds}, {"runs": runs, "differences": 0})
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _run(seed: int, steps: int) -> dict[str, Any]:
    GovernedMachine.taken.clear()
    GovernedMachine.refused.clear()
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    runs = 0
    while GovernedMachine.taken.total() < steps:
        drive(GovernedMachine, steps - GovernedMachine.taken.total(), seed + (runs << 32))
        runs += 1
    taken, refused = dict(sorted(GovernedMachine.taken.items())), dict(sorted(GovernedMachine.refused.items()))
    sys.stdout.write(f"{GovernedMachine.taken.total()} steps without a difference: {taken}; refused: {refused}\n")
    sys.stdout.flush()
    return {"seed": seed, "steps": taken, "refused": refused}


if __name__ == "__main__":
    raise SystemExit(main())
