"""Commands on a cube: pure decisions that turn a request into events, or into an error that changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from actors.errors import IdempotencyMismatch, InvalidRequest, MemoryNotFound, StaleVersion, TransitionRefused
from actors.memory.cube import CubeState, Outcome
from actors.memory.draft import Draft, Origin, Sealer
from actors.memory.events import Event, EventType
from actors.memory.governance import Action
from actors.memory.identity import RandomBytes, keyed_digest, new_id
from actors.memory.item import Form, Memory, evolve, to_fields
from actors.memory.lifecycle import State, check_mutable, check_transition
from actors.memory.policy import ENTITIES, merged_policy
from actors.memory.requests import Added, AddedMemory, AddMemories, ChangeMemory, MoveMemory, NewMemory
from actors.memory.screening import total, unscreened

Allow = Callable[[Action], None]
"""Raises Forbidden unless the caller may do the action. Asked at decision time: what an action is may
depend on the memory's state."""

CHANGEABLE = frozenset(f.name for f in fields(NewMemory)) - {"source", "derived_from", "role", "screening"}
_INTERVAL = frozenset({"valid_from_us", "valid_to_us"})


class CubeDraft(Draft):
    """A draft that also knows how the memories it touched will look."""

    __slots__ = ("_changed", "_name", "_outcomes", "_policy", "_state")

    def __init__(self, state: CubeState, sealer: Sealer) -> None:
        super().__init__(state, sealer, state.recorded_at_us[-1] if state.recorded_at_us else 0)
        self._state = state
        self._changed: dict[str, Memory] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._name, self._policy = state.name, state.policy

    @property
    def name(self) -> str:
        return self._name

    @property
    def policy(self) -> Mapping[str, Mapping[str, Any]]:
        return self._policy

    def find(self, memory_id: str) -> Memory | None:
        """The memory as it will be after the events so far."""
        return self._changed.get(memory_id) or self._state.find(memory_id)

    def first(self, memory_id: str) -> Memory | None:
        """The memory as it was added."""
        revisions = self._state.history.get(memory_id)
        return revisions[0][1] if revisions else self._changed.get(memory_id)

    def outcome(self, key_digest: str) -> Outcome | None:
        return self._outcomes.get(key_digest) or self._state.outcomes.get(key_digest)

    def emit(
        self,
        origin: Origin,
        type: EventType,
        payload: Mapping[str, Any],
        memory_id: str = "",
        memory_version: int = 0,
    ) -> Event:
        event = super().emit(origin, type, payload, memory_id, memory_version)
        self._note(event)
        return event

    def rewind(self, length: int, version: int, head: bytes) -> None:
        super().rewind(length, version, head)
        self._changed.clear()
        self._outcomes.clear()
        self._name, self._policy = self._state.name, self._state.policy
        for event in self.events:
            self._note(event)

    def _note(self, event: Event) -> None:
        if event.memory_id:
            self._changed[event.memory_id] = evolve(self.find(event.memory_id), event)
        else:
            payload = event.payload()
            self._name = payload.get("name", self._name)
            self._policy = payload.get("policy", self._policy)
        if event.idempotency:
            key, _, request = event.idempotency.partition(":")
            known = self._outcomes.get(key)
            ids = (*known.memory_ids, event.memory_id) if known else (event.memory_id,)
            self._outcomes[key] = Outcome(request, event.version, ids)


def idempotency_of(chain_key: bytes, cube_id: str, principal: str, request: AddMemories) -> str:
    """What an add's events carry: digests of (cube, principal, key) and of the request; empty without a key."""
    if not request.idempotency_key:
        return ""
    body = json.dumps([_new_fields(m) for m in request.memories], sort_keys=True, ensure_ascii=False)
    key = keyed_digest(chain_key, "idempotency", cube_id, principal, request.idempotency_key)
    return f"{key[:32]}:{keyed_digest(chain_key, 'request', body)[:32]}"


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
    """Record every memory of the request as activated; a repeat under the same key answers as the first did."""
    if origin.idempotency:
        key, _, digest = origin.idempotency.partition(":")
        outcome = draft.outcome(key)
        if outcome is not None:
            return _repeated(draft, outcome, digest)
    added = []
    for new in request.memories:
        memory_id = new_id("mem", origin.at_us, random_bytes)
        draft.emit(origin, EventType.MEMORY_ADDED, _new_fields(new), memory_id, 1)
        added.append(AddedMemory(memory_id, 1, State.ACTIVATED, new.ref))
    return Added(draft.version, tuple(added), total(new.screening for new in request.memories))


def _repeated(draft: CubeDraft, outcome: Outcome, digest: str) -> Added:
    if outcome.request_digest != digest:
        raise IdempotencyMismatch("this Idempotency-Key was used before with another body; use a new key")
    memories = [(memory_id, draft.first(memory_id)) for memory_id in outcome.memory_ids]
    added = [AddedMemory(memory_id, 1, State.ACTIVATED, first.ref if first else "") for memory_id, first in memories]
    return Added(outcome.version, tuple(added), total(first.screening for _, first in memories if first))


def change(draft: CubeDraft, origin: Origin, request: ChangeMemory) -> Memory:
    """Record a new version of a memory; a change that changes nothing is not recorded."""
    memory = _existing(draft, request.memory_id)
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
        return memory
    if not _INTERVAL.isdisjoint(changed):
        _check_interval({**before, **changed})
    payload: dict[str, Any] = {"set": setting, "unset": unsetting}
    if request.reason:
        payload["reason"] = request.reason
    _note_screening(memory, request, payload)
    draft.emit(origin, EventType.MEMORY_CHANGED, payload, memory.id, memory.version + 1)
    return _existing(draft, memory.id)


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
    memory = _existing(draft, request.memory_id)
    allow(_action_of(memory.state, request.to))
    check_transition(memory.id, memory.state, request.to)
    payload = {"from": memory.state.value, "to": request.to.value, "reason": request.reason}
    draft.emit(origin, EventType.MEMORY_TRANSITIONED, payload, memory.id, memory.version)
    return _existing(draft, memory.id)


def _action_of(state: State, to: State) -> Action:
    if state is State.FROZEN:
        return Action.UNFREEZE
    if to is State.FROZEN:
        return Action.FREEZE
    return Action.ARCHIVE if to is State.ARCHIVED else Action.TRANSITION


def _existing(draft: CubeDraft, memory_id: str) -> Memory:
    memory = draft.find(memory_id)
    if memory is None:
        raise MemoryNotFound(
            f"no memory {memory_id[:64]!r} in cube {draft.cube_id!r}", cube=draft.cube_id, memory=memory_id[:64]
        )
    return memory


def _new_fields(new: NewMemory) -> dict[str, Any]:
    return to_fields(
        Memory(
            id="",
            cube_id="",
            version=1,
            form=Form.PLAINTEXT,
            state=State.ACTIVATED,
            recorded_at_us=0,
            **{f.name: getattr(new, f.name) for f in fields(NewMemory)},
        )
    )


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
