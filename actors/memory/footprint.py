"""What a cube's state takes in memory: estimates that the budget of a host adds up.

The constants were fitted to what CPython 3.11 allocates (`tracemalloc`) for conversational turns of 127 characters:
the estimate is within 15% of it, above rather than below (`tests/unit/test_footprint.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.memory.events import Event
from actors.memory.item import Memory

CUBE_BYTES = 4_000
"""A cube without memories: its tables, policy and locks."""

OUTCOME_BYTES = 600
"""A remembered idempotency key."""

EVENT_BYTES = 8
"""An event's record time."""

_REVISION_BYTES = 420
"""A memory's object and its numbers, without its strings, in the history."""

_ROW_BYTES = 250
"""Its places in the tables of memories and rows."""

_EVENT_OBJECT_BYTES = 1_000
"""An event without its content: its object, ids, salt and hashes."""

_STRING_BYTES = 52
_WIDE = 4
"""Bytes a character of a string with one outside of the Basic Multilingual Plane, as many short messages have."""


def memory_bytes(memory: Memory) -> int:
    """Of one revision of a memory. What many memories share counts nothing."""
    size = _REVISION_BYTES + _ROW_BYTES + _string(memory.text) + _string(memory.ref)
    if memory.metadata:
        size += value_bytes(memory.metadata)
    if memory.source:
        size += value_bytes(memory.source)
    if memory.reason:
        size += _string(memory.reason)
    if memory.screening is not None and memory.screening.findings:
        size += 100 + 200 * len(memory.screening.findings)
    return size + 8 * len(memory.tags) + 200 * len(memory.derived_from)


def event_bytes(event: Event) -> int:
    """Of an event that is kept beside its cube."""
    return _EVENT_OBJECT_BYTES + (0 if event.content is None else len(event.content))


def value_bytes(value: Any) -> int:
    """Of a JSON value."""
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return 184 + sum(20 + value_bytes(held) for held in value.values())
    if isinstance(value, list | tuple):
        return 72 + sum(8 + value_bytes(held) for held in value)
    return 32


def _string(text: str) -> int:
    return _STRING_BYTES + (len(text) if text.isascii() else _WIDE * len(text))
