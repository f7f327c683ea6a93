"""The system state is the fold of its events, however commands were batched and wherever a snapshot fell."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.errors import MemosError
from actors.memory import administration
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event, find_break
from actors.memory.governance import Caller, Role
from actors.memory.identity import SYSTEM_CUBE_ID
from actors.memory.requests import JobStatus, JobView, NewCube, NewKey
from actors.memory.system import SystemState
from actors.memory.system_draft import SystemDraft

KEY = b"k" * 32
WHO = ("root", "ann", "bob")
CUBES = ("c0", "c1")

Command = tuple[Any, ...]

people = st.sampled_from(WHO)
cubes = st.sampled_from(CUBES)
commands = st.one_of(
    st.tuples(st.just("key"), people, people, st.booleans()),
    st.tuples(st.just("revoke"), people, st.integers(0, 5)),
    st.tuples(st.just("register"), people, cubes),
    st.tuples(st.just("archive"), people, cubes),
    st.tuples(st.just("grant"), people, cubes, people, st.sampled_from(list(Role))),
    st.tuples(st.just("ungrant"), people, cubes, people),
    st.tuples(st.just("job"), people, cubes),
    st.tuples(st.just("advance"), st.integers(0, 3), st.sampled_from(list(JobStatus))),
)


class Shard:
    """A system shard without a journal: each batch of commands becomes one commit."""

    def __init__(self) -> None:
        self.state = SystemState()
        self.events: list[Event] = []
        self.sealer = Sealer(KEY, random.Random(0).randbytes)
        self.step = 0
        self.refused: list[bool] = []
        self.batch([("bootstrap",)])

    def batch(self, batch: list[Command]) -> None:
        draft = SystemDraft(self.state, self.sealer)
        for command in batch:
            self.step += 1
            length, version, head = len(draft.events), draft.version, draft.head
            try:
                self._decide(draft, command, Origin("any", f"req-{self.step}", self.step))
            except MemosError:
                draft.rewind(length, version, head)
                self.refused.append(True)
            else:
                self.refused.append(False)
        for event in draft.events:
            self.state.apply(event)
        self.events += draft.events

    def _decide(self, draft: SystemDraft, command: Command, origin: Origin) -> None:
        name, *args = command
        if name == "bootstrap":
            administration.bootstrap(draft, origin, "root", "key_root", "digest")
        elif name == "advance":
            administration.advance_job(draft, origin, f"job_{args[0]}", args[1])
        else:
            actor = args[0]
            own = [k.id for k in draft.records.keys.values() if k.principal == actor]
            caller = Caller(actor, own[-1] if own else "none", origin.request_id)
            self._act(draft, origin, caller, name, args[1:])

    def _act(self, draft: SystemDraft, origin: Origin, caller: Caller, name: str, args: list[Any]) -> None:
        match name:
            case "key":
                new = NewKey(args[0], governor=args[1])
                administration.create_key(draft, origin, caller, new, f"key_{len(draft.records.keys)}", "digest")
            case "revoke":
                administration.revoke_key(draft, origin, caller, f"key_{args[0]}")
            case "register":
                administration.register_cube(draft, origin, caller, NewCube(args[0]))
            case "archive":
                administration.archive_cube(draft, origin, caller, args[0], "")
            case "grant":
                administration.put_grant(draft, origin, caller, args[0], args[1], args[2])
            case "ungrant":
                administration.remove_grant(draft, origin, caller, args[0], args[1])
            case "job":
                job_id = f"job_{len(draft.records.jobs)}"
                job = JobView(job_id, "demote", args[0], caller.principal, JobStatus.QUEUED, {}, origin.at_us)
                administration.record_job(draft, origin, caller, job)


def reading(state: SystemState) -> dict[str, Any]:
    """All that the state says, its index of cubes by principal too."""
    return {**state.to_snapshot(), "cubes_of": {who: sorted(ids) for who, ids in state.cubes_of.items() if ids}}


@given(st.lists(commands, max_size=25), st.data())
def test_commands_of_one_commit_see_each_other(sequence: list[Command], data: st.DataObject) -> None:
    singly, grouped = Shard(), Shard()
    for command in sequence:
        singly.batch([command])
    rest = sequence
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        grouped.batch(rest[:size])
        rest = rest[size:]
    assert grouped.refused == singly.refused
    assert reading(grouped.state) == reading(singly.state)


@given(st.lists(commands, max_size=25), st.integers(0, 30))
def test_a_snapshot_and_the_tail_give_the_whole_state(sequence: list[Command], cut: int) -> None:
    shard = Shard()
    for command in sequence:
        shard.batch([command])
    cut = min(cut, len(shard.events))
    early = SystemState()
    for event in shard.events[:cut]:
        early.apply(event)
    restored = SystemState.from_snapshot(json.loads(json.dumps(early.to_snapshot())))
    for event in shard.events[cut:]:
        restored.apply(event)
    assert reading(restored) == reading(shard.state)
    assert find_break(KEY, SYSTEM_CUBE_ID, shard.events)[0] is None


@given(st.lists(commands, max_size=40))
def test_what_always_holds(sequence: list[Command]) -> None:
    shard = Shard()
    for command in sequence:
        shard.batch([command])
    records = shard.state.records
    access = shard.state.cluster_access()
    live = [k for k in records.keys.values() if k.revoked_at_us is None]
    assert any(k.principal in access.governors for k in live), "somebody can govern"
    for cube in records.cubes.values():
        assert cube.owner not in cube.grants
        assert set(cube.grants) <= set(records.principals), "grants name principals that exist"
    for who in WHO:
        seen = {c.id for c in records.cubes.values() if not c.archived and (c.owner == who or who in c.grants)}
        assert shard.state.cubes_of.get(who, set()) == seen
