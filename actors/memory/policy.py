"""A cube's policy: what is done with what enters it and what becomes of it over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.errors import InvalidRequest, PolicyUnavailable
from actors.memory.retention import MAX_DAYS

Policy = dict[str, dict[str, Any]]

DEFAULTS: Policy = {
    "redaction": {"mode": "off", "entities": []},
    "retention": {"archive_after_days": None, "erase_after_days": None},
    "promotion": {"enabled": False},
    "distillation": {"enabled": False},
    "audit": {"queries": "digest"},
}

_NEUTRAL: Policy = {part: DEFAULTS[part] for part in DEFAULTS if part != "retention"}
"""What this build can honour of the other parts: each at its default. A policy is a promise, so a setting without
an effect is refused instead of stored."""


_CHOICES: dict[tuple[str, str], tuple[Any, ...]] = {("audit", "queries"): ("digest", "text")}
"""Settings with more than one value that this build honours."""


def keeps_queries(policy: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the audit keeps the texts of a cube's queries, not their digests alone."""
    return policy.get("audit", {}).get("queries") == "text"


def merged_policy(current: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any]) -> Policy:
    """`current` with `changes` laid over it, part by part; unknown names and unhonoured values are refused."""
    result: Policy = {part: {**DEFAULTS[part], **current.get(part, {})} for part in DEFAULTS}
    for part, settings in changes.items():
        if part not in DEFAULTS:
            raise InvalidRequest(f"unknown policy part {part!r}; known: {', '.join(DEFAULTS)}")
        if not isinstance(settings, Mapping):
            raise InvalidRequest(f"policy part {part!r} must be an object")
        for name, value in settings.items():
            if name not in DEFAULTS[part]:
                raise InvalidRequest(f"unknown setting {part}.{name}; known: {', '.join(DEFAULTS[part])}")
            choices = _CHOICES.get((part, name))
            if choices is not None and value not in choices:
                raise InvalidRequest(f"{part}.{name} must be one of: {', '.join(choices)}")
            if part == "retention":
                _check_days(name, value)
            elif choices is None and value != _NEUTRAL[part][name]:
                raise PolicyUnavailable(
                    f"{part}.{name} = {value!r} is not available; only {_NEUTRAL[part][name]!r} is",
                    part=part,
                    setting=name,
                )
            result[part][name] = value
    return result


def _check_days(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_DAYS:
        raise InvalidRequest(f"retention.{name} must be a number of days, 0 to {MAX_DAYS}, or null", part="retention")
