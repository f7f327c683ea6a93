"""Which events of an archive are taken in: those that this system could have recorded itself. Pure.

An archive may come from anybody. What it says is checked against the fold of what it said before, as a command is
checked against a cube, so that no state comes in that no command leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actors.errors import InvalidRequest, MemosError
from actors.memory.archive_check import refused, shown
from actors.memory.archive_events import ArchivedEvent, payload_of
from actors.memory.archive_fields import (
    CHANGEABLE,
    DEPTH,
    FIELDS,
    are_labels,
    are_links,
    is_deeper,
    is_label,
    is_object,
    is_screening,
    is_time,
)
from actors.memory.cube import CubeState
from actors.memory.events import EventType
from actors.memory.identity import check_principal_id, is_memory_id
from actors.memory.item import Memory
from actors.memory.lifecycle import TRANSITIONS, State
from actors.memory.policy import merged_policy
from actors.memory.rollback import restored

CONTENT_BYTES = 512 << 10
"""Content of one event."""

AHEAD_US = 24 * 3600 * 1_000_000
"""How far a time of record may lie in the future: clocks differ, and what is recorded later never goes back."""

Payload = Mapping[str, Any]


class ImportRules:
    """Checks the events of one archive, in order. `history`: without it, nothing but memories follows the creation."""

    def __init__(self, history: bool, now_us: int) -> None:
        self._history = history
        self._latest_us = now_us + AHEAD_US
        self._last_us = 0

    def check(self, row: ArchivedEvent, state: CubeState) -> tuple[EventType, dict[str, Any]]:
        """The type and payload of the next event; `state` is the fold of those before it. Raises ArchiveRefused, which
        names the event, and what a policy that this build does not honour raises.
        """
        try:
            type, payload = self._header(row, state), self._payload(row)
            _ABOUT[type](row, payload, state, self._history)
        except _Broken as broken:
            raise refused(f"event {shown(str(row.version))}: {broken}", "event") from broken
        self._last_us = row.recorded_at_us
        return type, payload

    def _header(self, row: ArchivedEvent, state: CubeState) -> EventType:
        _require(row.version == state.version + 1, f"its version should be {state.version + 1}")
        _require(row.type in _TAKEN, f"its type {shown(row.type)} is none that an archive holds")
        type = EventType(row.type)
        first, named = row.version == 1, type.value.startswith("memory.")
        _require((type is EventType.CUBE_CREATED) == first, "a cube is created by its first event, and by no other")
        _require(self._history or first or type is EventType.MEMORY_ADDED, "an archive without history adds memories")
        _require(is_memory_id(row.memory_id) if named else not row.memory_id, "it names no memory, or should not")
        _require(self._last_us <= row.recorded_at_us <= self._latest_us, "its time goes back, or lies in the future")
        if row.principal or self._history:
            try:
                check_principal_id(row.principal)
            except InvalidRequest as error:
                raise _Broken("its principal is none") from error
        return type

    def _payload(self, row: ArchivedEvent) -> dict[str, Any]:
        content = row.content
        _require(content is not None, "its content is missing")
        if content is None or len(content) > CONTENT_BYTES:
            raise _Broken(f"its content is over {CONTENT_BYTES} bytes")
        try:
            payload = payload_of(content)
        except ValueError as error:
            raise _Broken(f"its content cannot be taken in: {error}") from error
        _require(not is_deeper(payload, DEPTH), f"its content is nested deeper than {DEPTH}")
        return payload


class _Broken(Exception):
    """A rule that an event does not keep."""


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise _Broken(rule)


def _created(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    _require(set(payload) == {"owner", "name", "policy"}, "a creation has an owner, a name and a policy")
    _require(is_label(payload["owner"]) and is_label(payload["name"]), "its owner or name is no text")
    _policy(payload["policy"])


def _configured(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    _require(bool(payload) and set(payload) <= {"name", "policy"}, "it changes something else than name and policy")
    _require(is_label(payload.get("name", "")), "its name is no text")
    if "policy" in payload:
        _policy(payload["policy"])


def _policy(policy: Any) -> None:
    """Raises what a policy that this build does not honour raises: it would be a promise that nobody keeps."""
    try:
        whole = merged_policy({}, policy) if isinstance(policy, dict) else None
    except MemosError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise _Broken("its policy is none") from error
    _require(whole == policy, "its policy is not whole")


def _added(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    _require(state.find(row.memory_id) is None, "it adds a memory that is there already")
    _require(row.memory_version == 1 if history else row.memory_version >= 1, "a memory begins with version 1")
    _require({"form", "type", "state", "text"} <= set(payload), "it lacks form, type, state or text")
    _fields(payload, frozenset(FIELDS))
    links = payload.get("links", {})
    _require(bool(links.get("into")) == (payload["state"] == State.MERGED.value), "what is merged names what it is in")
    if history and links.get("into"):
        into = state.find(links["into"])
        _require(into is not None and into.state is State.ACTIVATED, "what it is merged into does not stand")


def _changed(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    memory = _existing(row, state)
    _require(memory.state not in (State.FROZEN, State.MERGED), f"it changes a memory that is {memory.state}")
    _require(row.memory_version == memory.version + 1, f"the memory's version should be {memory.version + 1}")
    _require({"set", "unset"} <= set(payload) <= {"set", "unset", "reason"}, "a change sets and unsets fields")
    _require(is_object(payload["set"]) and are_labels(payload["unset"]), "what it sets or unsets cannot be read")
    _require(is_label(payload.get("reason", "")), "its reason is no text")
    _fields(payload["set"], CHANGEABLE)
    _require(set(payload["unset"]) <= CHANGEABLE - {"text", "type"}, "it unsets what a memory has to have")


def _moved(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    memory = _existing(row, state)
    _require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    _require(set(payload) == {"from", "to", "reason"} and is_label(payload["reason"]), "it is no transition")
    _require(payload["from"] == memory.state.value, f"the memory is {memory.state}")
    _require(State.MERGED.value not in (payload["from"], payload["to"]), "it merges or splits")
    _require(
        payload["to"] in {to.value for to in TRANSITIONS[memory.state]},
        f"a memory that is {memory.state} cannot become {shown(str(payload['to']))}",
    )


def _merged(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    memory, into = _existing(row, state), state.find(str(payload.get("into", "")))
    _require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    _require(set(payload) <= {"into", "into_version", "kind", "reason", "similarity"}, "it is no merge")
    _require(
        are_links({name: payload[name] for name in ("into", "into_version", "kind") if name in payload}), "no merge"
    )
    _require(is_label(payload.get("reason", "")), "its reason is no text")
    for one in (memory, into):
        _require(one is not None and one.state is State.ACTIVATED, "it merges what is not activated")
    _require(into is not None and into.id != memory.id, "it merges a memory into itself")


def _split(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    memory = _existing(row, state)
    _require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    _require(memory.state is State.MERGED, f"it splits a memory that is {memory.state}")
    _require(set(payload) == {"out_of", "reason"} and is_label(payload["reason"]), "it is no split")
    _require(payload["out_of"] == memory.links.into, "the memory is merged into another one")


def _linked(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    memory = _existing(row, state)
    _require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    _require(memory.state is not State.FROZEN, "it links a frozen memory")
    _require({"contradicts"} <= set(payload) <= {"contradicts", "similarity", "reason"}, "it is no link")
    _require(are_labels(payload["contradicts"]) and is_label(payload.get("reason", "")), "it cannot be read")


def _screened(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    memory = _existing(row, state)
    _require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    _require(set(payload) == {"screening"} and is_screening(payload["screening"]), "it is no screening")


def _rolled_back(row: ArchivedEvent, payload: Payload, state: CubeState, history: bool) -> None:
    _require({"to"} <= set(payload) <= {"to", "kept", "reason"}, "it is no rollback")
    to = payload["to"]
    _require(is_time(to) and 0 <= to <= state.version, "it goes back to no version of the cube")
    _require(are_labels(payload.get("kept", [])) and is_label(payload.get("reason", "")), "it cannot be read")
    kept = [each.before.id for each in restored(state.history, to, row.recorded_at_us) if each.kept]
    _require(payload.get("kept", []) == kept, "it keeps other memories than those that are held")


def _existing(row: ArchivedEvent, state: CubeState) -> Memory:
    memory = state.find(row.memory_id)
    if memory is None:
        raise _Broken("it is about a memory that was never added")
    return memory


def _fields(fields: Payload, allowed: frozenset[str]) -> None:
    for name, value in fields.items():
        _require(name in allowed, f"a memory has no field {shown(name)} that it could set")
        _require(FIELDS[name](value), f"its {name} is not one, or too large")


_ABOUT: Mapping[EventType, Callable[[ArchivedEvent, Payload, CubeState, bool], None]] = {
    EventType.CUBE_CREATED: _created,
    EventType.CUBE_CHANGED: _configured,
    EventType.MEMORY_ADDED: _added,
    EventType.MEMORY_CHANGED: _changed,
    EventType.MEMORY_TRANSITIONED: _moved,
    EventType.MEMORY_MERGED: _merged,
    EventType.MEMORY_SPLIT: _split,
    EventType.MEMORY_LINKED: _linked,
    EventType.MEMORY_SCREENED: _screened,
    EventType.CUBE_ROLLED_BACK: _rolled_back,
}
"""Every type that an archive may hold, and what is asked of an event of it."""

_TAKEN = frozenset(type.value for type in _ABOUT)
