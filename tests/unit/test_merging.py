"""Merging and its undoing, on a cube driven by hand."""

from __future__ import annotations

import json
from functools import partial

import pytest

from actors.errors import FrozenMemory, InvalidRequest, MemoryNotFound, NothingMerged, TransitionRefused
from actors.memory.commands import add, change, idempotency_of, move
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.item import Memory, Reference
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.merging import MergeMemory, Split, SplitMemory, link, merge, split
from actors.memory.requests import Added, AddMemories, ChangeMemory, MoveMemory, NewMemory
from actors.memory.sources import shown
from tests.unit.cubes import KEY, HandDriven, allow_all

NOON_US = 1_683_547_200_000_000
DAY_US = 24 * 3600 * 1_000_000


def _add(cube: HandDriven, *memories: NewMemory | str, key: str = "") -> Added:
    new = tuple(m if isinstance(m, NewMemory) else NewMemory(m) for m in memories)
    request = AddMemories(new, key)
    idempotency = idempotency_of(KEY, "c", "olga", request)
    return cube.run(lambda d, o: add(d, o, request, cube.random.randbytes), idempotency)


def _id(cube: HandDriven, memory: NewMemory | str) -> str:
    return _add(cube, memory).memories[0].id


def _move(cube: HandDriven, memory_id: str, *states: State) -> None:
    for state in states:
        cube.run(partial(move, request=MoveMemory(memory_id, state), allow=allow_all))


def _merge(cube: HandDriven, memory_id: str, into: str, kind: Absorption = Absorption.DUPLICATE) -> Memory:
    return cube.run(partial(merge, request=MergeMemory(memory_id, into, kind)))


def _split(cube: HandDriven, memory_id: str) -> Split:
    return cube.run(partial(split, request=SplitMemory(memory_id)))


def _live(cube: HandDriven) -> list[str]:
    rows = cube.state.rows
    return [rows.memory_ids[row] for row in rows.live(cube.state.version).nonzero()[0]]


def _shown(cube: HandDriven, memory_id: str) -> Memory:
    return shown(cube.state, cube.state.current(memory_id), None)


def test_a_thousand_repeats_are_one_row_and_a_thousand_sources() -> None:
    cube = HandDriven()
    said = [NewMemory("I love tea", speaker="Ann", ref=f"D{n}", session=f"s{n}") for n in range(600)]
    first = _add(cube, *said).memories
    again = _add(cube, *said[:400]).memories
    assert [m.state for m in first[:2]] == [State.ACTIVATED, State.MERGED]
    assert {m.state for m in (*first[1:], *again)} == {State.MERGED}
    assert _live(cube) == [first[0].id] and len(cube.state.rows) == 1
    assert _shown(cube, first[0].id).sources == 1000
    assert cube.state.current(again[5].id).ref == "D5"
    assert cube.state.current(again[5].id).links.into == first[0].id


@pytest.mark.parametrize(
    ("other", "repeats"),
    [
        (NewMemory("  i LOVE\ttea ", speaker="Ann"), True),
        (NewMemory("I love tea", speaker="Ann", session="s2", ref="r", occurred_at_us=NOON_US), True),
        (NewMemory("I love tea", speaker="Bob"), False),
        (NewMemory("I love tea", speaker="Ann", type="fact"), False),
        (NewMemory("I love tea", speaker="Ann", role="assistant"), False),
        (NewMemory("I love tea", speaker="Ann", tags=("drinks",)), False),
        (NewMemory("I love tea", speaker="Ann", metadata={"mood": "calm"}), False),
        (NewMemory("I love tea", speaker="Ann", valid_to_us=5), False),
        (NewMemory("I love tea!", speaker="Ann"), False),
    ],
)
def test_a_repeat_has_the_same_words_speaker_and_kind(other: NewMemory, repeats: bool) -> None:
    cube = HandDriven()
    _add(cube, NewMemory("I love tea", speaker="Ann"))
    assert (_add(cube, other).memories[0].state is State.MERGED) is repeats


def test_yesterday_said_on_two_days_is_no_repeat() -> None:
    cube = HandDriven()
    said = [NewMemory("I ran yesterday", occurred_at_us=NOON_US + day * DAY_US) for day in (0, 0, 1)]
    states = [m.state for m in _add(cube, *said).memories]
    assert states == [State.ACTIVATED, State.MERGED, State.ACTIVATED]


def test_the_answer_to_a_repeated_add_says_the_states_of_the_first() -> None:
    cube = HandDriven()
    first = _add(cube, "tea", "tea", key="k")
    _split(cube, first.memories[1].id)
    assert _add(cube, "tea", "tea", key="k") == first


def test_what_is_superseded_is_part_of_what_a_key_was_used_for() -> None:
    plain, other = NewMemory("I live in Oslo"), NewMemory("I live in Oslo", supersedes=("mem_1",))
    digests = {idempotency_of(KEY, "c", "olga", AddMemories((new,), "k")) for new in (plain, other)}
    assert len(digests) == 2
    # as it was before anything could be superseded: a key that was used then still names the same request
    assert idempotency_of(KEY, "c", "olga", AddMemories((plain,), "k")).endswith(":93acff40e0776750f777712e063f891f")


def test_a_generated_memory_is_out_of_retrieval_until_it_is_confirmed_and_absorbs_nothing() -> None:
    cube = HandDriven()
    waiting = _id(cube, NewMemory("tea", state=State.GENERATED))
    assert _live(cube) == [] and cube.state.current(waiting).state is State.GENERATED
    told = _id(cube, "tea")
    assert _live(cube) == [told]
    _move(cube, waiting, State.ACTIVATED)
    assert _live(cube) == [told, waiting]


def test_a_frozen_memory_neither_absorbs_nor_is_absorbed() -> None:
    cube = HandDriven()
    held, other = _id(cube, "tea"), _id(cube, "coffee")
    _move(cube, held, State.FROZEN)
    repeat = _id(cube, "tea")
    assert cube.state.current(repeat).state is State.ACTIVATED
    assert cube.state.current(_id(cube, "tea")).links.into == repeat
    for absorbed, into in ((held, other), (other, held)):
        with pytest.raises(FrozenMemory):
            _merge(cube, absorbed, into)
    with pytest.raises(FrozenMemory):
        _add(cube, NewMemory("water", supersedes=(held,)))
    assert cube.state.current(held).links.into == ""


def test_what_takes_the_place_of_a_memory_is_named_by_it() -> None:
    cube = HandDriven()
    rome = _id(cube, "I live in Rome")
    oslo = _id(cube, NewMemory("I live in Oslo", supersedes=(rome,)))
    old = cube.state.current(rome)
    assert (old.state, old.links.into, old.links.absorption) == (State.MERGED, oslo, Absorption.SUPERSEDED)
    assert _live(cube) == [oslo]
    assert _shown(cube, oslo).derived_from == (Reference("c", rome, 1),)
    assert _shown(cube, oslo).sources == 1
    bern = _id(cube, "I live in Bern")
    cube.run(partial(change, request=ChangeMemory(bern, {}, supersedes=(oslo,))))
    assert _live(cube) == [bern]
    assert cube.state.current(_id(cube, "I live in Rome")).state is State.ACTIVATED


def test_an_add_that_supersedes_what_is_not_there_changes_nothing() -> None:
    cube = HandDriven()
    rome = _id(cube, "I live in Rome")
    before = cube.state.version
    with pytest.raises(MemoryNotFound):
        _add(cube, NewMemory("I live in Oslo", supersedes=(rome, "mem_none")))
    assert cube.state.version == before


def test_a_split_memory_stands_by_itself_with_what_is_merged_into_it() -> None:
    cube = HandDriven()
    tea, variant = _id(cube, "I love tea"), _id(cube, "Tea I love")
    repeat = _id(cube, "Tea I love")
    _merge(cube, variant, tea)
    assert _shown(cube, tea).sources == 3
    done = _split(cube, variant)
    assert [m.id for m in done.memories] == [variant] and done.version == cube.state.version
    assert (_shown(cube, tea).sources, _shown(cube, variant).sources) == (1, 2)
    assert cube.state.current(repeat).links.into == variant
    assert _live(cube) == [tea, variant]


def test_splitting_the_target_lets_everything_out_in_bounded_steps() -> None:
    cube = HandDriven()
    tea, *rest = [m.id for m in _add(cube, *["tea"] * 6).memories]
    done = cube.run(partial(split, request=SplitMemory(tea), limit=3))
    assert ([m.id for m in done.memories], done.remaining) == (rest[:3], 2)
    assert _split(cube, tea).remaining == 0
    assert sorted(_live(cube)) == sorted([tea, *rest])
    with pytest.raises(NothingMerged):
        _split(cube, tea)


def test_a_transition_of_a_merged_memory_to_activated_is_a_split() -> None:
    cube = HandDriven()
    tea, repeat = (m.id for m in _add(cube, "tea", "tea").memories)
    _move(cube, repeat, State.ACTIVATED)
    assert cube.state.current(repeat).links.into == "" and _shown(cube, tea).sources == 1


def test_a_merge_can_be_asked_for_and_needs_its_target() -> None:
    cube = HandDriven()
    tea, other = _id(cube, "tea"), _id(cube, "a cup of tea")
    asked = MoveMemory(other, State.MERGED, "the same", into=tea)
    assert cube.run(partial(move, request=asked, allow=allow_all)).links.into == tea
    before = cube.state.version
    cube.run(partial(move, request=asked, allow=allow_all))
    assert cube.state.version == before
    with pytest.raises(TransitionRefused):
        _move(cube, tea, State.MERGED)
    with pytest.raises(InvalidRequest):
        _merge(cube, tea, tea)
    with pytest.raises(TransitionRefused) as refused:
        _merge(cube, tea, other)
    assert refused.value.facts["allowed"] == ["activated"]


def test_what_is_merged_into_a_frozen_memory_is_held_with_it() -> None:
    cube = HandDriven()
    tea, repeat, deeper = _id(cube, "tea"), _id(cube, "green tea"), _id(cube, "the green tea")
    _merge(cube, deeper, repeat)
    _merge(cube, repeat, tea)
    _move(cube, tea, State.FROZEN)
    for memory_id in (tea, repeat, deeper):
        with pytest.raises(FrozenMemory):
            _split(cube, memory_id)
    with pytest.raises(FrozenMemory):
        _move(cube, repeat, State.ACTIVATED)
    _move(cube, tea, State.ACTIVATED)
    assert _split(cube, deeper).memories[0].state is State.ACTIVATED


def test_what_is_merged_into_an_archived_memory_stays_away_with_it_and_can_be_split_out() -> None:
    cube = HandDriven()
    tea, repeat = (m.id for m in _add(cube, "tea", "tea").memories)
    _move(cube, tea, State.ARCHIVED)
    assert _live(cube) == []
    anew = _id(cube, "tea")
    assert cube.state.current(anew).state is State.ACTIVATED
    _split(cube, repeat)
    assert sorted(_live(cube)) == sorted([anew, repeat])
    _move(cube, tea, State.ACTIVATED)
    assert _shown(cube, tea).sources == 1 and len(_live(cube)) == 3


def test_a_changed_target_keeps_its_sources_and_no_longer_absorbs_the_old_words() -> None:
    cube = HandDriven()
    rome, repeat = (m.id for m in _add(cube, "I live in Rome", "I live in Rome").memories)
    cube.run(partial(change, request=ChangeMemory(rome, {"text": "I live in Oslo"})))
    assert _shown(cube, rome).sources == 2
    anew = _id(cube, "I live in Rome")
    assert cube.state.current(anew).state is State.ACTIVATED
    _split(cube, repeat)
    assert cube.state.current(repeat).text == "I live in Rome"
    assert cube.state.current(_id(cube, "i live in oslo")).links.into == rome


def test_a_split_text_that_repeats_again_is_absorbed_by_the_oldest_that_stands() -> None:
    cube = HandDriven()
    tea, repeat = (m.id for m in _add(cube, "tea", "tea").memories)
    _split(cube, repeat)
    assert cube.state.current(_id(cube, "tea")).links.into == tea
    _move(cube, tea, State.ARCHIVED)
    assert cube.state.current(_id(cube, "tea")).links.into == repeat


def test_a_merged_memory_cannot_be_changed() -> None:
    cube = HandDriven()
    _, repeat = (m.id for m in _add(cube, "tea", "tea").memories)
    with pytest.raises(TransitionRefused):
        cube.run(partial(change, request=ChangeMemory(repeat, {"text": "x"})))


def test_contradictions_are_linked_both_ways_and_both_stay() -> None:
    cube = HandDriven()
    two, three = _id(cube, "I have two dogs"), _id(cube, "I have three dogs")
    assert cube.run(partial(link, newer_id=three, older_id=two, similarity=0.9, reason="numbers differ"))
    assert not cube.run(partial(link, newer_id=two, older_id=three, similarity=0.9, reason="again"))
    assert _shown(cube, two).links.contradicts == (three,)
    assert _shown(cube, three).links.contradicts == (two,)
    assert _live(cube) == [two, three] and len(cube.state.rows) == 2


def test_a_link_is_carried_by_the_one_that_is_not_frozen() -> None:
    cube = HandDriven()
    two, three = _id(cube, "I have two dogs"), _id(cube, "I have three dogs")
    _move(cube, three, State.FROZEN)
    cube.run(partial(link, newer_id=three, older_id=two, similarity=0.9, reason="numbers differ"))
    assert cube.state.current(three).links.contradicts == ()
    assert cube.state.current(two).links.contradicts == (three,)


def test_the_sources_are_those_of_the_version_that_is_looked_at() -> None:
    cube = HandDriven()
    tea, repeat, _ = (m.id for m in _add(cube, "tea", "tea", "tea").memories)
    then = cube.state.version
    _split(cube, repeat)
    assert shown(cube.state, cube.state.at(tea, then), then).sources == 3
    assert shown(cube.state, cube.state.at(tea, then - 1), then - 1).sources == 2
    assert _shown(cube, tea).sources == 2


def test_a_snapshot_keeps_ties_reasons_and_origins() -> None:
    cube = HandDriven()
    tea, repeat, third = (m.id for m in _add(cube, "tea", "tea", "tea").memories)
    oslo = _id(cube, NewMemory("water", supersedes=(tea,), derived_from=(Reference("", third, 0),)))
    _split(cube, repeat)
    cube.run(partial(link, newer_id=oslo, older_id=repeat, similarity=0.9, reason="numbers differ"))
    revived = state_of(json.loads(json.dumps(snapshot_of(cube.state))))
    assert revived == cube.state
    assert revived.relations == cube.state.relations
    assert revived.current(oslo).derived_from == (Reference("c", third, 1),)
