"""Erasing memories: which of them go together, and the commands that record it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from actors.errors import FrozenMemory, InvalidRequest, MemoryNotFound
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.erasure import Because, Cause, EraseMemories, Name, Receipt
from actors.memory.events import Event, EventType
from actors.memory.governance import Action
from actors.memory.item import Memory
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.rows import row_key

LEAST_TELLING_CHARS = 8
"""A reason may not hold a text of so many characters, or more, that it gives the reason to erase."""

# which go together

Revisions = Sequence[tuple[int, Memory]]
"""A memory as it stood after each of its events: (cube version, memory), oldest first."""


def together(memories: Mapping[str, Revisions], roots: Iterable[str]) -> dict[str, Because]:
    """The memories that go when `roots` go, and why: repeats of the same text that were merged, and whatever was
    derived from one of them, or absorbed by it as a duplicate, in any of its versions.
    """
    children: dict[str, list[str]] = {}
    absorbed: dict[str, list[str]] = {}
    repeats: dict[str, list[str]] = {}
    for memory_id, revisions in memories.items():
        for parent in _parents(revisions):
            children.setdefault(parent, []).append(memory_id)
        for target in _absorbers(revisions):
            absorbed.setdefault(target, []).append(memory_id)
        if any(memory.state is State.MERGED for _, memory in revisions):
            for text in _texts(revisions):
                repeats.setdefault(text, []).append(memory_id)
    same_as = _targets(memories, repeats)
    found = dict.fromkeys(roots, Because.REQUESTED)
    waiting = list(found)
    while waiting:
        memory_id = waiting.pop()
        near = [(other, Because.DERIVED) for other in children.get(memory_id, ())]
        near += [(other, Because.MERGED) for other in absorbed.get(memory_id, ())]
        near += [
            (other, Because.SAME_TEXT)
            for text in _texts(memories.get(memory_id, ()))
            for other in same_as.get(text, ())
        ]
        for other, because in near:
            if other not in found:
                found[other] = because
                waiting.append(other)
    return found


def _targets(memories: Mapping[str, Revisions], repeats: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Text -> the memories that hold it, of the texts of which a repeat was merged."""
    result = {text: list(ids) for text, ids in repeats.items()}
    for memory_id, revisions in memories.items():
        for text in _texts(revisions) & repeats.keys():
            if memory_id not in result[text]:
                result[text].append(memory_id)
    return result


def _parents(revisions: Revisions) -> set[str]:
    return {r.memory_id for _, memory in revisions for r in memory.derived_from if r.cube_id == memory.cube_id}


def _absorbers(revisions: Revisions) -> set[str]:
    """The memories that one was a duplicate of, in any of its versions."""
    return {memory.links.into for _, memory in revisions if memory.links.absorption is Absorption.DUPLICATE}


def _texts(revisions: Revisions) -> set[str]:
    return {memory.text for _, memory in revisions if memory.text}


def names_derived(event: Event, origins: frozenset[Name]) -> bool:
    """Whether an event says that its memory is derived from one of `origins`."""
    payload = event.payload()
    said = [*payload.get("derived_from", ()), *payload.get("set", {}).get("derived_from", ())]
    return any((cube, memory) in origins for cube, memory, *_ in said)


# the command


def plan(draft: CubeDraft, request: EraseMemories, allow: Callable[[Action], None]) -> dict[str, Because]:
    """The memories that an erasure would take, and why; empty when they are erased already. Changes nothing.

    Raises MemoryNotFound, what `allow` raises, and InvalidRequest for a reason that would keep the text, or that is
    missing where a frozen memory goes.
    """
    allow(Action.ERASE)
    for memory_id in request.memory_ids:
        if draft.find(memory_id) is None and draft.erasure_of(memory_id) is None:
            raise MemoryNotFound(f"no memory {memory_id[:64]!r} in cube {draft.cube_id!r}", memory=memory_id[:64])
    left = [memory_id for memory_id in request.memory_ids if draft.erasure_of(memory_id) is None]
    if not left:
        return {}
    memories = draft.revisions()
    found = together(memories, left)
    held = [memory_id for memory_id in found if memories[memory_id][-1][1].state is State.FROZEN]
    if held and request.cause is Cause.RETENTION:
        raise FrozenMemory("it is frozen, or something that was derived from it is")
    if held:
        allow(Action.ERASE_FROZEN)
        if not request.reason.strip():
            raise InvalidRequest(
                f"memory {held[0]} is frozen: erasing it takes a reason",
                errors=[{"field": "reason", "problem": "is missing"}],
            )
    _check_reason(request.reason, (memory for memory_id in found for _, memory in memories[memory_id]))
    return found


def _check_reason(reason: str, memories: Iterable[Memory]) -> None:
    said = reason.casefold()
    for memory in memories:
        text = memory.text.casefold().strip()
        if len(text) >= LEAST_TELLING_CHARS and text in said:
            raise InvalidRequest(
                "the reason holds a text that is to be erased, and reasons are kept: say it in other words",
                errors=[{"field": "reason", "problem": "holds what is to be erased"}],
            )


def erase(draft: CubeDraft, origin: Origin, request: EraseMemories, allow: Callable[[Action], None]) -> str:
    """Record the tombstones; the root of the erasure. Of what is erased already, the root it went with."""
    found = plan(draft, request, allow)
    if not found:
        return draft.erasure_of(request.memory_ids[0]) or request.memory_ids[0]
    root, memories = next(iter(found)), draft.revisions()
    for memory_id, because in found.items():
        revisions = memories[memory_id]
        versions = {memory.version: memory.recorded_at_us for _, memory in reversed(revisions)}
        payload: dict[str, Any] = {
            "root": root,
            "because": Because.DERIVED.value if request.origins else because.value,
            "cause": request.cause.value,
            "reason": request.reason,
            "versions": sorted(versions.items()),
            "rows_at": rows_opened_at(revisions),
        }
        if memory_id == root and request.elsewhere:
            payload["elsewhere"] = request.elsewhere
        draft.emit(origin, EventType.MEMORY_ERASED, payload, memory_id, revisions[-1][1].version)
    return root


def plan_cube(draft: CubeDraft, reason: str, allow: Callable[[Action], None]) -> list[str]:
    """The memories that go with a whole cube; none when it is erased already. Raises as `plan`."""
    allow(Action.ERASE_CUBE)
    memories = draft.revisions()
    if any(revisions[-1][1].state is State.FROZEN for revisions in memories.values()):
        allow(Action.ERASE_FROZEN)
        if not reason.strip():
            raise InvalidRequest("a memory of it is frozen: erasing it takes a reason")
    _check_reason(reason, (memory for revisions in memories.values() for _, memory in revisions))
    return list(memories)


def erase_cube(
    draft: CubeDraft, origin: Origin, reason: str, elsewhere: Sequence[Name], allow: Callable[[Action], None]
) -> str:
    """Record the tombstone of a whole cube, after which nothing more is recorded of it; the erasure's root."""
    memories = plan_cube(draft, reason, allow)
    if draft.erasure_of(draft.cube_id) is None:
        payload = {"reason": reason, "memories": memories, "elsewhere": list(elsewhere)}
        draft.emit(origin, EventType.CUBE_ERASED, payload)
    return draft.cube_id


def rows_opened_at(revisions: Revisions) -> list[int]:
    """The cube versions at which a memory opened a row: once its content is gone, a fold could not tell."""
    opened: dict[Any, int] = {}
    for version, memory in revisions:
        if memory.retrievable:
            opened.setdefault(row_key(memory), version)  # a text that comes back has its row again
    return list(opened.values())


def complete(draft: CubeDraft, origin: Origin, root: str, receipt: Receipt) -> Receipt:
    """Record what was done; the first receipt of an erasure stays."""
    known = draft.receipt(root)
    if known is not None:
        return known
    draft.emit(origin, EventType.ERASURE_COMPLETED, {"root": root, "receipt": receipt.to_fields()})
    return receipt
