"""Merging and its undoing: commands that tie memories to each other, and the rules that they keep.

A merge is one event, on the memory that is absorbed; the other one's record stays as it is. So who absorbed what is a
forest: what is merged into a memory goes with it when that one is merged into a third, and comes with it out again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.errors import FrozenMemory, InvalidRequest, MemoryErased, MemoryNotFound, NothingMerged, TransitionRefused
from actors.memory.draft import Origin
from actors.memory.events import EventType
from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State, allowed_from, check_mutable
from actors.memory.links import Absorption, Links
from actors.memory.merge_draft import MergeDraft

EXACT_REPEAT = "an exact repeat"

SPLITS_AT_ONCE = 1_000
"""Memories that one call splits out of another: as many as an add may make."""


@dataclass(frozen=True, slots=True)
class MergeMemory:
    """Merge a memory into another one of the cube. `similarity` is the cosine that it was found by, if it was."""

    memory_id: str
    into: str
    absorption: Absorption = Absorption.DUPLICATE
    reason: str = ""
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class SplitMemory:
    """Undo a merge: of an absorbed memory its own, of one that absorbed others all of theirs."""

    memory_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """The memories that stand by themselves again; `remaining` are still merged: call again."""

    version: int
    memories: tuple[Memory, ...]
    remaining: int = 0


def repeat_links(repeated: Memory) -> Links:
    """The ties of a memory that is recorded as a repeat of another."""
    return Links().absorbed(repeated.id, repeated.version, Absorption.DUPLICATE)


def merge(draft: MergeDraft, origin: Origin, request: MergeMemory) -> Memory:
    """Record that a memory is absorbed. A merge that is there already is not recorded again.

    Raises FrozenMemory when either is frozen, TransitionRefused when either is not activated, MemoryNotFound.
    """
    absorbed, into = existing(draft, request.memory_id), existing(draft, request.into)
    if absorbed.id == into.id:
        raise InvalidRequest(f"memory {absorbed.id} cannot be merged into itself", memory=absorbed.id)
    if absorbed.links.into == into.id and absorbed.links.absorption is request.absorption:
        return absorbed
    for memory in (absorbed, into):
        check_mutable(memory.id, memory.state)
        if memory.state is not State.ACTIVATED or memory.form is not Form.PLAINTEXT:
            raise TransitionRefused(
                f"memory {memory.id} is {memory.state}: only activated text can be merged; allowed: "
                f"{', '.join(allowed_from(memory.state))}",
                memory=memory.id,
                state=memory.state.value,
                requested=State.MERGED.value,
                allowed=allowed_from(memory.state),
            )
    payload = {
        "into": into.id,
        "into_version": into.version,
        "kind": request.absorption.value,
        "reason": request.reason,
        **({} if request.similarity is None else {"similarity": round(request.similarity, 4)}),
    }
    draft.emit(origin, EventType.MEMORY_MERGED, payload, absorbed.id, absorbed.version)
    return existing(draft, absorbed.id)


def supersede(draft: MergeDraft, origin: Origin, newer_id: str, older_ids: Sequence[str], reason: str = "") -> None:
    """Record that a memory takes the place of older ones: they leave retrieval, and name it. Raises as `merge` does."""
    for older_id in dict.fromkeys(older_ids):
        merge(draft, origin, MergeMemory(older_id, newer_id, Absorption.SUPERSEDED, reason))


def link(draft: MergeDraft, origin: Origin, newer_id: str, older_id: str, similarity: float, reason: str) -> bool:
    """Record that two memories seem to contradict each other: both stay as they are. The newer one carries the link,
    the older one when the newer is frozen. False when it is known already, or both are frozen.
    """
    newer, older = existing(draft, newer_id), existing(draft, older_id)
    if older.id in newer.links.contradicts or newer.id in older.links.contradicts:
        return False
    carrier, other = (older, newer) if newer.state is State.FROZEN else (newer, older)
    if carrier.state is State.FROZEN:
        return False
    payload = {"contradicts": [other.id], "similarity": round(similarity, 4), "reason": reason}
    draft.emit(origin, EventType.MEMORY_LINKED, payload, carrier.id, carrier.version)
    return True


def split(draft: MergeDraft, origin: Origin, request: SplitMemory, limit: int = SPLITS_AT_ONCE) -> Split:
    """Record that merged memories stand by themselves again: activated, with what is merged into themselves.

    Raises NothingMerged when the memory neither was merged nor has others merged into it; FrozenMemory when what it
    is merged into is frozen: the sources of a frozen memory are held with it.
    """
    memory = existing(draft, request.memory_id)
    if memory.state is State.MERGED:
        check_released(draft, memory)
        alone = _split(draft, origin, memory, request.reason)
        return Split(draft.version, (alone,))
    absorbed = draft.absorbed(memory.id)
    if not absorbed:
        raise NothingMerged(
            f"memory {memory.id} is {memory.state} and nothing is merged into it", memory=memory.id, state=memory.state
        )
    check_mutable(memory.id, memory.state)
    found = tuple(_split(draft, origin, one, request.reason) for one in absorbed[:limit])
    return Split(draft.version, found, len(absorbed) - len(found))


def _split(draft: MergeDraft, origin: Origin, memory: Memory, reason: str) -> Memory:
    draft.emit(
        origin, EventType.MEMORY_SPLIT, {"out_of": memory.links.into, "reason": reason}, memory.id, memory.version
    )
    return existing(draft, memory.id)


def check_released(draft: MergeDraft, memory: Memory) -> None:
    """Raise FrozenMemory when a merged memory is held by a frozen one that it is, or went with others, merged into."""
    holder = held_by(memory, draft.find)
    if holder is not None:
        raise FrozenMemory(
            f"memory {memory.id} is merged into {holder.id}, which is frozen; a governor can unfreeze that one",
            memory=memory.id,
            frozen=holder.id,
        )


def held_by(memory: Memory, find: Callable[[str], Memory | None]) -> Memory | None:
    """The frozen memory that a merged one belongs to, itself or through others; None when it is free."""
    standing: Memory | None = memory
    passed: set[str] = set()
    while standing is not None and standing.state is State.MERGED and standing.id not in passed:
        passed.add(standing.id)  # a circle, which nothing here records, holds nobody
        standing = find(standing.links.into)
    return standing if standing is not None and standing is not memory and standing.state is State.FROZEN else None


def existing(draft: MergeDraft, memory_id: str) -> Memory:
    """The memory as it will be, or MemoryNotFound."""
    memory = draft.find(memory_id)
    if memory is None and draft.erasure_of(memory_id) is not None:
        raise MemoryErased(f"memory {memory_id} was erased", cube=draft.cube_id, memory=memory_id)
    if memory is None:
        raise MemoryNotFound(
            f"no memory {memory_id[:64]!r} in cube {draft.cube_id!r}", cube=draft.cube_id, memory=memory_id[:64]
        )
    return memory
