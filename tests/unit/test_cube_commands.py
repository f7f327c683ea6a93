from __future__ import annotations

from functools import partial

import pytest

from actors.errors import (
    Forbidden,
    FrozenMemory,
    IdempotencyMismatch,
    InvalidRequest,
    MemoryNotFound,
    PolicyUnavailable,
    StaleVersion,
    TransitionRefused,
    VersionNotFound,
)
from actors.memory.commands import add, change, configure, idempotency_of, move
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.governance import Action
from actors.memory.lifecycle import REQUESTABLE, TRANSITIONS, State
from actors.memory.outcomes import OUTCOME_LIFE_US
from actors.memory.requests import Added, AddMemories, ChangeMemory, MoveMemory, NewMemory
from actors.memory.rows import OPEN
from tests.unit.cubes import KEY, HandDriven, allow_all


def _add(cube: HandDriven, *texts: str, key: str = "") -> Added:
    request = AddMemories(tuple(NewMemory(t) for t in texts), key)
    idempotency = idempotency_of(KEY, "c", "olga", request)
    return cube.run(lambda d, o: add(d, o, request, cube.random.randbytes), idempotency)


def test_an_add_records_one_event_a_memory_and_answers_the_last_version() -> None:
    cube = HandDriven()
    added = _add(cube, "one", "two")
    assert added.version == cube.state.version == 3
    assert [cube.state.current(m.id).text for m in added.memories] == ["one", "two"]
    assert cube.state.counts() == {"plaintext": {"activated": 2}}


def test_a_repeat_under_the_same_key_adds_nothing_and_answers_the_same() -> None:
    cube = HandDriven()
    first = _add(cube, "one", "two", key="k1")
    assert _add(cube, "one", "two", key="k1") == first
    assert cube.state.version == 3


def test_a_repeat_within_the_same_commit_adds_nothing() -> None:
    cube = HandDriven()
    request = AddMemories((NewMemory("one"),), "k1")
    idempotency = idempotency_of(KEY, "c", "olga", request)
    draft = CubeDraft(cube.state, cube.sealer)
    origin = Origin("olga", "r", 5_000_000, idempotency)
    first = add(draft, origin, request, cube.random.randbytes)
    assert add(draft, origin, request, cube.random.randbytes) == first
    assert len(draft.events) == 1


def test_the_same_key_with_another_body_is_refused() -> None:
    cube = HandDriven()
    _add(cube, "one", key="k1")
    with pytest.raises(IdempotencyMismatch):
        _add(cube, "other", key="k1")
    assert cube.state.version == 2


def test_a_key_is_remembered_for_a_day() -> None:
    cube = HandDriven()
    _add(cube, "one", key="k1")
    cube.now_us += OUTCOME_LIFE_US - 10_000
    _add(cube, "two", key="k2")
    assert _add(cube, "one", key="k1").version == 2
    cube.now_us += 20_000
    _add(cube, "three", key="k3")
    assert len(cube.state.outcomes) == 2
    assert _add(cube, "one", key="k1").version == 5


def test_the_raw_idempotency_key_is_in_no_event() -> None:
    cube = HandDriven()
    _add(cube, "one", key="alice@example.org")
    assert all("alice" not in event.idempotency for event in cube.events)


def test_a_change_makes_a_version_and_leaves_the_past_readable() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "I live in Rome").memories[0].id
    before = cube.state.version
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "I live in Oslo", "tags": ("home",)})))
    now, then = cube.state.at(memory_id, None), cube.state.at(memory_id, before)
    assert (now.version, now.text, now.tags) == (2, "I live in Oslo", ("home",))
    assert (then.version, then.text, then.tags) == (1, "I live in Rome", ())


def test_a_change_that_changes_nothing_is_not_recorded() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "same").memories[0].id
    assert cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "same"}))).version == 1
    assert cube.state.version == 2


def test_none_clears_a_field() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "x").memories[0].id
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"occurred_at_us": 5})))
    cleared = cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"occurred_at_us": None})))
    assert cleared.occurred_at_us is None and cleared.version == 3


def test_a_stale_version_is_refused() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "x").memories[0].id
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "y"}, if_version=1)))
    with pytest.raises(StaleVersion):
        cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "z"}, if_version=1)))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("to", list(State))
def test_only_the_tables_transitions_can_be_requested(state: State, to: State) -> None:
    cube = HandDriven()
    memory_id = _add(cube, "x").memories[0].id
    for step in {State.ARCHIVED: [State.ARCHIVED], State.FROZEN: [State.FROZEN]}.get(state, []):
        cube.run(lambda d, o, step=step: move(d, o, MoveMemory(memory_id, step), allow_all))
    if state in (State.GENERATED, State.MERGED):
        return  # entered by extraction and merging, not by request
    if to in TRANSITIONS[state] & REQUESTABLE:
        assert cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, to, "why"), allow_all)).state is to
    else:
        with pytest.raises(TransitionRefused) as refused:
            cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, to), allow_all))
        assert "allowed" in refused.value.facts


def test_a_frozen_memory_cannot_be_changed_and_unfreezing_asks_for_its_own_action() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "x").memories[0].id
    cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, State.FROZEN), allow_all))
    with pytest.raises(FrozenMemory):
        cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "y"})))

    def refuse_unfreeze(action: Action) -> None:
        if action is Action.UNFREEZE:
            raise Forbidden("no")

    with pytest.raises(Forbidden):
        cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, State.ARCHIVED), refuse_unfreeze))


def test_rows_follow_text_and_retrievability() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "old text").memories[0].id
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"tags": ("t",)})))
    assert len(cube.state.rows) == 1
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "new text"})))
    cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, State.ARCHIVED), allow_all))
    cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, State.ACTIVATED), allow_all))
    rows = cube.state.rows
    assert [(rows.texts[i.row], i.since, i.until, i.first) for i in rows.intervals()] == [
        ("new text", 4, 5, True),
        ("old text", 2, 4, True),
        ("new text", 6, OPEN, False),
    ]
    assert [list(rows.live(v)) for v in (1, 3, 4, 5, 6)] == [
        [False, False],
        [True, False],
        [False, True],
        [False, False],
        [False, True],
    ]


def test_a_failed_command_leaves_nothing_in_a_shared_draft() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "x").memories[0].id
    draft = CubeDraft(cube.state, cube.sealer)
    origin = Origin("olga", "r", 9_000_000)
    change(draft, origin, ChangeMemory(memory_id, {"text": "y"}))
    mark = (len(draft.events), draft.version, draft.head)
    change(draft, origin, ChangeMemory(memory_id, {"text": "z"}))
    draft.rewind(*mark)
    found = draft.find(memory_id)
    assert found is not None and (found.text, found.version) == ("y", 2)
    assert (len(draft.events), draft.version) == (1, 3)


def test_record_times_never_go_back() -> None:
    cube = HandDriven()
    _add(cube, "x")
    cube.now_us -= 900_000
    _add(cube, "y")
    assert list(cube.state.recorded_at_us) == sorted(cube.state.recorded_at_us)


def test_versions_and_times_that_are_not_there_are_named() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "x").memories[0].id
    with pytest.raises(VersionNotFound):
        cube.state.check_version(3)
    with pytest.raises(MemoryNotFound):
        cube.state.at(memory_id, 1)
    assert cube.state.version_at(0) == 0
    assert cube.state.version_at(cube.state.recorded_at_us[-1]) == 2


def test_a_policy_that_would_have_no_effect_is_refused() -> None:
    cube = HandDriven()
    with pytest.raises(PolicyUnavailable):
        cube.run(lambda d, o: configure(d, o, None, {"promotion": {"enabled": True}}))
    cube.run(lambda d, o: configure(d, o, "Renamed", {"redaction": {"mode": "off"}}))
    assert (cube.state.name, cube.state.version) == ("Renamed", 2)


def test_a_change_cannot_turn_the_interval_of_validity_round() -> None:
    cube = HandDriven()
    memory_id = _add(cube, "x").memories[0].id
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"valid_from_us": 10})))
    for wrong in ({"valid_to_us": 5}, {"valid_from_us": 20, "valid_to_us": 15}):
        with pytest.raises(InvalidRequest, match="before valid_from"):
            cube.run(partial(change, request=ChangeMemory(memory_id, wrong)))
    changed = cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"valid_to_us": 5, "valid_from_us": None})))
    assert (changed.valid_from_us, changed.valid_to_us) == (None, 5)
