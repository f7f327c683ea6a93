"""Where memories came from and what became of them, on a cube driven by hand."""

from __future__ import annotations

from functools import partial

import pytest

from actors.errors import InvalidCursor
from actors.lineage import provenance_page
from actors.memory.commands import add, change
from actors.memory.item import Reference
from actors.memory.lifecycle import State
from actors.memory.merging import MergeMemory, SplitMemory, merge, split
from actors.memory.origins import Origins, RecordedBy
from actors.memory.provenance import ReadProvenance, Related, Tie
from actors.memory.requests import AddMemories, ChangeMemory, Moment, NewMemory
from tests.unit.cubes import HandDriven


def _add(cube: HandDriven, *new: NewMemory) -> list[str]:
    done = cube.run(lambda d, o: add(d, o, AddMemories(new), cube.random.randbytes))
    return [memory.id for memory in done.memories]


def _tied(cube: HandDriven, memory_id: str) -> list[tuple[Tie, int, str, str]]:
    found = provenance_page(cube.state, ReadProvenance(memory_id, 200))
    return [(one.tie, one.distance, one.start, one.reference.memory_id) for one in found.related]


def test_each_version_says_who_when_how_and_out_of_what() -> None:
    cube = HandDriven()
    source = {"kind": "document", "name": "a.md", "start": 0, "end": 3}
    one, two = _add(cube, NewMemory("tea", source=source), NewMemory("a cup of tea"))
    cube.run(partial(change, request=ChangeMemory(one, {"text": "green tea"}, "it was green")))
    cube.run(partial(merge, request=MergeMemory(one, two)))
    cube.run(partial(split, request=SplitMemory(one, "they differ")))
    found = provenance_page(cube.state, ReadProvenance(one)).versions
    assert [(v.version, v.state, v.method, v.reason) for v in found] == [
        (1, State.ACTIVATED, "chunking", ""),
        (2, State.ACTIVATED, "edit", "it was green"),
        (2, State.MERGED, "merge", ""),
        (2, State.ACTIVATED, "split", "they differ"),
    ]
    assert {v.by for v in found} == {RecordedBy("olga", "req")}
    assert [v.at_us for v in found] == [cube.state.recorded_at_us[v.cube_version - 1] for v in found]
    assert found[0].source == source


def test_ties_are_followed_to_their_end_in_both_directions() -> None:
    cube = HandDriven()
    fact, again = _add(cube, NewMemory("I love tea"), NewMemory("I love tea"))
    [answer] = _add(cube, NewMemory("She loves tea", derived_from=(Reference("", fact, 0),)))
    [summary] = _add(cube, NewMemory("Tea it is", derived_from=(Reference("", answer, 0), Reference("other", "m", 2))))
    [newer] = _add(cube, NewMemory("I hate tea", supersedes=(fact,)))
    assert _tied(cube, again) == [
        (Tie.MERGED_INTO, 1, again, fact),
        (Tie.SUPERSEDED_BY, 2, fact, newer),
        (Tie.DERIVED, 2, fact, answer),
        (Tie.DERIVED, 3, answer, summary),
    ]
    assert _tied(cube, summary) == [
        (Tie.DERIVED_FROM, 1, summary, answer),
        (Tie.DERIVED_FROM, 1, summary, "m"),
        (Tie.DERIVED_FROM, 2, answer, fact),
        (Tie.SOURCE, 3, fact, again),
    ]
    assert (Tie.SUPERSEDES, 1, newer, fact) in _tied(cube, newer)


def test_pages_continue_at_the_version_of_the_first_one() -> None:
    cube = HandDriven()
    tea, *rest = _add(cube, *[NewMemory("tea", ref=str(n)) for n in range(8)])
    first = provenance_page(cube.state, ReadProvenance(tea, 3))
    cube.run(partial(split, request=SplitMemory(rest[6])))
    seen: list[Related] = list(first.related)
    page = first
    while page.next is not None:
        page = provenance_page(cube.state, ReadProvenance(tea, 3, page.next))
        assert page.versions == ()
        seen += page.related
    assert [one.reference.memory_id for one in seen] == rest
    assert len(provenance_page(cube.state, ReadProvenance(tea, 50)).related) == 6
    with pytest.raises(InvalidCursor):
        provenance_page(cube.state, ReadProvenance(tea, 3, "nonsense"))


def test_as_of_shows_what_was_tied_then() -> None:
    cube = HandDriven()
    tea, _ = _add(cube, NewMemory("tea"), NewMemory("tea"))
    then = cube.state.version
    cube.run(partial(split, request=SplitMemory(tea)))
    assert _tied(cube, tea) == []
    found = provenance_page(cube.state, ReadProvenance(tea, 50, None, Moment(version=then)))
    assert [one.tie for one in found.related] == [Tie.SOURCE]


def test_origins_stand_in_runs_and_survive_a_snapshot() -> None:
    origins, told = Origins(), []
    for version in range(1, 400):
        by = RecordedBy(f"p{version // 50 % 3}", f"réq-{version // 7}")
        told.append(by)
        origins.note(version, by.principal, by.request_id)
    stored = Origins.from_snapshot(origins.to_snapshot())
    assert [stored.at(version) for version in range(1, 400)] == told
    assert stored == origins and stored.held_bytes < 400 * 12
    assert Origins().at(1) is None
