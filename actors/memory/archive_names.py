"""A cube's own id in the contents of its events: an archive has that of the cube where the history began. Pure.

So a memory that was derived from another of its cube is so wherever the cube is imported to, and goes when that one is
erased.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DERIVED_FROM = "derived_from"


def renamed(payload: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """The payload of an event about a memory, with `new` where it names the cube `old`."""
    result = {**payload}
    if DERIVED_FROM in payload:
        result[DERIVED_FROM] = _renamed(payload[DERIVED_FROM], old, new)
    changed = payload.get("set")
    if isinstance(changed, Mapping) and DERIVED_FROM in changed:
        result["set"] = {**changed, DERIVED_FROM: _renamed(changed[DERIVED_FROM], old, new)}
    return result


def names_cube(payload: Mapping[str, Any], cube_id: str) -> bool:
    """Whether an event says that its memory is derived from one of a cube."""
    changed = payload.get("set")
    said = [*payload.get(DERIVED_FROM, ()), *(changed.get(DERIVED_FROM, ()) if isinstance(changed, Mapping) else ())]
    return any(named[0] == cube_id for named in said)


def _renamed(references: Any, old: str, new: str) -> list[list[Any]]:
    return [[new if cube_id == old else cube_id, *rest] for cube_id, *rest in references]
