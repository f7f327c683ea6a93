"""Where a memory came from, version by version, and what it is tied to, upwards and downwards.

Up is what it was made of: what it is derived from, the duplicates that were merged into it, what it superseded. Down is
what was made of it: what it was merged into, what superseded it, answers and other forms derived from it. Both are
followed to their end; what contradicts it is named beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from actors.memory.cube import AsOf, CubeState
from actors.memory.disclosure import OPEN, Disclosure
from actors.memory.item import Memory, Reference
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.origins import RecordedBy
from actors.memory.requests import Moment
from actors.memory.sources import absorbed, found_at


class Tie(StrEnum):
    """How a memory is tied to the one that it was reached from."""

    DERIVED_FROM = "derived_from"
    SOURCE = "source"
    SUPERSEDES = "supersedes"
    MERGED_INTO = "merged_into"
    SUPERSEDED_BY = "superseded_by"
    DERIVED = "derived"
    CONTRADICTS = "contradicts"


UPWARD = frozenset({Tie.DERIVED_FROM, Tie.SOURCE, Tie.SUPERSEDES})
DOWNWARD = frozenset({Tie.MERGED_INTO, Tie.SUPERSEDED_BY, Tie.DERIVED})


@dataclass(frozen=True, slots=True)
class ReadProvenance:
    """`limit` ties a page; `cursor` goes on with the page after, at the version that the first one looked at."""

    memory_id: str
    limit: int = 50
    cursor: str | None = None
    as_of: Moment | None = None


@dataclass(frozen=True, slots=True)
class VersionOrigin:
    """One event of a memory: what it made of it, who recorded it, when, in which request, why, and out of what.

    `version` counts the memory's contents, `cube_version` the cube's events. `by` is None while it is not known: it
    was folded by a build that kept no origins.
    """

    version: int
    cube_version: int
    state: State
    at_us: int
    by: RecordedBy | None
    reason: str
    source: Mapping[str, Any]
    method: str
    model: str
    derived_from: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Related:
    """A memory that another is tied to. `start` is the memory that it was reached from, `distance` the number of ties
    between it and the one that was asked for. `memory` is None when it is another cube's.
    """

    tie: Tie
    distance: int
    start: str
    reference: Reference
    memory: Memory | None = None
    by: RecordedBy | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """`versions` come with the first page; `related` is a page of the ties, those upwards first; `next` continues."""

    memory: Memory
    cube_version: int
    versions: tuple[VersionOrigin, ...]
    related: tuple[Related, ...]
    next: str | None = None


def versions(state: CubeState, memory_id: str, as_of: AsOf, seen: Disclosure = OPEN) -> tuple[VersionOrigin, ...]:
    """The memory after each of its events up to a version of the cube, oldest first."""
    found: list[VersionOrigin] = []
    before: Memory | None = None
    held = state.history[memory_id]
    for (at, _), memory in zip(held, state.revisions(memory_id), strict=True):
        if as_of is not None and at > as_of:
            break
        found.append(
            VersionOrigin(
                version=memory.version,
                cube_version=at,
                state=memory.state,
                at_us=state.recorded_at_us[at - 1],
                by=state.origins.at(at),
                reason=memory.reason,
                source=seen.shown(memory).source,
                method=_method(before, memory),
                model=str(memory.source.get("model", "")),
                derived_from=memory.derived_from,
            )
        )
        before = memory
    return tuple(found)


_METHODS = {"message": "verbatim", "text": "verbatim", "document": "chunking"}


def _method(before: Memory | None, after: Memory) -> str:
    """How an event made what it made."""
    if before is None:
        if after.links.into:
            return "exact repeat"
        named = after.source.get("method")
        if named:
            return str(named)
        if after.source.get("kind") == "chat":
            return "generation" if after.role == "assistant" else "verbatim"
        return _METHODS.get(str(after.source.get("kind")), "verbatim")
    if after.links.into != before.links.into:
        return "merge" if after.links.into else "split"
    if after.links != before.links:
        return "link"
    return "edit" if after.version != before.version else "transition"


def related(state: CubeState, memory: Memory, as_of: AsOf, offset: int, limit: int) -> tuple[Related, ...]:
    """A page of what a memory is tied to, the nearest first in each direction."""
    return tuple(islice(_all_related(state, memory, as_of), offset, offset + limit))


def _all_related(state: CubeState, memory: Memory, as_of: AsOf) -> Iterator[Related]:
    yield from _followed(state, memory, as_of, UPWARD)
    yield from _followed(state, memory, as_of, DOWNWARD)
    for tie, reference in _ties(state, memory, as_of):
        if tie is Tie.CONTRADICTS:
            yield _related(state, tie, 1, memory.id, reference, as_of)


def _followed(state: CubeState, memory: Memory, as_of: AsOf, ties: frozenset[Tie]) -> Iterator[Related]:
    """Everything that is reached by such ties: each tie once, each memory followed once."""
    level, seen, distance = [memory], {memory.id}, 0
    while level:
        distance += 1
        found: list[Memory] = []
        for start in level:
            for tie, reference in _ties(state, start, as_of):
                if tie not in ties:
                    continue
                tied = _related(state, tie, distance, start.id, reference, as_of)
                yield tied
                if tied.memory is not None and tied.memory.id not in seen:
                    seen.add(tied.memory.id)
                    found.append(tied.memory)
        level = found


def _ties(state: CubeState, memory: Memory, as_of: AsOf) -> Iterator[tuple[Tie, Reference]]:
    """The ties of one memory, as they were at a version."""
    relations, links = state.relations, memory.links
    for reference in memory.derived_from:
        yield Tie.DERIVED_FROM, reference
    for one in absorbed(state, memory.id, as_of):
        duplicate = one.links.absorption is Absorption.DUPLICATE
        yield Tie.SOURCE if duplicate else Tie.SUPERSEDES, _reference(one)
    if links.into:
        duplicate = links.absorption is Absorption.DUPLICATE
        tie = Tie.MERGED_INTO if duplicate else Tie.SUPERSEDED_BY
        yield tie, Reference(memory.cube_id, links.into, links.into_version)
    for other in relations.derived.get(memory.id, ()):
        found = found_at(state, other, as_of)
        if found is not None and any(named.memory_id == memory.id for named in found.derived_from):
            yield Tie.DERIVED, _reference(found)
    for other in dict.fromkeys((*links.contradicts, *relations.contradicted.get(memory.id, ()))):
        found = found_at(state, other, as_of)
        if found is not None and (other in links.contradicts or memory.id in found.links.contradicts):
            yield Tie.CONTRADICTS, _reference(found)


def _related(state: CubeState, tie: Tie, distance: int, start: str, reference: Reference, as_of: AsOf) -> Related:
    if reference.cube_id != state.cube_id:
        return Related(tie, distance, start, reference)
    memory = found_at(state, reference.memory_id, as_of)
    if memory is None:
        return Related(tie, distance, start, reference)
    first = state.history[memory.id][0][0]
    return Related(tie, distance, start, reference, memory, state.origins.at(first))


def _reference(memory: Memory) -> Reference:
    return Reference(memory.cube_id, memory.id, memory.version)
