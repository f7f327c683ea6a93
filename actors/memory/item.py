"""A memory at one moment, and how an event makes the next moment of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any

from actors.memory.events import Event, EventType
from actors.memory.lifecycle import RETRIEVABLE, State
from actors.memory.links import UNLINKED, Absorption, Links, links_from
from actors.memory.redaction import hidden
from actors.memory.screening import Screening


class Form(StrEnum):
    PLAINTEXT = "plaintext"
    ACTIVATION = "activation"
    PARAMETRIC = "parametric"


class Kind(StrEnum):
    """What a memory holds (`type` at the edge)."""

    MESSAGE = "message"
    FACT = "fact"
    PREFERENCE = "preference"
    DOCUMENT = "document"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Reference:
    """A version of a memory, in whatever cube."""

    cube_id: str
    memory_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory as it stood after an event. Times are microseconds since the epoch, UTC.

    `version` counts the memory's own contents from 1; a change of state alone keeps it.
    `occurred_at_us` is when it was true (valid time), `recorded_at_us` when this content was recorded.
    """

    id: str
    cube_id: str
    version: int
    form: Form
    type: str
    state: State
    text: str
    recorded_at_us: int
    role: str = ""
    speaker: str = ""
    session: str = ""
    ref: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    occurred_at_us: int | None = None
    valid_from_us: int | None = None
    valid_to_us: int | None = None
    expires_at_us: int | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    derived_from: tuple[Reference, ...] = ()
    links: Links = UNLINKED
    reason: str = ""
    """Why the event happened that made this of it, in the words of who did it; empty when none were given."""
    sources: int = 1
    """How often it was said: itself, and the duplicates merged into it. Counted when it is read, never stored."""
    screening: Screening | None = None
    """What personal data was found in it; None when nobody looked."""

    @property
    def retrievable(self) -> bool:
        return self.state in RETRIEVABLE and bool(self.text)

    @property
    def indexed_text(self) -> str:
        """What the indexes hold of it: the text, with the speaker's name before it, which questions ask by. What was
        found in it is masked, so that nobody finds by searching what they may not read.
        """
        text, speaker = self.text, self.speaker
        if self.screening is not None and self.screening.findings:
            masked = hidden({"text": text, "speaker": speaker}, self.screening.findings)
            text, speaker = masked["text"], masked["speaker"]
        return f"{speaker}: {text}" if speaker else text


_NAMES = tuple(each.name for each in fields(Memory))
_values: Callable[[Memory], tuple[Any, ...]] = attrgetter(*_NAMES)
_PUT: dict[str, Callable[[Memory, Any], None]] = {name: vars(Memory)[name].__set__ for name in _NAMES}
_PUT_EACH = tuple(_PUT.values())


def copied(memory: Memory, **changed: Any) -> Memory:
    """The memory with these fields in place of its own: `dataclasses.replace` in less than half its time, for the tens
    of thousands that one event may change. Values go into the slots without passing the constructor.
    """
    made = object.__new__(Memory)
    for put, value in zip(_PUT_EACH, _values(memory), strict=True):
        put(made, value)
    for name, value in changed.items():
        _PUT[name](made, value)
    return made


def to_fields(memory: Memory) -> dict[str, Any]:
    """The memory as JSON values; defaults are left out. `from_fields` is the inverse."""
    said: dict[str, Any] = {
        "form": memory.form.value,
        "type": memory.type,
        "state": memory.state.value,
        "text": memory.text,
    }
    for name in _OPTIONAL:
        value = getattr(memory, name)
        if value not in (None, "", (), {}):
            said[name] = value
    if memory.tags:
        said["tags"] = list(memory.tags)
    if memory.derived_from:
        said["derived_from"] = [[r.cube_id, r.memory_id, r.version] for r in memory.derived_from]
    if memory.links is not UNLINKED and memory.links != UNLINKED:
        said["links"] = memory.links.to_fields()
    if memory.screening is not None:
        said["screening"] = memory.screening.to_json()
    return said


_OPTIONAL = (
    "role",
    "speaker",
    "session",
    "ref",
    "metadata",
    "occurred_at_us",
    "valid_from_us",
    "valid_to_us",
    "expires_at_us",
    "source",
    "reason",
)


_REPEATED = ("role", "speaker", "session")
"""Optional fields whose values many memories have: one string serves them all."""

_NONE: Mapping[str, Any] = {}
"""The empty mapping of every memory without one."""


@lru_cache(maxsize=65_536)
def _shared(text: str) -> str:
    """The same string object for equal strings."""
    return text


def from_fields(fields: Mapping[str, Any], *, id: str, cube_id: str, version: int, recorded_at_us: int) -> Memory:
    optional = {name: fields[name] for name in _OPTIONAL if name in fields}
    for name in _REPEATED:
        if name in optional:
            optional[name] = _shared(optional[name])
    return Memory(
        id=id,
        cube_id=_shared(cube_id),
        version=version,
        form=Form(fields.get("form", Form.PLAINTEXT)),
        type=_shared(fields.get("type", Kind.NOTE.value)),
        state=State(fields.get("state", State.ACTIVATED)),
        text=fields.get("text", ""),
        recorded_at_us=recorded_at_us,
        tags=tuple(map(_shared, fields.get("tags", ()))),
        derived_from=tuple(Reference(*r) for r in fields.get("derived_from", ())),
        links=links_from(fields.get("links")),
        screening=Screening.from_json(fields["screening"]) if "screening" in fields else None,
        **{"metadata": _NONE, "source": _NONE, **optional},
    )


def owned(memory: Memory, cube_id: str) -> Memory:
    """The memory as one of another cube, a fork of its own: what it names of its cube, it names of that one."""
    if memory.cube_id == cube_id:
        return memory
    named = tuple(
        replace(reference, cube_id=cube_id) if reference.cube_id == memory.cube_id else reference
        for reference in memory.derived_from
    )
    return copied(memory, cube_id=cube_id, derived_from=named)


def evolve(memory: Memory | None, event: Event) -> Memory:
    """The memory after `event`; `memory` is what it was before, None when the event adds it.

    Pure and total over well-formed events; both the fold and a pending draft stand on it.
    """
    payload = event.payload()
    if event.type is EventType.MEMORY_ADDED or memory is None:
        return from_fields(
            payload,
            id=event.memory_id,
            cube_id=event.cube_id,
            version=event.memory_version,
            recorded_at_us=event.recorded_at_us,
        )
    memory = owned(memory, event.cube_id)
    if event.type is EventType.MEMORY_CHANGED:
        merged = {**to_fields(memory), **payload.get("set", {})}
        for name in ("reason", *payload.get("unset", ())):
            merged.pop(name, None)
        if payload.get("reason"):
            merged["reason"] = payload["reason"]
        return from_fields(
            merged,
            id=memory.id,
            cube_id=memory.cube_id,
            version=event.memory_version,
            recorded_at_us=event.recorded_at_us,
        )
    if event.type is EventType.MEMORY_SCREENED:
        return replace(memory, screening=Screening.from_json(payload["screening"])) if payload else memory
    if event.type is EventType.MEMORY_TRANSITIONED:
        return replace(memory, state=State(payload.get("to", memory.state)), reason=payload.get("reason", ""))
    return _linked(memory, event.type, payload)


def _linked(memory: Memory, type: EventType, payload: Mapping[str, Any]) -> Memory:
    """The memory after an event about its ties to others."""
    reason = payload.get("reason", "")
    if type is EventType.MEMORY_MERGED:
        links = memory.links.absorbed(
            payload["into"], payload.get("into_version", 1), Absorption(payload.get("kind", Absorption.DUPLICATE))
        )
        return replace(memory, state=State.MERGED, links=links, reason=reason)
    if type is EventType.MEMORY_SPLIT:
        return replace(memory, state=State.ACTIVATED, links=memory.links.released(), reason=reason)
    if type is EventType.MEMORY_LINKED:
        return replace(memory, links=memory.links.contradicting(payload.get("contradicts", ())), reason=reason)
    return memory
