"""What one event does to very many memories: worked out once, shared, and told to the indexes when they come to it."""

from __future__ import annotations

import gc
import random
from dataclasses import replace
from typing import Any

import pytest

from actors.collecting import collecting_later, making
from actors.delta_queue import DeltaQueue
from actors.index_lanes import DenseLane, ProjectorPace
from actors.memory.commands import add, change
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import snapshot_of
from actors.memory.erasing import erase
from actors.memory.erasure import EraseMemories
from actors.memory.forking import cut
from actors.memory.intervals import begun_at
from actors.memory.item import copied
from actors.memory.lifecycle import State
from actors.memory.requests import AddMemories, ChangeMemory, ListMemories, Moment, NewMemory
from actors.memory.rows import RowChange
from actors.memory.time_commands import roll_back
from actors.row_deltas import AT_ONCE, NO_POSITION, RowDelta, RowDeltas, joined
from actors.shard import ShardLimits
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.vectors.plain import PlainVectorIndex
from tests.unit.cubes import HandDriven, allow_all
from tests.unit.hosts import OWNER, PlainRig, query, texts
from tests.unit.indexing import WordEmbedder, remember
from tests.unit.test_projection import eventually
from tests.unit.test_time_host import fork, found

MANY = AT_ONCE + 6


def filled(count: int = MANY) -> tuple[HandDriven, list[str]]:
    cube = HandDriven()
    return cube, remember(cube, *(NewMemory(f"tea {n}", speaker="Ann") for n in range(count)))


def back(cube: HandDriven, to: int) -> None:
    cube.run(lambda d, o: roll_back(d, o, Moment(version=to), "wrong"))


def folded_anew(cube: HandDriven) -> CubeState:
    folded = CubeState("c")
    for event in cube.events:
        folded.apply(event)
    return folded


def change_of_the_last_event(cube: HandDriven) -> tuple[RowChange, CubeState]:
    again = CubeState("c")
    for event in cube.events[:-1]:
        again.apply(event)
    return again.apply(cube.events[-1]), again


def test_a_copied_memory_is_what_replacing_its_fields_gives() -> None:
    cube, ids = filled(1)
    memory = cube.state.current(ids[0])
    assert copied(memory) == memory
    made = copied(memory, state=State.ARCHIVED, reason="old", version=7)
    assert made == replace(memory, state=State.ARCHIVED, reason="old", version=7)
    assert memory.state is State.ACTIVATED


def test_what_a_command_found_is_what_a_fold_finds_also_when_the_clock_went_back() -> None:
    cube, ids = filled(3)
    cube.run(lambda d, o: change(d, o, ChangeMemory(ids[0], {"text": "coffee"})))
    cube.now_us -= 500_000
    back(cube, 4)
    back(cube, 1)
    assert cube.state.foreseen is None
    folded = folded_anew(cube)
    assert snapshot_of(folded) == snapshot_of(cube.state)
    assert (folded.rows, folded.tally, folded.relations) == (cube.state.rows, cube.state.tally, cube.state.relations)
    assert folded.held_bytes == cube.state.held_bytes


def test_what_was_foreseen_is_not_taken_for_another_event() -> None:
    cube, ids = filled(2)

    def rewound(draft: Any, origin: Any) -> None:
        length, version, head = len(draft.events), draft.version, draft.head
        roll_back(draft, origin, Moment(version=1), "")
        draft.rewind(length, version, head)
        change(draft, origin, ChangeMemory(ids[0], {"text": "coffee"}))
        roll_back(draft, origin, Moment(version=3), "")

    cube.run(rewound)
    assert [memory.text for memory in cube.state.memories(None)] == ["tea 0", "tea 1"]
    assert {memory.state for memory in cube.state.memories(None)} == {State.ACTIVATED}
    cube.run(lambda d, o: [roll_back(d, o, Moment(version=to), "") for to in (1, 3, 2)])
    assert snapshot_of(folded_anew(cube)) == snapshot_of(cube.state)


def test_a_repeat_that_comes_behind_a_rollback_is_found_in_the_same_commit_and_later() -> None:
    cube, ids = filled(2)
    cube.run(lambda d, o: change(d, o, ChangeMemory(ids[0], {"text": "coffee"})))
    again = AddMemories((NewMemory("tea 0", speaker="Ann"),))

    def together(draft: Any, origin: Any) -> Any:
        roll_back(draft, origin, Moment(version=3), "")
        return add(draft, origin, again, cube.random.randbytes)

    for made in (cube.run(together), cube.run(lambda d, o: add(d, o, again, cube.random.randbytes))):
        assert [cube.state.current(memory.id).links.into for memory in made.memories] == [ids[0]]
    coffee = AddMemories((NewMemory("coffee", speaker="Ann"),))
    (alone,) = cube.run(lambda d, o: add(d, o, coffee, cube.random.randbytes)).memories
    assert cube.state.current(alone.id).links.into == ""


def test_copies_and_forks_share_histories_that_later_events_do_not_reach() -> None:
    cube, ids = filled(3)
    version = cube.state.version
    copy, forked = cube.state.copy(), cut(cube.state, version, "f", cube.events[-1].hash)
    assert copy.history[ids[0]] is forked.history[ids[0]] is cube.state.history[ids[0]]
    stored = snapshot_of(copy)
    back(cube, 1)
    cube.run(lambda d, o: erase(d, o, EraseMemories((ids[1],)), allow_all))
    assert snapshot_of(copy) == stored
    assert {memory.state for memory in forked.memories(None)} == {State.ACTIVATED}
    assert [forked.rows.texts[row] for row in range(3)] == [f"Ann: tea {n}" for n in range(3)]


@pytest.mark.parametrize("later", [False, True])
def test_a_fork_knows_what_expires(later: bool) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("tea", expires_at_us=5), NewMemory("water"))
    version = cube.state.version
    if later:
        remember(cube, NewMemory("coffee", expires_at_us=6))
    forked = cut(cube.state, version, "f", cube.events[version - 1].hash)
    assert list(forked.rows.expiring.values()) == [[0]]


# what the indexes are told


def test_the_deltas_of_a_large_rollback_are_those_of_a_small_one_made_later() -> None:
    cube, _ = filled()
    back(cube, 2)
    event, version, position = cube.events[-1], cube.state.version, 900
    change_, state = change_of_the_last_event(cube)
    deltas = RowDelta.of(event.at_position(position), change_, state.rows)
    assert isinstance(deltas, RowDeltas)
    whole = list(deltas)
    assert whole == deltas[:] == [*deltas[:10], *deltas[10:MANY]]
    assert [delta.closed.text for delta in whole if delta.closed] == [f"Ann: tea {n}" for n in range(1, MANY)]
    ends = [(delta.position, delta.version) for delta in whole]
    assert ends == [(NO_POSITION, version - 1)] * (MANY - 2) + [(position, version)]
    replayed = [replace(delta.closed, place=None) for delta in RowDelta.since(cube.state, version) if delta.closed]
    assert [delta.closed for delta in whole] == replayed


def test_who_follows_vectors_is_told_one_thing_of_rows_that_have_theirs() -> None:
    cube, _ = filled()
    back(cube, 1)
    back(cube, 1 + MANY)
    change_, state = change_of_the_last_event(cube)
    deltas = RowDelta.of(cube.events[-1], change_, state.rows)
    assert sum(delta.opened is not None for delta in deltas) == MANY
    embedder = WordEmbedder()
    wanted = DenseLane(PlainVectorIndex(), embedder, ProjectorPace()).wanted(deltas)
    assert list(wanted) == [deltas[-1]]


def test_rows_that_a_rollback_opens_first_get_their_vectors() -> None:
    cube = HandDriven()
    ids = remember(cube, *(NewMemory(f"tea {n}", state=State.GENERATED) for n in range(MANY)))
    version = cube.state.version
    change_ = RowChange(opened=tuple(cube.state.rows.open(cube.state.current(mid), version) for mid in ids))
    deltas = RowDelta.of(cube.events[-1], change_, cube.state.rows)
    assert isinstance(deltas, RowDeltas)
    assert [delta.opened.place for delta in deltas.of_new_rows() if delta.opened] == list(range(MANY))


def test_a_text_that_is_erased_before_an_index_comes_to_it_is_not_told() -> None:
    cube, ids = filled()
    back(cube, 1)
    change_, state = change_of_the_last_event(cube)
    deltas = RowDelta.of(cube.events[-1], change_, state.rows)
    state.rows.erase(ids[3])
    assert "Ann: tea 3" not in {delta.closed.text for delta in deltas if delta.closed}


def test_the_intervals_of_a_version_are_those_that_had_begun() -> None:
    cube, ids = filled(4)
    back(cube, 3)
    back(cube, 5)
    cube.run(lambda d, o: erase(d, o, EraseMemories((ids[1],)), allow_all))
    rows, version = cube.state.rows, cube.state.version
    assert list(rows.known_at(version)) == list(rows.intervals())
    early = rows.known_at(4)
    assert sorted((one.row, one.since, one.first) for one in early) == [(0, 2, True), (2, 4, True)]
    assert early[0:1] == [early[0]]
    for known in (early, rows.known_at(version)):
        for row in range(3):
            assert begun_at(known, row) == begun_at(list(known), row)


def test_a_queue_gives_what_was_put_in_whatever_the_parts() -> None:
    rng, queue, plain = random.Random(3), DeltaQueue(), []
    for number in range(300):
        if rng.random() < 0.5:
            part = [RowDelta(number, "c", n) for n in range(rng.randint(0, 5))]
            queue.append(part)
            plain += part
        count = rng.randint(0, 7)
        assert queue.head(count) == plain[:count]
        assert len(queue) == len(plain)
        taken = min(len(plain), rng.randint(0, 6))
        queue.drop(taken)
        del plain[:taken]
    assert queue.head(10_000) == plain


def test_deltas_that_are_made_stand_together_and_in_order() -> None:
    cube, _ = filled()
    back(cube, 1)
    change_, state = change_of_the_last_event(cube)
    large = RowDelta.of(cube.events[-1], change_, state.rows)
    one, two, three = (RowDelta(n, "c", n) for n in (1, 2, 3))
    assert joined([[one], [two], large, [three]]) == [[one, two], large, [three]]


# on a host


@pytest.mark.parametrize("snapshot_events", [1, 10_000])
@pytest.mark.parametrize("fresh_indexes", [False, True])
def test_a_rollback_of_many_memories_comes_back_after_a_kill(snapshot_events: int, fresh_indexes: bool) -> None:
    rig = PlainRig(ShardLimits(index_wait_s=10.0, snapshot_events=snapshot_events))
    rig.catalogue.register("c")
    rig.host.add(OWNER, "c", texts(*(f"tea number {n}" for n in range(MANY))))
    before = rig.host.read_cube(OWNER, "c").version
    rig.host.add(OWNER, "c", texts(*(f"coffee number {n}" for n in range(MANY))))
    after = rig.host.read_cube(OWNER, "c").version
    asked = ("tea", "coffee number 3")
    then = {text: found(rig.host, rig.embedder, "c", text, before) for text in asked}
    embedded = rig.embedder.embedded
    rig.host.roll_back(OWNER, "c", Moment(version=before), "")
    rig.host.roll_back(OWNER, "c", Moment(version=after), "")
    rig.host.roll_back(OWNER, "c", Moment(version=before), "")
    fork(rig.host, rig.catalogue, "c", "f")
    assert rig.embedder.embedded == embedded
    listed = {cube: rig.host.list_memories(OWNER, cube, ListMemories(limit=500)).items for cube in ("c", "f")}
    if fresh_indexes:
        rig.vectors, rig.lexical = PlainVectorIndex(), PlainLexicalIndex()
    rig.reopen()  # no close: the host was killed
    for cube in ("f", "c"):
        eventually(lambda cube=cube: not rig.host.search(OWNER, cube, query("tea", rig.embedder)).degraded)  # type: ignore[misc]
        for text in asked:
            assert [hit[2:] for hit in found(rig.host, rig.embedder, cube, text)] == [hit[2:] for hit in then[text]]  # type: ignore[index]
        assert rig.host.list_memories(OWNER, cube, ListMemories(limit=500)).items == listed[cube]
        assert rig.host.verify(OWNER, cube).problems == ()


# the collector


def test_the_collector_rests_until_the_last_block_ends() -> None:
    assert gc.isenabled()
    with collecting_later():
        with collecting_later():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), making(1_000_000):
        assert not gc.isenabled()
        raise KeyError
    with making(10):
        assert gc.isenabled()
