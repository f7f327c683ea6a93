"""The fold, its snapshots and its past, driven by random commands against a plain model."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import MemosError
from actors.memory.commands import add, change, move
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.events import find_break, seal
from actors.memory.lifecycle import State
from actors.memory.requests import AddMemories, ChangeMemory, MoveMemory, NewMemory
from tests.unit.cubes import KEY, HandDriven, allow_all

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "change", "move"]), st.integers(0, 9), st.sampled_from(list(State))), max_size=30
)


def _drive(steps: list[tuple[str, int, State]]) -> tuple[HandDriven, list[dict[str, tuple[str, State]]]]:
    """The cube, and for each of its versions what a plain model says it holds."""
    cube = HandDriven()
    model: dict[str, tuple[str, State]] = {}
    past = [{}, {}]
    ids: list[str] = []
    for number, (what, pick, to) in enumerate(steps):
        text = f"text {number}"
        if what == "add":
            request = AddMemories((NewMemory(text),))
            made = cube.run(lambda d, o, r=request: add(d, o, r, cube.random.randbytes)).memories[0].id
            ids.append(made)
            model = {**model, made: (text, State.ACTIVATED)}
        elif ids:
            target = ids[pick % len(ids)]
            try:
                if what == "change":
                    cube.run(lambda d, o, t=target, x=text: change(d, o, ChangeMemory(t, {"text": x})))
                    model = {**model, target: (text, model[target][1])}
                else:
                    cube.run(lambda d, o, t=target, s=to: move(d, o, MoveMemory(t, s), allow_all))
                    model = {**model, target: (model[target][0], to)}
            except MemosError:
                continue
        if cube.state.version == len(past):
            past.append(model)
    return cube, past


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_every_version_reads_as_the_model_was(steps: list[tuple[str, int, State]]) -> None:
    cube, past = _drive(steps)
    for version, model in enumerate(past):
        seen = {m.id: (m.text, m.state) for m in cube.state.memories(version)}
        assert seen == model
        live = cube.state.rows.live(version)
        rows = {cube.state.rows.memory_ids[i]: cube.state.rows.texts[i] for i in live.nonzero()[0]}
        assert rows == {k: t for k, (t, s) in model.items() if s in (State.ACTIVATED, State.FROZEN)}


@given(STEPS, st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_a_snapshot_and_the_tail_give_the_same_state(steps: list[tuple[str, int, State]], cut: int) -> None:
    cube, _ = _drive(steps)
    cut = min(cut, len(cube.events))
    state = CubeState("c")
    for event in cube.events[:cut]:
        state.apply(event)
    revived = state_of(json.loads(json.dumps(snapshot_of(state))))
    copied = revived.copy()
    for event in cube.events[cut:]:
        revived.apply(event)
    assert snapshot_of(revived) == snapshot_of(cube.state)
    assert revived.counts() == cube.state.counts()
    assert snapshot_of(copied) == snapshot_of(state)


@given(STEPS)
@settings(max_examples=30, deadline=None)
def test_the_chain_holds_and_erasing_content_keeps_it(steps: list[tuple[str, int, State]]) -> None:
    cube, _ = _drive(steps)
    assert find_break(KEY, "c", cube.events) == (None, len(cube.events), cube.state.head)
    erased = [replace(e, content=None, salt=None) for e in cube.events]
    assert find_break(KEY, "c", erased)[0] is None


def test_the_chain_finds_each_kind_of_tampering() -> None:
    cube, _ = _drive([("add", 0, State.ACTIVATED)] * 4)
    events = cube.events
    edited = [*events[:2], replace(events[2], content=b'{"text":"other"}'), *events[3:]]
    header = [*events[:2], replace(events[2], principal="mallory"), *events[3:]]
    dropped = [*events[:2], *events[3:]]
    swapped = [events[0], events[2], events[1], *events[3:]]
    forged = seal(
        b"another key",
        cube_id="c",
        version=3,
        type=events[2].type,
        memory_id=events[2].memory_id,
        memory_version=1,
        recorded_at_us=events[2].recorded_at_us,
        principal="olga",
        request_id="req",
        idempotency="",
        payload={"text": "forged"},
        salt=b"s" * 16,
        previous_hash=events[1].hash,
    )
    for tampered, version in [(edited, 3), (header, 3), (dropped, 3), (swapped, 2), ([*events[:2], forged], 3)]:
        found = find_break(KEY, "c", tampered)[0]
        assert found is not None and found.version == version
