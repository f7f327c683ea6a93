"""Commands on a cube: pure decisions that turn a request into events, or into an error that changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from actors.errors import IdempotencyMismatch, InvalidRequest, StaleVersion, TransitionRefused
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.events import EventType
from actors.memory.governance import Action
from actors.memory.identity import RandomBytes, keyed_digest, new_id
from actors.memory.item import Form, Memory, Reference, from_fields, to_fields
from actors.memory.lifecycle import TRANSITIONS, State, check_mutable, check_transition
from actors.memory.merging import (
    EXACT_REPEAT,
    MergeMemory,
    SplitMemory,
    existing,
    merge,
    repeat_links,
    split,
    supersede,
)
from actors.memory.outcomes import Outcome
from actors.memory.policy import ENTITIES, merged_policy
from actors.memory.requests import Added, AddedMemory, AddMemories, ChangeMemory, MoveMemory, NewMemory
from actors.memory.screening import total, unscreened

Allow = Callable[[Action], None]
"""Raises Forbidden unless the caller may do the action. Asked at decision time: what an action is may
depend on the memory's state."""

_OF_ADDING = frozenset({"state", "supersedes", "screening"})
"""What an add says of a memory beside its contents."""
CHANGEABLE = frozenset(f.name for f in fields(NewMemory)) - {"source", "derived_from", "role"} - _OF_ADDING
_INTERVAL = frozenset({"valid_from_us", "valid_to_us"})


def idempotency_of(chain_key: bytes, cube_id: str, principal: str, request: AddMemories) -> str:
    """What an add's events carry: digests of (cube, principal, key) and of the request; empty without a key."""
    if not request.idempotency_key:
        return ""
    body = json.dumps([_asked(m) for m in request.memories], sort_keys=True, ensure_ascii=False)
    key = keyed_digest(chain_key, "idempotency", cube_id, principal, request.idempotency_key)
    return f"{key[:32]}:{keyed_digest(chain_key, 'request', body)[:32]}"


def _asked(new: NewMemory) -> dict[str, Any]:
    """All that an add asks for; one that supersedes nothing reads as builds did that knew no superseding."""
    return _new_fields(new) | ({"supersedes": list(new.supersedes)} if new.supersedes else {})


def create(draft: CubeDraft, origin: Origin, owner: str, name: str, policy: Mapping[str, Any]) -> None:
    """Record a cube's first event; a repeat changes nothing. The policy is what the cube was registered with."""
    if draft.version == 0:
        merged = merged_policy({}, policy, policy.get("redaction", {}).get("entities", ()))
        draft.emit(origin, EventType.CUBE_CREATED, {"owner": owner, "name": name, "policy": merged})


def configure(
    draft: CubeDraft,
    origin: Origin,
    name: str | None,
    policy: Mapping[str, Any] | None,
    entities: Sequence[str] = ENTITIES,
) -> None:
    """Change name or policy; what is the same already is not recorded again. `entities`: as in `merged_policy`."""
    changes: dict[str, Any] = {}
    if name is not None and name != draft.name:
        changes["name"] = name
    if policy is not None:
        merged = merged_policy(draft.policy, policy, entities)
        if merged != draft.policy:
            changes["policy"] = merged
    if changes:
        draft.emit(origin, EventType.CUBE_CHANGED, changes)


def add(draft: CubeDraft, origin: Origin, request: AddMemories, random_bytes: RandomBytes) -> Added:
    """Record every memory of the request; a repeat under the same key answers as the first did.

    What an activated memory says already is recorded as merged into it. Raises as `supersede` does, and
    MemoryNotFound for a memory that another is said to be derived from.
    """
    if origin.idempotency:
        key, _, digest = origin.idempotency.partition(":")
        outcome = draft.outcome(key)
        if outcome is not None:
            return _repeated(draft, outcome, digest)
    added = [_add(draft, origin, new, new_id("mem", origin.at_us, random_bytes)) for new in request.memories]
    return Added(draft.version, tuple(added), total(new.screening for new in request.memories))


def _add(draft: CubeDraft, origin: Origin, new: NewMemory, memory_id: str) -> AddedMemory:
    if new.derived_from:
        new = replace(new, derived_from=tuple(_resolved(draft, named) for named in new.derived_from))
    fields = _new_fields(new)
    if new.state is State.ACTIVATED and not new.supersedes:
        memory = from_fields(fields, id=memory_id, cube_id=draft.cube_id, version=1, recorded_at_us=origin.at_us)
        repeated = draft.repeated_by(memory)
        if repeated is not None:
            links = repeat_links(repeated).to_fields()
            fields |= {"state": State.MERGED.value, "links": links, "reason": EXACT_REPEAT}
    draft.emit(origin, EventType.MEMORY_ADDED, fields, memory_id, 1)
    supersede(draft, origin, memory_id, new.supersedes)
    return AddedMemory(memory_id, 1, State(fields["state"]), new.ref)


def _resolved(draft: CubeDraft, named: Reference) -> Reference:
    """The reference in full: without a cube it is to this one, without a version to the memory as it is."""
    if named.cube_id and named.cube_id != draft.cube_id:
        return named
    return Reference(draft.cube_id, named.memory_id, named.version or existing(draft, named.memory_id).version)


def _repeated(draft: CubeDraft, outcome: Outcome, digest: str) -> Added:
    if outcome.request_digest != digest:
        raise IdempotencyMismatch("this Idempotency-Key was used before with another body; use a new key")
    firsts = [(memory_id, draft.first(memory_id)) for memory_id in outcome.memory_ids]
    added = [
        AddedMemory(memory_id, 1, State.ACTIVATED if first is None else first.state, "" if first is None else first.ref)
        for memory_id, first in firsts
    ]
    return Added(outcome.version, tuple(added), total(first.screening for _, first in firsts if first is not None))


def change(draft: CubeDraft, origin: Origin, request: ChangeMemory) -> Memory:
    """Record a new version of a memory; a change that changes nothing is not recorded."""
    memory = existing(draft, request.memory_id)
    if request.if_version is not None and request.if_version != memory.version:
        raise StaleVersion(
            f"memory {memory.id} is at version {memory.version}, not {request.if_version}; read it again",
            memory=memory.id,
            current=memory.version,
        )
    check_mutable(memory.id, memory.state)
    if memory.state is State.MERGED:
        raise TransitionRefused(f"memory {memory.id} is merged into another; change that one, or split it first")
    unknown = set(request.set) - CHANGEABLE
    if unknown:
        raise InvalidRequest(f"cannot change {', '.join(sorted(unknown))}; can change: {', '.join(sorted(CHANGEABLE))}")
    before = to_fields(memory)
    changed = {name: _as_json(value) for name, value in request.set.items() if _as_json(value) != before.get(name)}
    setting = {name: value for name, value in changed.items() if value is not None}
    unsetting = sorted(name for name, value in changed.items() if value is None and name in before)
    if not setting and not unsetting:
        supersede(draft, origin, memory.id, request.supersedes, request.reason)
        return memory
    if not _INTERVAL.isdisjoint(changed):
        _check_interval({**before, **changed})
    payload: dict[str, Any] = {"set": setting, "unset": unsetting}
    if request.reason:
        payload["reason"] = request.reason
    _note_screening(memory, request, payload)
    draft.emit(origin, EventType.MEMORY_CHANGED, payload, memory.id, memory.version + 1)
    supersede(draft, origin, memory.id, request.supersedes, request.reason)
    return existing(draft, memory.id)


def _note_screening(memory: Memory, request: ChangeMemory, payload: dict[str, Any]) -> None:
    """Let the payload of a change say what is known of personal data in the memory after it."""
    before = memory.screening
    after = before.after(request.set, request.screening) if before else unscreened(request.screening)
    if after is not None and after != before:
        payload["set"]["screening"] = after.to_json()
    elif after is None and before is not None:
        payload["unset"] = sorted([*payload["unset"], "screening"])


def _check_interval(after: Mapping[str, Any]) -> None:
    start, end = after.get("valid_from_us"), after.get("valid_to_us")
    if start is not None and end is not None and end < start:
        raise InvalidRequest("valid_to is before valid_from", errors=[{"field": "valid_to", "problem": "is too early"}])


def move(draft: CubeDraft, origin: Origin, request: MoveMemory, allow: Allow) -> Memory:
    """Record a requested transition, when the table and the caller's role allow it."""
    memory = existing(draft, request.memory_id)
    if memory.state in request.not_from:
        allow(Action.ARCHIVE)
        check_mutable(memory.id, memory.state)
    allow(_action_of(memory.state, request.to))
    if request.to is State.MERGED and request.into:
        return merge(draft, origin, MergeMemory(memory.id, request.into, request.absorption, request.reason))
    check_transition(memory.id, memory.state, request.to)
    if memory.state is State.MERGED:
        return split(draft, origin, SplitMemory(memory.id, request.reason)).memories[0]
    payload = {"from": memory.state.value, "to": request.to.value, "reason": request.reason}
    draft.emit(origin, EventType.MEMORY_TRANSITIONED, payload, memory.id, memory.version)
    return existing(draft, memory.id)


def _action_of(state: State, to: State) -> Action:
    if state is State.FROZEN and to in TRANSITIONS[state]:
        return Action.UNFREEZE
    if to is State.FROZEN:
        return Action.FREEZE
    return Action.ARCHIVE if to is State.ARCHIVED else Action.TRANSITION


def _new_fields(new: NewMemory) -> dict[str, Any]:
    return to_fields(
        Memory(
            id="",
            cube_id="",
            version=1,
            form=Form.PLAINTEXT,
            recorded_at_us=0,
            **{f.name: getattr(new, f.name) for f in fields(NewMemory) if f.name != "supersedes"},
        )
    )


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
