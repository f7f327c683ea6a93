"""Going back, comparing and forking, against a model that keeps every version of every memory."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.errors import FrozenMemory, MemosError, TransitionRefused, VersionNotFound
from actors.memory.commands import add, change, move
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.differences import CONTENT, Change, differences
from actors.memory.forking import begin, cut
from actors.memory.item import Memory
from actors.memory.lifecycle import State
from actors.memory.links import UNLINKED
from actors.memory.merging import MergeMemory, SplitMemory, merge, split
from actors.memory.relations import Relations
from actors.memory.requests import AddMemories, ChangeMemory, ForkPoint, Moment, MoveMemory, NewMemory
from actors.memory.rows import Rows
from actors.memory.time_commands import begin_fork, roll_back
from tests.unit.cubes import HandDriven, allow_all

Content = tuple[Any, ...]
Shown = dict[str, Content]


def shown(memories: list[Memory]) -> Shown:
    """What a version shows: of each memory its content and state."""
    return {memory.id: tuple(getattr(memory, name) for name in CONTENT) for memory in memories}


def at(cube: HandDriven, version: int) -> Shown:
    return shown(list(cube.state.memories(version)))


def fork_of(cube: HandDriven, version: int, fork_id: str) -> HandDriven:
    """A fork driven by hand; its events come behind those that it shares."""
    head = cube.events[version - 1].hash
    fork = HandDriven.__new__(HandDriven)
    fork.random, fork.now_us, fork.sealer = cube.random, cube.now_us, cube.sealer
    fork.state, fork.events = CubeState(fork_id), cube.events[:version]
    begin(fork.state, cut(cube.state, version, fork_id, head))
    point = ForkPoint(cube.state.cube_id, version)
    fork.run(lambda d, o: begin_fork(d, o, point, {"owner": "olga", "name": "Fork", "policy": cube.state.policy}))
    return fork


class Model:
    """The content and state of every memory at every version, kept whole."""

    def __init__(self) -> None:
        self.versions: dict[int, Shown] = {0: {}}

    def note(self, cube: HandDriven, before: int) -> None:
        now = shown(list(cube.state.memories(None)))
        for version in range(before + 1, cube.state.version):
            self.versions[version] = at(cube, version)
        self.versions[cube.state.version] = now

    def gone_back(self, now: Shown, to: int) -> Shown:
        state = CONTENT.index("state")
        then, result = self.versions[to], {}
        for memory_id, content in now.items():
            if self.held(memory_id, now, then):
                result[memory_id] = content
            elif memory_id in then:
                result[memory_id] = then[memory_id]
            else:
                changed = [*content]
                changed[state], changed[CONTENT.index("links")] = State.ARCHIVED, UNLINKED
                result[memory_id] = tuple(changed)
        return result

    def held(self, memory_id: str, now: Shown, then: Shown) -> bool:
        """Whether a memory is frozen, merged into what is frozen, or would be merged into such a one."""
        standing = memory_id
        while into(now[standing]):
            standing = into(now[standing])
        if frozen(now[standing]):
            return True
        target = into(then[memory_id]) if memory_id in then else ""
        return bool(target) and self.held(target, now, then)


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 3), st.integers(0, 2)),
    st.tuples(st.just("change"), st.integers(0, 30), st.integers(0, 2)),
    st.tuples(st.just("tag"), st.integers(0, 30), st.integers(0, 2)),
    st.tuples(st.just("merge"), st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.just("split"), st.integers(0, 30), st.none()),
    st.tuples(st.just("move"), st.integers(0, 30), st.sampled_from([State.ACTIVATED, State.ARCHIVED, State.FROZEN])),
    st.tuples(st.just("roll_back"), st.integers(0, 60), st.none()),
    st.tuples(st.just("fork"), st.integers(1, 60), st.none()),
)
TEXTS = ("tea", "coffee", "water")


def take(cube: HandDriven, step: tuple[str, Any, Any]) -> None:
    """One step on a cube; what is refused changes nothing."""
    kind, number, what = step
    known = list(cube.state.history)
    memory_id = known[number % len(known)] if known else "mem_none"
    try:
        if kind == "add":
            request = AddMemories(tuple(NewMemory(f"{TEXTS[what]} {n}") for n in range(number)))
            cube.run(lambda d, o: add(d, o, request, cube.random.randbytes))
        elif kind == "change":
            cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": TEXTS[what]})))
        elif kind == "tag":
            cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"tags": (TEXTS[what],)})))
        elif kind == "merge" and known:
            cube.run(lambda d, o: merge(d, o, MergeMemory(memory_id, known[what % len(known)])))
        elif kind == "split":
            cube.run(lambda d, o: split(d, o, SplitMemory(memory_id)))
        elif kind == "move":
            cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, what), allow_all))
    except (FrozenMemory, TransitionRefused, MemosError):
        return


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=4, max_size=40))
def test_rollbacks_and_forks_are_what_a_model_that_keeps_every_version_says(steps: list[tuple[str, Any, Any]]) -> None:
    cube, model = HandDriven(), Model()
    model.note(cube, 0)
    for step in steps:
        before = cube.state.version
        if step[0] == "fork":
            version = 1 + step[1] % before
            forked = fork_of(cube, version, f"fork-{before}")
            assert at(forked, version) == at(cube, version) == model.versions[version]
            kept = Model()
            kept.versions = {v: model.versions[v] for v in range(version + 1)}
            cube, model, before = forked, kept, version
        elif step[0] == "roll_back":
            to = step[1] % (before + 1)
            expected = model.gone_back(model.versions[before], to)
            done = cube.run(lambda d, o, to=to: roll_back(d, o, Moment(version=to), ""))  # type: ignore[misc]
            assert at(cube, cube.state.version) == expected
            assert done.to == to
            assert set(done.frozen) == {
                mid
                for mid in expected
                if model.held(mid, model.versions[before], model.versions[to])
                and expected[mid] != model.versions[to].get(mid)
                and (mid in model.versions[to] or expected[mid][CONTENT.index("state")] is not State.ARCHIVED)
            }
        else:
            take(cube, step)
        model.note(cube, before)
    for version, content in model.versions.items():
        assert at(cube, version) == content
    check_invariants(cube)


def frozen(content: Content) -> bool:
    return content[CONTENT.index("state")] is State.FROZEN


def into(content: Content) -> str:
    target: str = content[CONTENT.index("links")].into
    return target


def check_invariants(cube: HandDriven) -> None:
    state = cube.state
    for version in range(state.version + 1):
        live = state.rows.live(version)
        rows = {state.rows.memory_ids[row]: state.rows.texts[row] for row in live.nonzero()[0]}
        assert len(rows) == live.sum(), "a memory has one live row at most"
        assert rows == {m.id: m.indexed_text for m in state.memories(version) if m.retrievable}
    assert state.relations.repeats == Relations.of(state.history).repeats
    stored = snapshot_of(state)
    assert snapshot_of(state_of(stored)) == stored
    assert same(state_of(stored).rows, state.rows)
    known = [(state.rows.memory_ids[row], text) for row, text in enumerate(state.rows.texts)]
    assert len(known) == len(set(known)), "a text that comes back has its row again"
    assert state.counts() == counted(state)


def counted(state: CubeState) -> dict[str, dict[str, int]]:
    result: dict[str, dict[str, int]] = {}
    for memory in state.memories(None):
        states = result.setdefault(memory.form.value, {})
        states[memory.state.value] = states.get(memory.state.value, 0) + 1
    return result


def same(one: Rows, other: Rows) -> bool:
    return all(
        {k: sorted(v) for k, v in getattr(one, f.name).items()}
        == {k: sorted(v) for k, v in getattr(other, f.name).items()}
        if f.name == "closed_rows"
        else f.name == "memories" or getattr(one, f.name) == getattr(other, f.name)
        for f in fields(Rows)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=30), st.data())
def test_a_cut_is_what_folding_the_events_up_to_it_gives(
    steps: list[tuple[str, Any, Any]], data: st.DataObject
) -> None:
    cube = driven(steps)
    version = data.draw(st.integers(1, cube.state.version))
    cut_off = cut(cube.state, version, "c", cube.events[version - 1].hash)
    folded = CubeState("c")
    for event in cube.events[:version]:
        folded.apply(event)
    lineage, cut_off.rows.lineage = cut_off.rows.lineage, ()
    assert lineage == (() if not len(folded.rows) else (("c", len(folded.rows)),))
    for each in fields(CubeState):
        if each.name in ("outcomes", "held_bytes"):
            continue
        one, other = getattr(cut_off, each.name), getattr(folded, each.name)
        if each.name == "tally":
            one, other = ({k: n for k, n in tally.items() if n} for tally in (one, other))
        assert same(one, other) if each.name == "rows" else one == other, each.name


def driven(steps: list[tuple[str, Any, Any]]) -> HandDriven:
    cube = HandDriven()
    for step in steps:
        if step[0] == "roll_back":
            to = Moment(version=step[1] % (cube.state.version + 1))
            cube.run(lambda d, o, to=to: roll_back(d, o, to, ""))  # type: ignore[misc]
        else:
            take(cube, step)
    return cube


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=30), st.data())
def test_the_differences_of_two_versions_lead_from_one_to_the_other(
    steps: list[tuple[str, Any, Any]], data: st.DataObject
) -> None:
    cube = driven(steps)
    first, second = (data.draw(st.integers(0, cube.state.version)) for _ in range(2))
    result = dict(at(cube, first))
    for _, difference in differences(cube.state.history, first, second):
        there = difference.after or difference.before
        assert there is not None
        if difference.after is None:
            assert difference.change is Change.REMOVED
            del result[there.id]
        else:
            assert (difference.before is None) is (difference.change is Change.ADDED) is (there.id not in result)
            moved = bool(difference.fields) and {"state", "links"}.issuperset(difference.fields)
            assert (difference.change is Change.MOVED) is moved
            result |= shown([difference.after])
    assert result == at(cube, second)


def added(cube: HandDriven, *texts: str) -> list[str]:
    request = AddMemories(tuple(NewMemory(text) for text in texts))
    return [memory.id for memory in cube.run(lambda d, o: add(d, o, request, cube.random.randbytes)).memories]


def test_a_memorys_version_counts_on_where_its_content_changes_and_only_there() -> None:
    cube = HandDriven()
    changed, moved = added(cube, "first", "other")
    then = cube.state.version
    cube.run(lambda d, o: change(d, o, ChangeMemory(changed, {"text": "second"})))
    cube.run(lambda d, o: move(d, o, MoveMemory(moved, State.ARCHIVED), allow_all))
    done = cube.run(lambda d, o: roll_back(d, o, Moment(version=then), "by mistake"))
    assert (done.changed, done.frozen) == (2, ())
    memory = cube.state.current(changed)
    assert (memory.text, memory.version, memory.recorded_at_us) == ("first", 3, cube.now_us)
    assert (cube.state.current(moved).version, cube.state.current(moved).state) == (1, State.ACTIVATED)
    assert cube.events[-1].payload() == {"to": then, "reason": "by mistake"}


def test_a_rollback_that_changes_nothing_is_not_recorded() -> None:
    cube = HandDriven()
    added(cube, "tea")
    version = cube.state.version
    done = cube.run(lambda d, o: roll_back(d, o, Moment(version=version), ""))
    assert (done.version, done.changed, cube.state.version) == (version, 0, version)


def test_a_rollback_to_the_future_is_refused() -> None:
    cube = HandDriven()
    added(cube, "tea")
    with pytest.raises(VersionNotFound):
        cube.run(lambda d, o: roll_back(d, o, Moment(version=cube.state.version + 1), ""))


def test_commands_behind_a_rollback_in_one_commit_see_what_it_did() -> None:
    cube = HandDriven()
    (memory_id,) = added(cube, "first")
    cube.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "second"})))

    def together(draft: Any, origin: Any) -> Memory:
        change(draft, origin, ChangeMemory(memory_id, {"text": "third"}))
        roll_back(draft, origin, Moment(version=2), "")
        assert draft.find(memory_id).text == "first"
        roll_back(draft, origin, Moment(version=4), "")
        assert draft.find(memory_id).text == "third"
        return change(draft, origin, ChangeMemory(memory_id, {"text": "last"}))

    memory = cube.run(together)
    assert (memory.text, memory.version) == ("last", 6)
    assert cube.state.current(memory_id) == memory


def test_a_fork_keeps_the_origins_versions_and_counts_on() -> None:
    cube = HandDriven()
    (memory_id,) = added(cube, "tea")
    fork = fork_of(cube, 2, "f")
    assert (fork.state.version, fork.state.fork) == (3, ForkPoint("c", 2))
    assert fork.events[-1].previous_hash == cube.events[1].hash
    fork.run(lambda d, o: change(d, o, ChangeMemory(memory_id, {"text": "coffee"})))
    assert fork.state.current(memory_id).cube_id == "f"
    assert [memory.cube_id for memory in fork.state.revisions(memory_id)] == ["f", "f"]
    assert fork.state.at(memory_id, 2).text == "tea"
    assert cube.state.current(memory_id).text == "tea"
    grandchild = fork_of(fork, 2, "g")
    assert grandchild.state.rows.lineage == (("c", 1),)
    later = fork_of(fork, fork.state.version, "h")
    assert later.state.rows.lineage == (("c", 1), ("f", 2))
