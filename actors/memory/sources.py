"""The sources of a memory: itself and the duplicates that are merged into it, as they were at a version of the cube."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from actors.memory.cube import AsOf, CubeState
from actors.memory.item import Memory, Reference
from actors.memory.links import UNLINKED, Absorption

SHOWN = 100
"""Absorbed memories that `derived_from` of a memory names; its provenance names all of them, in pages."""


def duplicates(state: CubeState, memory_id: str, as_of: AsOf) -> Iterator[Memory]:
    """Every memory that is merged into one as a duplicate of it, or of such a one."""
    waiting, passed = [memory_id], {memory_id}
    while waiting:
        for memory in absorbed(state, waiting.pop(), as_of):
            if memory.links.absorption is Absorption.DUPLICATE and memory.id not in passed:
                passed.add(memory.id)
                waiting.append(memory.id)
                yield memory


def absorbed(state: CubeState, memory_id: str, as_of: AsOf) -> Iterator[Memory]:
    """The memories that are merged into one directly, whatever for, in order of the first merge."""
    for other in state.relations.absorbed.get(memory_id, ()):
        memory = found_at(state, other, as_of)
        if memory is not None and memory.links.into == memory_id:
            yield memory


def shown(state: CubeState, memory: Memory, as_of: AsOf) -> Memory:
    """The memory as a reader sees it: with the number of its sources, what it absorbed in `derived_from`, and what
    contradicts it, whichever of the two carries the link.
    """
    relations = state.relations
    if memory.id not in relations.absorbed and memory.id not in relations.contradicted:
        return memory
    taken = islice(absorbed(state, memory.id, as_of), SHOWN)
    named = (*memory.derived_from, *(Reference(one.cube_id, one.id, one.version) for one in taken))
    others = (found_at(state, other, as_of) for other in relations.contradicted.get(memory.id, ()))
    against = [other.id for other in others if other is not None and memory.id in other.links.contradicts]
    return replace(
        memory,
        sources=1 + _count(state, memory.id, as_of),
        derived_from=tuple(dict.fromkeys(named)),
        links=memory.links.contradicting(against) if against else memory.links,
    )


def passes(state: CubeState, memory: Memory, as_of: AsOf, matches: Callable[[Memory], bool]) -> bool:
    """Whether a filter lets a memory pass: itself, or one of its sources, which stands for it in session and time."""
    if matches(memory):
        return True
    if memory.id not in state.relations.absorbed:
        return False
    return any(
        matches(replace(source, state=memory.state, links=UNLINKED)) for source in duplicates(state, memory.id, as_of)
    )


def _count(state: CubeState, memory_id: str, as_of: AsOf) -> int:
    if as_of is None or as_of >= state.version:
        return state.relations.repeats.get(memory_id, 0)
    return sum(1 for _ in duplicates(state, memory_id, as_of))


def found_at(state: CubeState, memory_id: str, as_of: AsOf) -> Memory | None:
    """The memory as it was at a version, None when it was not there."""
    revisions = state.history.get(memory_id)
    if not revisions or (as_of is not None and revisions[0][0] > as_of):
        return None
    return state.at(memory_id, as_of)
