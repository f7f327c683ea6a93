"""Memories that are merged into each other in a circle: nothing records that, and whoever walks along ends."""

from __future__ import annotations

from actors.memory.cube import CubeState
from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State
from actors.memory.links import Absorption, Links
from actors.memory.merging import held_by
from actors.memory.rollback import restored
from actors.memory.sources import duplicates, shown


def _merged(memory_id: str, into: str) -> Memory:
    links = Links(into, 1, Absorption.DUPLICATE)
    return Memory(memory_id, "c", 1, Form.PLAINTEXT, "note", State.MERGED, "tea", 1, links=links)


def test_walks_along_merges_end_in_a_circle() -> None:
    state = CubeState("c", version=6)
    circle = {"a": "b", "b": "c", "c": "a"}
    for number, (memory_id, into) in enumerate(circle.items(), start=1):
        memory = _merged(memory_id, into)
        alone = Memory(memory_id, "c", 1, Form.PLAINTEXT, "note", State.ACTIVATED, "tea", 1)
        state.history[memory_id] = [(number, memory), (number + 3, alone)]
        state.relations.absorbed[into] = [memory_id]
    for memory_id in circle:
        assert held_by(state.history[memory_id][0][1], lambda other: state.history[other][0][1]) is None
        assert {memory.id for memory in duplicates(state, memory_id, 3)} == set(circle) - {memory_id}
        assert shown(state, state.history[memory_id][0][1], 3).derived_from
    assert len(list(restored(state.history, 3, 9))) == 3
