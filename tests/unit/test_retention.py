"""What is due, since when and why; and that an expired memory is out of retrieval at once."""

from __future__ import annotations

import pytest

from actors.errors import InvalidRequest, PolicyUnavailable
from actors.memory.commands import add, change, move
from actors.memory.expiry import retrievable, time_of
from actors.memory.lifecycle import State
from actors.memory.policy import merged_policy
from actors.memory.requests import AddMemories, ChangeMemory, Moment, MoveMemory, NewMemory
from actors.memory.retention import DAY_US, Due, RetentionRules, Step, due
from tests.unit.cubes import HandDriven, allow_all


def _add(cube: HandDriven, text: str = "note", expires_at_us: int | None = None) -> str:
    new = NewMemory(text, expires_at_us=expires_at_us)
    return cube.run(lambda d, o: add(d, o, AddMemories((new,)), cube.random.randbytes)).memories[0].id


def _due(cube: HandDriven, rules: RetentionRules, now_us: int) -> list[Due]:
    return list(due(cube.state.history.values(), cube.state.recorded_at_us, rules, now_us))


def _move(cube: HandDriven, memory_id: str, to: State) -> None:
    cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, to), allow_all))


def test_nothing_is_due_without_a_rule_nor_before_its_time() -> None:
    cube = HandDriven()
    memory_id = _add(cube)
    at_us = cube.now_us
    assert _due(cube, RetentionRules(), 10**18) == []
    rules = RetentionRules(archive_after_days=2)
    assert _due(cube, rules, at_us + 2 * DAY_US - 1) == []
    [found] = _due(cube, rules, at_us + 2 * DAY_US)
    assert (found.memory_id, found.step, found.since_us) == (memory_id, Step.ARCHIVE, at_us + 2 * DAY_US)
    assert "archive_after_days is 2" in found.reason


def test_a_new_version_begins_anew() -> None:
    cube = HandDriven()
    memory_id = _add(cube)
    cube.now_us += 2 * DAY_US
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "fresh"})))
    assert _due(cube, RetentionRules(archive_after_days=2), cube.now_us + DAY_US) == []


def test_what_expired_is_archived_and_the_earlier_reason_is_told() -> None:
    cube = HandDriven()
    _add(cube, expires_at_us=5 * DAY_US)
    [found] = _due(cube, RetentionRules(), 5 * DAY_US)
    assert (found.step, found.since_us, found.reason) == (Step.ARCHIVE, 5 * DAY_US, "it expired")
    [found] = _due(cube, RetentionRules(archive_after_days=1), 5 * DAY_US)
    assert "archive_after_days" in found.reason


def test_erasing_counts_from_the_archiving_and_a_revival_begins_anew() -> None:
    cube = HandDriven()
    memory_id = _add(cube)
    rules = RetentionRules(erase_after_days=1)
    _move(cube, memory_id, State.ARCHIVED)
    archived_at = cube.now_us
    assert _due(cube, rules, archived_at + DAY_US - 1) == []
    [found] = _due(cube, rules, archived_at + DAY_US)
    assert (found.step, found.memory_id) == (Step.ERASE, memory_id)
    cube.now_us += DAY_US
    _move(cube, memory_id, State.ACTIVATED)
    assert _due(cube, rules, 10**18) == []
    _move(cube, memory_id, State.ARCHIVED)
    assert _due(cube, rules, cube.now_us + DAY_US - 1) == []
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"tags": ("x",)})))
    assert [item.since_us for item in _due(cube, rules, 10**18)] == [cube.now_us - 1000 + DAY_US]


def test_a_frozen_memory_is_left_and_named() -> None:
    cube = HandDriven()
    memory_id = _add(cube, expires_at_us=5)
    _move(cube, memory_id, State.FROZEN)
    [found] = _due(cube, RetentionRules(erase_after_days=0), 10**18)
    assert (found.step, found.reason) == (Step.HELD, "it expired, but it is frozen")


def test_an_expired_memory_is_out_of_retrieval_from_then_on_and_not_before() -> None:
    cube = HandDriven()
    first, later = _add(cube, "first", expires_at_us=2_000_000), _add(cube, "later")
    version = cube.state.version
    assert retrievable(cube.state, version, 1_999_999).tolist() == [True, True]
    assert retrievable(cube.state, version, 2_000_000).tolist() == [False, True]
    cube.run(lambda d, o: change(d, o, ChangeMemory(later, {"expires_at_us": 3_000_000})))
    assert retrievable(cube.state, cube.state.version, 3_000_000).tolist() == [False, False]
    assert retrievable(cube.state, version, 3_000_000).tolist() == [False, True]
    cube.run(lambda d, o: change(d, o, ChangeMemory(first, {"expires_at_us": None, "text": "kept"})))
    assert retrievable(cube.state, cube.state.version, 2_500_000).tolist() == [False, True, True]


def test_a_moment_names_a_time() -> None:
    cube = HandDriven()
    _add(cube)
    times = list(cube.state.recorded_at_us)
    assert time_of(cube.state, None, 99) == 99
    assert time_of(cube.state, Moment(version=1), 10**9) == times[0]
    assert time_of(cube.state, Moment(version=2), 10**9) == 10**9
    assert time_of(cube.state, Moment(time_us=7), 10**9) == 7


def test_a_policy_takes_days_and_nothing_else() -> None:
    policy = merged_policy({}, {"retention": {"archive_after_days": 30, "erase_after_days": 0.5}})
    assert RetentionRules.of(policy) == RetentionRules(30, 0.5)
    assert RetentionRules.of(merged_policy(policy, {"retention": {"erase_after_days": None}})) == RetentionRules(30)
    for wrong in (-1, True, "30", 10**6):
        with pytest.raises(InvalidRequest, match="number of days"):
            merged_policy({}, {"retention": {"archive_after_days": wrong}})
    with pytest.raises(PolicyUnavailable):
        merged_policy({}, {"promotion": {"enabled": True}})
