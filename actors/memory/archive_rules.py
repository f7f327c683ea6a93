"""Which events of an archive are taken in: those that this system could have recorded itself. Pure.

An archive may come from anybody. What it says is checked against the fold of what it said before, as a command is
checked against a cube, so that no state comes in that no command leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.errors import InvalidRequest, MemosError, UnknownEntityKind
from actors.memory.archive_check import refused, shown
from actors.memory.archive_erasure import RECEIPT_BYTES, Erasures
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
from actors.memory.archive_names import names_cube
from actors.memory.archive_rule import Broken, Payload, require
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


@dataclass(frozen=True, slots=True)
class Ground:
    """What an event of an archive is checked against: the fold of those before it, and what the archive says of itself.
    `origin` is the cube where its history began; `kinds` are those of entities that a policy may name here.
    """

    state: CubeState
    origin: str
    history: bool
    erasures: Erasures
    kinds: Sequence[str]


class ImportRules:
    """Checks the events of one archive, in order. `history`: without it, nothing but memories follows the creation."""

    def __init__(self, origin: str, history: bool, erasures: Erasures, now_us: int, kinds: Sequence[str]) -> None:
        self._origin = origin
        self._history = history
        self._erasures = erasures
        self._kinds = kinds
        self._latest_us = now_us + AHEAD_US
        self._last_us = 0

    def check(self, row: ArchivedEvent, state: CubeState) -> tuple[EventType, dict[str, Any]]:
        """The type and payload of the next event, which is empty where the content was erased; `state` is the fold of
        those before it. Raises ArchiveRefused, which names the event, and what a policy that this build does not honour
        raises.
        """
        payload: dict[str, Any] = {}
        try:
            type = self._header(row, state)
            if row.content is None and type.value.startswith("memory."):
                self._erasures.check_emptied(row, type)
            else:
                payload = self._payload(row, type)
                self._check_names(row, payload, state)
                _ABOUT[type](row, payload, Ground(state, self._origin, self._history, self._erasures, self._kinds))
        except Broken as broken:
            raise refused(f"event {shown(str(row.version))}: {broken}", "event") from broken
        self._last_us = row.recorded_at_us
        return type, payload

    def _header(self, row: ArchivedEvent, state: CubeState) -> EventType:
        require(row.version == state.version + 1, f"its version should be {state.version + 1}")
        require(row.type in _TAKEN, f"its type {shown(row.type)} is none that an archive holds")
        type = EventType(row.type)
        first, named = row.version == 1, type.value.startswith("memory.")
        require((type is EventType.CUBE_CREATED) == first, "a cube is created by its first event, and by no other")
        require(self._history or first or type is EventType.MEMORY_ADDED, "an archive without history adds memories")
        require(is_memory_id(row.memory_id) if named else not row.memory_id, "it names no memory, or should not")
        require(self._last_us <= row.recorded_at_us <= self._latest_us, "its time goes back, or lies in the future")
        if row.principal or self._history:
            try:
                check_principal_id(row.principal)
            except InvalidRequest as error:
                raise Broken("its principal is none") from error
        return type

    def _payload(self, row: ArchivedEvent, type: EventType) -> dict[str, Any]:
        content = row.content
        limit = RECEIPT_BYTES if type is EventType.ERASURE_COMPLETED else CONTENT_BYTES
        require(content is not None, "its content is missing")
        if content is None or len(content) > limit:
            raise Broken(f"its content is over {limit} bytes")
        require(
            type is EventType.MEMORY_ERASED or row.memory_id not in self._erasures.doomed,
            "it holds content of a memory that was erased",
        )
        try:
            payload = payload_of(content)
        except ValueError as error:
            raise Broken(f"its content cannot be taken in: {error}") from error
        require(not is_deeper(payload, DEPTH), f"its content is nested deeper than {DEPTH}")
        return payload

    def _check_names(self, row: ArchivedEvent, payload: Payload, state: CubeState) -> None:
        """What it names of another cube must not become its own by the id that the import takes."""
        if state.cube_id != self._origin and row.content is not None and state.cube_id.encode() in row.content:
            try:
                named = names_cube(payload, state.cube_id)
            except (TypeError, KeyError, IndexError, AttributeError):
                return  # the rule of its type says what is wrong with it
            require(not named, f"it is derived from another cube {state.cube_id!r}: import it under another id")


def _created(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    require(set(payload) == {"owner", "name", "policy"}, "a creation has an owner, a name and a policy")
    require(is_label(payload["owner"]) and is_label(payload["name"]), "its owner or name is no text")
    _policy(payload["policy"], ground.kinds)


def _configured(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    require(bool(payload) and set(payload) <= {"name", "policy"}, "it changes something else than name and policy")
    require(is_label(payload.get("name", "")), "its name is no text")
    if "policy" in payload:
        _policy(payload["policy"], ground.kinds)


def _policy(policy: Any, kinds: Sequence[str]) -> None:
    """Raises what a policy that this build does not honour raises: it would be a promise that nobody keeps."""
    try:
        whole = merged_policy({}, policy, kinds) if isinstance(policy, dict) else None
    except UnknownEntityKind as unknown:
        raise UnknownEntityKind(
            f"the archive is refused: {unknown.detail}. Configure recognizers for them in redaction.recognizers of the "
            "profile, or take them out of the cube's policy and export it without history",
            **unknown.facts,
        ) from unknown
    except MemosError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise Broken("its policy is none") from error
    require(whole == policy, "its policy is not whole")


def _added(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    state, history = ground.state, ground.history
    require(state.find(row.memory_id) is None, "it adds a memory that is there already")
    require(row.memory_version == 1 if history else row.memory_version >= 1, "a memory begins with version 1")
    require({"form", "type", "state", "text"} <= set(payload), "it lacks form, type, state or text")
    _fields(payload, frozenset(FIELDS))
    links = payload.get("links", {})
    require(bool(links.get("into")) == (payload["state"] == State.MERGED.value), "what is merged names what it is in")
    if history and links.get("into") and not ground.erasures.knew(links["into"]):
        into = state.find(links["into"])
        require(into is not None and into.state is State.ACTIVATED, "what it is merged into does not stand")


def _changed(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    memory = _existing(row, ground.state)
    require(memory.state not in (State.FROZEN, State.MERGED), f"it changes a memory that is {memory.state}")
    require(row.memory_version == memory.version + 1, f"the memory's version should be {memory.version + 1}")
    require({"set", "unset"} <= set(payload) <= {"set", "unset", "reason"}, "a change sets and unsets fields")
    require(is_object(payload["set"]) and are_labels(payload["unset"]), "what it sets or unsets cannot be read")
    require(is_label(payload.get("reason", "")), "its reason is no text")
    _fields(payload["set"], CHANGEABLE)
    require(set(payload["unset"]) <= CHANGEABLE - {"text", "type"}, "it unsets what a memory has to have")


def _moved(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    memory = _existing(row, ground.state)
    require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    require(set(payload) == {"from", "to", "reason"} and is_label(payload["reason"]), "it is no transition")
    require(payload["from"] == memory.state.value, f"the memory is {memory.state}")
    require(State.MERGED.value not in (payload["from"], payload["to"]), "it merges or splits")
    require(
        payload["to"] in {to.value for to in TRANSITIONS[memory.state]},
        f"a memory that is {memory.state} cannot become {shown(str(payload['to']))}",
    )


def _merged(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    memory, into = _existing(row, ground.state), ground.state.find(str(payload.get("into", "")))
    require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    require(set(payload) <= {"into", "into_version", "kind", "reason", "similarity"}, "it is no merge")
    require(
        are_links({name: payload[name] for name in ("into", "into_version", "kind") if name in payload}), "no merge"
    )
    require(is_label(payload.get("reason", "")), "its reason is no text")
    require(memory.state is State.ACTIVATED, "it merges what is not activated")
    if not ground.erasures.knew(str(payload.get("into", ""))):
        require(into is not None and into.state is State.ACTIVATED, "it merges into what is not activated")
        require(into is not None and into.id != memory.id, "it merges a memory into itself")


def _split(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    memory = _existing(row, ground.state)
    require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    require(memory.state is State.MERGED, f"it splits a memory that is {memory.state}")
    require(set(payload) == {"out_of", "reason"} and is_label(payload["reason"]), "it is no split")
    require(payload["out_of"] == memory.links.into, "the memory is merged into another one")


def _linked(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    memory = _existing(row, ground.state)
    require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    require(memory.state is not State.FROZEN, "it links a frozen memory")
    require({"contradicts"} <= set(payload) <= {"contradicts", "similarity", "reason"}, "it is no link")
    require(are_labels(payload["contradicts"]) and is_label(payload.get("reason", "")), "it cannot be read")


def _screened(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    memory = _existing(row, ground.state)
    require(row.memory_version == memory.version, f"the memory's version should be {memory.version}")
    require(set(payload) == {"screening"} and is_screening(payload["screening"]), "it is no screening")


def _rolled_back(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    state, doomed = ground.state, ground.erasures.doomed
    require({"to"} <= set(payload) <= {"to", "kept", "reason"}, "it is no rollback")
    to = payload["to"]
    require(is_time(to) and 0 <= to <= state.version, "it goes back to no version of the cube")
    require(are_labels(payload.get("kept", [])) and is_label(payload.get("reason", "")), "it cannot be read")
    said = [memory_id for memory_id in payload.get("kept", []) if memory_id not in doomed]
    kept = [each.before for each in restored(state.history, to, row.recorded_at_us) if each.kept]
    if doomed:  # what was tied to them may have been held: the frozen ones were, whatever else is gone
        require(all(memory_id in state.history for memory_id in said), "it keeps what was never added")
        kept = [memory for memory in kept if memory.state is State.FROZEN]
        said = [memory_id for memory_id in said if state.history[memory_id][-1][1].state is State.FROZEN]
    require(said == [memory.id for memory in kept], "it keeps other memories than those that are held")


def _erased(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    ground.erasures.check_tombstone(row, payload)


def _completed(row: ArchivedEvent, payload: Payload, ground: Ground) -> None:
    ground.erasures.check_receipt(payload, ground.origin, ground.state.erased)


def check_merges(state: CubeState) -> None:
    """Raises ArchiveRefused when memories of the fold are merged into each other in a circle."""
    checked: set[str] = set()
    for memory_id in state.history:
        path: dict[str, None] = {}
        while memory_id in state.history and memory_id not in checked:
            if memory_id in path:
                raise refused(f"memory {memory_id} is merged into itself, through others or not", "event")
            path[memory_id] = None
            memory_id = state.history[memory_id][-1][1].links.into
        checked.update(path)


def _existing(row: ArchivedEvent, state: CubeState) -> Memory:
    memory = state.find(row.memory_id)
    if memory is None:
        raise Broken("it is about a memory that was never added")
    return memory


def _fields(fields: Payload, allowed: frozenset[str]) -> None:
    for name, value in fields.items():
        require(name in allowed, f"a memory has no field {shown(name)} that it could set")
        require(FIELDS[name](value), f"its {name} is not one, or too large")


_ABOUT: Mapping[EventType, Callable[[ArchivedEvent, Payload, Ground], None]] = {
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
    EventType.MEMORY_ERASED: _erased,
    EventType.ERASURE_COMPLETED: _completed,
}
"""Every type that an archive may hold, and what is asked of an event of it."""

_TAKEN = frozenset(type.value for type in _ABOUT)
