"""Near-duplicates and contradictions: what texts confirm, and what a host does about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import orjson
import pytest

from actors.consolidator import AUTOMATIC, ConsolidationPace
from actors.errors import CubeNotFound, Forbidden
from actors.memory.consolidation import ConsolidateCube
from actors.memory.events import EventType
from actors.memory.governance import Caller, Role
from actors.memory.item import Form, Memory, Reference
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.merging import SplitMemory
from actors.memory.provenance import ReadProvenance
from actors.memory.requests import AddMemories, MoveMemory, NewMemory
from actors.memory.similarity import says_otherwise, says_the_same
from actors.shard import ShardLimits
from tests.unit.hosts import OWNER, PlainRig, query

NOON_US = 1_683_547_200_000_000


def _memory(text: str, at_us: int | None = None) -> Memory:
    return Memory("m", "c", 1, Form.PLAINTEXT, "message", State.ACTIVATED, text, 0, occurred_at_us=at_us)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I love green tea.", "Green tea, I love!"),
        ("My sister moved to Lisbon in May", "In May my sister moved to Lisbon"),
        ("The meeting is at 5", "the meeting is at 5!"),
        ("She is teaching children", "She teaches the children"),
    ],
)
def test_the_same_words_in_another_order_say_the_same(one: str, other: str) -> None:
    assert says_the_same(_memory(one), _memory(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I have two dogs", "I have three dogs"),
        ("I love tea", "I don't love tea"),
        ("I love tea", "You love tea"),
        ("I left before lunch", "I left after lunch"),
        ("The meeting is on Monday", "The meeting is on Tuesday"),
        ("I like tea", "Do I like tea?"),
        ("We met in Rome", "We met in Oslo"),
        ("ok", "so"),
    ],
)
def test_what_turns_a_meaning_round_has_to_be_equal(one: str, other: str) -> None:
    assert not says_the_same(_memory(one), _memory(other))


def test_yesterday_is_the_day_that_it_was_said_of() -> None:
    said = "My mother came yesterday"
    assert says_the_same(_memory(said, NOON_US), _memory("Yesterday my mother came", NOON_US + 3_600_000_000))
    assert not says_the_same(_memory(said, NOON_US), _memory(said, NOON_US + 3 * 86_400_000_000))


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("I have two dogs", "I have three dogs", "numbers differ: two and three"),
        ("The meeting is on Monday", "The meeting is on Tuesday", "dates differ: monday and tuesday"),
        ("I smoke", "I don't smoke", "one of them is negated"),
        ("Caroline lives in Rome", "Caroline lives in Oslo", "values differ: rome and oslo"),
        ("I like tea", "I like coffee", ""),
        ("I bought a kayak at the harbour", "I bought a tent at the harbour", ""),
        ("Is she in Rome?", "Is she in Oslo?", ""),
        ("I ran 5 miles", "I ran 7 miles", ""),
        ("The sky is blue today and I am happy", "The report is late and my boss is angry", ""),
    ],
)
def test_a_state_with_another_value_says_otherwise(one: str, other: str, told: str) -> None:
    assert says_otherwise(_memory(one), _memory(other)) == told


@pytest.fixture
def rig() -> Iterator[PlainRig]:
    made = PlainRig(ShardLimits(index_wait_s=5.0, consolidation=ConsolidationPace(share=0)))
    made.catalogue.register("c", rita=Role.WRITER)
    yield made
    made.host.close()


def _add(rig: PlainRig, *new: NewMemory | str) -> list[str]:
    memories = tuple(NewMemory(m) if isinstance(m, str) else m for m in new)
    return [memory.id for memory in rig.host.add(OWNER, "c", AddMemories(memories)).memories]


def _found(rig: PlainRig, text: str) -> list[str]:
    return [hit.memory.id for hit in rig.host.search(OWNER, "c", query(text, rig.embedder)).hits]


def test_a_step_merges_what_says_the_same_into_the_older(rig: PlainRig) -> None:
    first, second, other = _add(rig, "I love green tea", "Green tea I love", "The garden is large")
    assert set(_found(rig, "green tea")[:2]) == {first, second}
    done = rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube())
    assert (done.checked, done.merged, done.linked, done.next) == (3, 1, 0, None)
    assert second not in _found(rig, "green tea")
    absorbed = rig.host.read_memory(OWNER, "c", second, None)
    assert (absorbed.state, absorbed.links.into, absorbed.links.absorption) == (
        State.MERGED,
        first,
        Absorption.DUPLICATE,
    )
    assert rig.host.read_memory(OWNER, "c", first, None).sources == 2
    assert rig.host.read_memory(OWNER, "c", other, None).sources == 1
    assert rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube()).merged == 0


def test_what_was_split_stays_split(rig: PlainRig) -> None:
    first, near, exact = _add(rig, "I love green tea", "Green tea I love", "I love green tea")
    rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube())
    rig.host.lineage.split(OWNER, "c", SplitMemory(first))
    assert rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube()).merged == 1  # near and exact: never split
    found = [rig.host.read_memory(OWNER, "c", memory_id, None) for memory_id in (first, near, exact)]
    assert [memory.links.into for memory in found] == ["", "", near]


def test_steps_go_on_where_the_last_one_ended(rig: PlainRig) -> None:
    _add(rig, *[f"number {n} of many" for n in range(5)], "I love tea", "Tea I love")
    starts, merged, start = [], 0, 0
    while start is not None:
        done = rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube(start, 3))
        starts, merged, start = [*starts, start], merged + done.merged, done.next
    assert (starts, merged) == ([0, 3, 6], 1)


def test_contradictions_are_linked_and_both_are_found(rig: PlainRig) -> None:
    rome, oslo = _add(
        rig, *(f"Caroline lives with her older sister and a small dog in {city}" for city in ("Rome", "Oslo"))
    )
    assert rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube()).linked == 1
    found = rig.host.search(OWNER, "c", query("Caroline lives", rig.embedder)).hits
    assert {hit.memory.id: hit.memory.links.contradicts for hit in found} == {rome: (oslo,), oslo: (rome,)}


@pytest.mark.parametrize(("mode", "quotes"), [("off", True), ("mask", False), ("redact", False)])
def test_where_personal_data_is_looked_for_the_reason_of_a_link_quotes_nothing(
    rig: PlainRig, mode: str, quotes: bool
) -> None:
    rig.host.change_cube(OWNER, "c", None, {"redaction": {"mode": mode}})
    _add(rig, *(f"the wife of my older brother and a small dog is in {city}" for city in ("Rome", "Oslo")))
    assert rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube()).linked == 1
    [link] = [event.payload() for event in rig.storage.events if event.type is EventType.MEMORY_LINKED]
    assert ("oslo" in link["reason"].casefold()) is quotes and link["reason"]


def test_labels_speakers_and_frozen_memories_keep_texts_apart(rig: PlainRig) -> None:
    held, *_ = _add(
        rig,
        "I love green tea",
        NewMemory("Green tea I love", speaker="Ann"),
        NewMemory("Green tea, I love", tags=("drinks",)),
        NewMemory("green tea: I love", type="fact"),
    )
    assert rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube()).merged == 0
    rig.host.move_memory(OWNER, "c", MoveMemory(held, State.FROZEN))
    _add(rig, "Green tea I love it")
    assert rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube()).merged == 0


def test_only_a_curator_consolidates_and_a_stranger_sees_no_cube(rig: PlainRig) -> None:
    _add(rig, "tea")
    with pytest.raises(Forbidden):
        rig.host.lineage.consolidate(Caller("rita", "k", "r"), "c", ConsolidateCube())
    with pytest.raises(CubeNotFound):
        rig.host.lineage.consolidate(Caller("eve", "k", "r"), "c", ConsolidateCube())
    with pytest.raises(CubeNotFound):
        rig.host.lineage.split(Caller("eve", "k", "r"), "c", SplitMemory("mem_x"))


def test_a_filter_finds_a_memory_by_the_session_of_any_of_its_sources(rig: PlainRig) -> None:
    first, _ = _add(rig, NewMemory("I love tea", session="s1"), NewMemory("I love tea", session="s2"))
    asked = query("tea", rig.embedder)
    for session, expected in (("s1", [first]), ("s2", [first]), ("s3", [])):
        found = rig.host.search(OWNER, "c", replace(asked, filter={"session": session})).hits
        assert [hit.memory.id for hit in found] == expected


def test_a_restart_keeps_merges_and_their_origins(rig: PlainRig) -> None:
    first, second = _add(rig, "I love green tea", "Green tea I love")
    rig.host.lineage.consolidate(OWNER, "c", ConsolidateCube())
    before = rig.host.lineage.provenance(OWNER, "c", ReadProvenance(second))
    rig.host.close()
    rig.reopen()
    assert rig.host.lineage.provenance(OWNER, "c", ReadProvenance(second)) == before
    assert [v.method for v in before.versions] == ["verbatim", "merge"]
    assert {v.by.principal for v in before.versions if v.by} == {"olga"}
    assert _add(rig, "I love green tea") and rig.host.read_memory(OWNER, "c", first, None).sources == 3


def test_origins_that_a_snapshot_of_an_older_build_lacks_are_read_from_the_journal(rig: PlainRig) -> None:
    [first] = _add(rig, "I love green tea")
    rig.host.close()
    stored = orjson.loads(rig.snapshots.stored["c"])
    del stored["origins"]
    rig.snapshots.stored["c"] = orjson.dumps(stored)
    rig.reopen()
    _add(rig, "I love green tea")
    [version] = rig.host.lineage.provenance(OWNER, "c", ReadProvenance(first)).versions
    assert version.by is not None and (version.by.principal, version.by.request_id) == ("olga", "req")


def test_what_a_stranger_has_no_role_on_is_left_out_of_provenance(rig: PlainRig) -> None:
    rig.catalogue.register("secret", owner="eve")
    [answer] = _add(rig, NewMemory("an answer", derived_from=(Reference("secret", "mem_1", 1),)))
    assert rig.host.read_memory(OWNER, "c", answer, None).derived_from == ()
    found = rig.host.lineage.provenance(OWNER, "c", ReadProvenance(answer))
    assert found.related == () and found.versions[0].derived_from == ()
    governor = rig.host.lineage.provenance(Caller("gov", "k", "r"), "c", ReadProvenance(answer))
    assert [one.reference.cube_id for one in governor.related] == ["secret"]


def test_near_duplicates_are_merged_behind_the_adds() -> None:
    made = PlainRig(
        ShardLimits(index_wait_s=5.0, consolidation=ConsolidationPace(share=1.0, share_beside=1.0, quiet_s=0.01))
    )
    made.catalogue.register("c")
    try:
        _, second = _add(made, "I love green tea", "Green tea I love")
        _until(lambda: made.host.read_memory(OWNER, "c", second, None).state is State.MERGED)
        versions = made.host.lineage.provenance(OWNER, "c", ReadProvenance(second)).versions
        assert [v.by.principal for v in versions if v.by] == ["olga", AUTOMATIC]
    finally:
        made.host.close()


def _until(reached: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_the_background_rests_twenty_times_longer_beside_a_busy_process() -> None:
    pace = ConsolidationPace(share=0.2, share_beside=0.01, idle=0.1)
    assert pace.pause_s(0.01, others=0.05) == pytest.approx(0.04)
    assert pace.pause_s(0.01, others=0.5) == pytest.approx(0.99)
    assert ConsolidationPace(share=0.005).pause_s(0.01, others=0.5) == pytest.approx(1.99)
