"""The events of an archive: what is written of an event, and which events are taken in. Pure.

Left out is what belongs to one instance: hashes, salts, ids of requests, idempotency keys. What is written of an event
is the same wherever the cube was imported to and exported from again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from actors.memory.archive_names import renamed
from actors.memory.cube import CubeState
from actors.memory.events import Event, EventType, encode_content
from actors.memory.item import Memory, to_fields


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """What an archive holds of an event. `content` is canonical JSON, None where it was erased."""

    version: int
    type: str
    memory_id: str
    memory_version: int
    recorded_at_us: int
    principal: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Import:
    """Where a cube came from: what its first event records in place of the creation that the archive holds.

    `archive` is the archive's digest, `cube_id` the cube where the history began; `principal` and `content` are of the
    event that created that one.
    """

    archive: str
    cube_id: str
    history: bool
    principal: str
    content: Mapping[str, Any]
    imported_at_us: int
    imported_by: str

    def to_payload(self, owner: str) -> dict[str, Any]:
        """The payload of `cube.imported`: a creation, owned by who imported it, and where it came from."""
        return {
            "owner": owner,
            "name": self.content.get("name", ""),
            "policy": self.content.get("policy", {}),
            "imported_at_us": self.imported_at_us,
            "imported_by": self.imported_by,
            "archive": self.archive,
            "origin": {
                "cube": self.cube_id,
                "history": self.history,
                "principal": self.principal,
                "content": dict(self.content),
            },
        }


def origin_of(state: CubeState) -> str:
    """The cube where a cube's history began: itself, unless it was imported."""
    origin: str = state.imported.get("origin", {}).get("cube", state.cube_id)
    return origin


def archived(event: Event, origin: str) -> ArchivedEvent:
    """What an archive with history holds of an event, which names its own cube as the one where the history began."""
    type, principal = event.type.value, event.principal
    payload = renamed(event.payload(), event.cube_id, origin)
    if event.type is EventType.CUBE_FORKED:  # what came before it is in the archive: it is one more change
        type, payload = EventType.CUBE_CHANGED.value, {name: payload[name] for name in ("name", "policy")}
    if event.type is EventType.CUBE_IMPORTED:
        created = payload["origin"]
        type, principal, payload = EventType.CUBE_CREATED.value, created["principal"], created["content"]
    return ArchivedEvent(
        version=event.version,
        type=type,
        memory_id=event.memory_id,
        memory_version=event.memory_version,
        recorded_at_us=event.recorded_at_us,
        principal=principal,
        content=None if event.content is None else encode_content(payload),
    )


def standing(state: CubeState, version: int) -> list[Memory]:
    """The memories of a cube as they stood at a version, in the order in which an archive without history adds them:
    by time of record, which never goes back from one event to the next.
    """
    return sorted(state.memories(version), key=lambda memory: (memory.recorded_at_us, memory.id))


def squashed(state: CubeState, version: int, memories: Iterable[Memory]) -> Iterator[ArchivedEvent]:
    """What an archive without history holds: the creation of the cube, then every memory added once, as it stands. The
    memories that a fork has of its origin are older than the fork itself: the creation is as old as the oldest memory.
    """
    held = list(memories)
    created_at_us = min([state.created_at_us, *(memory.recorded_at_us for memory in held[:1])])
    _, name, policy = max(meta for meta in state.meta_history if meta[0] <= version)
    origin = state.imported.get("origin")
    owner = state.owner if origin is None else origin["content"].get("owner", "")
    content = encode_content({"owner": owner, "name": name, "policy": policy})
    yield ArchivedEvent(1, EventType.CUBE_CREATED.value, "", 0, created_at_us, "", content)
    for number, memory in enumerate(held, start=2):
        yield ArchivedEvent(
            version=number,
            type=EventType.MEMORY_ADDED.value,
            memory_id=memory.id,
            memory_version=memory.version,
            recorded_at_us=memory.recorded_at_us,
            principal="",
            content=encode_content(renamed(to_fields(memory), state.cube_id, origin_of(state))),
        )


def payload_of(content: bytes) -> dict[str, Any]:
    """The payload that an archive holds. Raises ValueError unless it is an object in canonical JSON."""
    try:
        payload = json.loads(content, parse_constant=_refuse_constant)
        same = isinstance(payload, dict) and encode_content(payload) == content
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not same:
        raise ValueError("it is not an object in canonical JSON")
    return dict(payload)


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
