"""What a field of a memory may hold in an archive: shapes and sizes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actors.memory.item import Form
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.screening import Screening

TEXT_BYTES = 128 << 10
LABEL_CHARS = 1024
ITEMS = 4096
DEPTH = 32

Check = Callable[[Any], bool]


def is_label(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LABEL_CHARS


def is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) <= TEXT_BYTES


def is_time(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 60


def are_labels(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= ITEMS and all(map(is_label, value))


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def are_references(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= ITEMS
        and all(
            isinstance(r, list) and len(r) == 3 and is_label(r[0]) and is_label(r[1]) and is_time(r[2]) for r in value
        )
    )


def are_links(value: Any) -> bool:
    if not isinstance(value, dict) or not set(value) <= {"into", "into_version", "kind", "contradicts"}:
        return False
    tied = is_label(value.get("into", "")) and is_time(value.get("into_version", 0))
    known = value.get("kind", Absorption.DUPLICATE.value) in set(Absorption)
    return tied and known and are_labels(value.get("contradicts", []))


def is_screening(value: Any) -> bool:
    try:
        return bool(Screening.from_json(value).to_json() == value)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        return False


FIELDS: Mapping[str, Check] = {
    "form": lambda value: value == Form.PLAINTEXT.value,
    "state": lambda value: value in set(State),
    "text": is_text,
    "metadata": is_object,
    "source": is_object,
    "tags": are_labels,
    "derived_from": are_references,
    "links": are_links,
    "screening": is_screening,
    "reason": is_label,
    **dict.fromkeys(("type", "role", "speaker", "session", "ref"), is_label),
    **dict.fromkeys(("occurred_at_us", "valid_from_us", "valid_to_us", "expires_at_us"), is_time),
}
"""What a memory may be recorded with."""

CHANGEABLE = frozenset(FIELDS) - {"form", "state", "links", "reason"}


def is_deeper(value: Any, depth: int) -> bool:
    """Whether a JSON value is nested deeper than `depth`."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for held in level
            if isinstance(held, dict | list)
            for inner in (held.values() if isinstance(held, dict) else held)
        ]
        if not level:
            return False
    return True
