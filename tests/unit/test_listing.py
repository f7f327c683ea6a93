from __future__ import annotations

import pytest

from actors.errors import InvalidCursor
from actors.listing import Cursor, page_of
from actors.memory.commands import add, move
from actors.memory.lifecycle import State
from actors.memory.requests import AddMemories, ListMemories, MoveMemory, NewMemory
from tests.unit.cubes import HandDriven, allow_all


def _cube(number: int) -> tuple[HandDriven, list[str]]:
    cube = HandDriven()
    request = AddMemories(tuple(NewMemory(f"text {i}") for i in range(number)))
    added = cube.run(lambda d, o: add(d, o, request, cube.random.randbytes))
    return cube, [m.id for m in added.memories]


def test_pages_give_every_memory_once_although_others_arrive_meanwhile() -> None:
    cube, ids = _cube(7)
    seen: list[str] = []
    cursor = None
    while True:
        page = page_of(cube.state, ListMemories(limit=3, cursor=cursor), None)
        seen += [m.id for m in page.items]
        late = AddMemories((NewMemory("late"),))
        cube.run(lambda d, o, r=late: add(d, o, r, cube.random.randbytes))
        if page.next is None:
            break
        cursor = page.next
    assert seen == ids


def test_filters_and_the_past() -> None:
    cube, ids = _cube(3)
    before = cube.state.version
    cube.run(lambda d, o: move(d, o, MoveMemory(ids[1], State.ARCHIVED), allow_all))
    archived = page_of(cube.state, ListMemories(state=State.ARCHIVED), None)
    assert [m.id for m in archived.items] == [ids[1]]
    assert page_of(cube.state, ListMemories(state=State.ARCHIVED), before).items == ()
    assert page_of(cube.state, ListMemories(type="fact"), None).items == ()


@pytest.mark.parametrize(
    "bad", ["", "x", "!!!", "bm90IGpzb24", Cursor("other", 1, 0).encode(), Cursor("c", 99, 0).encode()]
)
def test_a_cursor_of_another_list_is_named_as_such(bad: str) -> None:
    cube, _ = _cube(1)
    with pytest.raises(InvalidCursor):
        page_of(cube.state, ListMemories(cursor=bad), None)
