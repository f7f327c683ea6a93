"""Which memories go together, what their tombstones do to the fold, and that a fold of emptied events is the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import Forbidden, FrozenMemory, InvalidRequest, MemoryErased, MemoryNotFound
from actors.memory import erasing
from actors.memory.commands import add, change, move
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.erasing import together
from actors.memory.erasure import Because, Cause, EraseMemories, blank_rows, receipt_of
from actors.memory.events import Event, EventType
from actors.memory.governance import Action
from actors.memory.item import Form, Memory, Reference
from actors.memory.lifecycle import State
from actors.memory.merging import MergeMemory, SplitMemory, link, merge, split
from actors.memory.relations import Relations
from actors.memory.requests import AddMemories, ChangeMemory, Moment, MoveMemory, NewMemory
from actors.memory.sources import absorbed
from actors.memory.time_commands import roll_back
from tests.unit.cubes import HandDriven, allow_all


def _add(cube: HandDriven, text: str, *parents: str) -> str:
    new = NewMemory(text, derived_from=tuple(Reference("c", parent, 1) for parent in parents))
    added = cube.run(lambda d, o: add(d, o, AddMemories((new,)), cube.random.randbytes))
    return added.memories[0].id


def _erase(cube: HandDriven, *ids: str, reason: str = "asked", allow=allow_all, **more) -> str:
    request = EraseMemories(ids, reason, **more)
    return cube.run(lambda d, o: erasing.erase(d, o, request, allow))


def _refolded(events: list[Event], erased: set[str]) -> CubeState:
    """The fold of the events as they are once content was emptied."""
    emptied = [
        replace(event, content=None, salt=None)
        if event.memory_id in erased and event.type is not EventType.MEMORY_ERASED
        else event
        for event in events
    ]
    state = CubeState("c")
    state.blank_rows.update(blank_rows(emptied))
    for event in emptied:
        state.apply(event)
    return state


def _same(a: CubeState, b: CubeState) -> None:
    assert snapshot_of(a) == snapshot_of(b)
    assert a.rows.live(a.version).tolist() == b.rows.live(b.version).tolist()
    assert list(a.rows.texts) == list(b.rows.texts)
    assert {k: n for k, n in a.tally.items() if n} == {k: n for k, n in b.tally.items() if n}


def test_a_memory_is_gone_at_every_version_and_others_keep_their_rows() -> None:
    cube = HandDriven()
    first, secret, last = (_add(cube, text) for text in ("one", "the secret", "three"))
    cube.run(lambda d, o: change(d, o, ChangeMemory(secret, {"text": "secret two"})))
    version = cube.state.version
    _erase(cube, secret)
    for as_of in (None, version, 3):
        with pytest.raises(MemoryErased) as told:
            cube.state.at(secret, as_of)
        assert told.value.facts["versions"] == [1, 2]
    assert [m.id for m in cube.state.memories(version)] == [first, last]
    assert cube.state.counts() == {"plaintext": {"activated": 2}}
    assert list(cube.state.rows.texts) == ["one", "", "three", ""]
    assert cube.state.rows.live(version).tolist() == [True, False, True, False]
    assert "secret" not in json.dumps(snapshot_of(cube.state))
    with pytest.raises(MemoryErased):
        cube.run(lambda d, o: change(d, o, ChangeMemory(secret, {"text": "again"})))


def test_an_unknown_memory_is_not_erased() -> None:
    cube = HandDriven()
    with pytest.raises(MemoryNotFound):
        _erase(cube, "mem_" + "0" * 32)
    assert cube.state.version == 1


def test_what_was_derived_goes_too_whatever_version_said_so_and_however_far() -> None:
    cube = HandDriven()
    root = _add(cube, "root")
    child = _add(cube, "child", root)
    grandchild = _add(cube, "grandchild", child)
    other = _add(cube, "other")
    cube.run(lambda d, o: change(d, o, ChangeMemory(child, {"text": "changed since"})))
    assert _erase(cube, root) == root
    assert {m: e.because for m, e in cube.state.erased.items()} == {
        root: Because.REQUESTED,
        child: Because.DERIVED,
        grandchild: Because.DERIVED,
    }
    receipt = receipt_of(cube.state, root, [], 5)
    assert receipt.erased == (root,) and {name for _, name in receipt.derived} == {child, grandchild}
    assert cube.state.current(other).text == "other"


def test_repeats_of_the_text_go_only_when_they_were_merged() -> None:
    def memory(id: str, state: State, text: str = "hi") -> list[tuple[int, Memory]]:
        return [(1, Memory(id, "c", 1, Form.PLAINTEXT, "note", state, text, 1))]

    memories = {
        "a": memory("a", State.ACTIVATED),
        "b": memory("b", State.MERGED),
        "c": memory("c", State.MERGED, "bye"),
        "d": memory("d", State.ACTIVATED, "alone"),
        "e": memory("e", State.ACTIVATED, "alone"),
    }
    assert together(memories, ["a"]) == {"a": Because.REQUESTED, "b": Because.SAME_TEXT}
    assert together(memories, ["b"]) == {"b": Because.REQUESTED, "a": Because.SAME_TEXT}
    assert together(memories, ["d"]) == {"d": Because.REQUESTED}


def test_a_frozen_memory_takes_a_governor_and_a_reason_and_retention_spares_it() -> None:
    cube = HandDriven()
    root = _add(cube, "root")
    held = _add(cube, "held", root)
    cube.run(lambda d, o: move(d, o, MoveMemory(held, State.FROZEN), allow_all))

    def curator(action: Action) -> None:
        if action is Action.ERASE_FROZEN:
            raise Forbidden("only a governor")

    with pytest.raises(Forbidden):
        _erase(cube, root, allow=curator)
    with pytest.raises(InvalidRequest, match="takes a reason"):
        _erase(cube, root, reason=" ")
    with pytest.raises(FrozenMemory):
        _erase(cube, root, cause=Cause.RETENTION)
    assert cube.state.erased == {}
    _erase(cube, root, reason="court order")
    assert set(cube.state.erased) == {root, held}


def test_a_reason_must_not_repeat_what_is_erased() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "My card is 4111 1111")
    with pytest.raises(InvalidRequest, match="other words"):
        _erase(cube, memory_id, reason="remove 'my card is 4111 1111' please")
    _erase(cube, memory_id, reason="remove a card number")


def test_the_first_receipt_stays() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "secret")
    root = _erase(cube, memory_id)
    receipt = receipt_of(cube.state, root, [], 5)
    assert cube.run(lambda d, o: erasing.complete(d, o, root, receipt)) == receipt
    assert _erase(cube, memory_id) == root
    assert cube.run(lambda d, o: erasing.complete(d, o, root, replace(receipt, at_us=6))) == receipt
    assert state_of(json.loads(json.dumps(snapshot_of(cube.state)))).receipts[root] == receipt


def test_added_and_erased_within_one_commit() -> None:
    cube = HandDriven()

    def both(draft, origin) -> str:
        added = add(draft, origin, AddMemories((NewMemory("secret"),)), cube.random.randbytes)
        root = erasing.erase(draft, origin, EraseMemories((added.memories[0].id,)), allow_all)
        with pytest.raises(MemoryErased):
            change(draft, origin, ChangeMemory(root, {"text": "x"}))
        return root

    root = cube.run(both)
    _same(cube.state, _refolded(cube.events, {root}))


STEPS = st.lists(st.tuples(st.sampled_from("aaacmrebs"), st.integers(0, 30), st.integers(0, 30)), max_size=25)


@settings(deadline=None)
@given(STEPS)
def test_a_fold_of_emptied_events_is_the_state_as_it_was(steps: list[tuple[str, int, int]]) -> None:
    """Rows keep their numbers: what indexes hold under them stays right."""
    cube = HandDriven()
    ids: list[str] = []
    for kind, which, other in steps:
        living = [memory_id for memory_id in ids if memory_id not in cube.state.erased]
        if kind == "a":
            parents = [living[other % len(living)]] if living and other % 3 == 0 else []
            ids.append(_add(cube, f"text {which}" if which else "", *parents))
        elif living:
            memory_id = living[which % len(living)]
            state = cube.state.current(memory_id).state
            if kind == "b":
                cube.run(lambda d, o, to=other % (cube.state.version + 1): roll_back(d, o, Moment(version=to), ""))
            elif kind == "s" and (state is State.MERGED or list(absorbed(cube.state, memory_id, None))):
                cube.run(lambda d, o, m=memory_id: split(d, o, SplitMemory(m)))
            elif kind == "c" and state is not State.MERGED:
                cube.run(lambda d, o, m=memory_id, n=other: change(d, o, ChangeMemory(m, {"text": f"new {n % 4}"})))
            elif kind == "m" and state is State.ACTIVATED:
                cube.run(lambda d, o, m=memory_id: move(d, o, MoveMemory(m, State.ARCHIVED), allow_all))
            elif kind == "r" and state is State.ARCHIVED:
                cube.run(lambda d, o, m=memory_id: move(d, o, MoveMemory(m, State.ACTIVATED), allow_all))
            elif kind == "e":
                _erase(cube, memory_id)
    refolded = _refolded(cube.events, set(cube.state.erased))
    _same(cube.state, refolded)
    again = state_of(json.loads(json.dumps(snapshot_of(refolded))))
    _same(again, refolded)
    assert again.erased == cube.state.erased


def test_no_list_of_what_became_of_others_names_an_erased_memory() -> None:
    cube = HandDriven()
    source, other = _add(cube, "the tram leaves at nine"), _add(cube, "the tram leaves at ten")
    derived = _add(cube, "so be there early", source)
    cube.run(lambda d, o: link(d, o, derived, other, 0.9, ""))
    cube.run(lambda d, o: merge(d, o, MergeMemory(derived, other)))
    held = cube.state.held_bytes
    _erase(cube, derived)
    assert cube.state.relations == Relations.of(cube.state.history) == Relations()
    assert cube.state.held_bytes < held
