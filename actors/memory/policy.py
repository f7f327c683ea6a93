"""A cube's policy: what is done with what enters it and what becomes of it over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actors.errors import InvalidRequest, PolicyUnavailable, UnknownEntityKind
from actors.memory.screening import KINDS, KINDS_BY_NAME, RedactionMode

MAX_DAYS = 36_500

Policy = dict[str, dict[str, Any]]

DEFAULTS: Policy = {
    "redaction": {"mode": "off", "entities": []},
    "retention": {"archive_after_days": None, "erase_after_days": None},
    "promotion": {"enabled": False},
    "distillation": {"enabled": False},
    "audit": {"queries": "digest"},
}

_NEUTRAL: Policy = DEFAULTS
"""What this build can honour of the parts without a check of their own: the default. A policy is a promise, so a
setting without an effect is refused instead of stored."""

_CHOICES: dict[tuple[str, str], tuple[Any, ...]] = {("audit", "queries"): ("digest", "text")}
"""Settings with more than one value that this build honours."""

ENTITIES = (*KINDS, *KINDS_BY_NAME)
"""The kinds of entities that a policy may name where a profile adds none."""

MAX_ENTITIES = 64


def keeps_queries(policy: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the audit keeps the texts of a cube's queries, not their digests alone."""
    return policy.get("audit", {}).get("queries") == "text"


def merged_policy(
    current: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any], entities: Sequence[str] = ENTITIES
) -> Policy:
    """`current` with `changes` laid over it, part by part; unknown names and unhonoured values are refused.

    `entities` are the kinds that a redaction may name.
    """
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
            elif part == "redaction":
                value = _redaction(name, value, entities)
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


def _redaction(name: str, value: Any, known: Sequence[str]) -> Any:
    """A setting of the redaction, checked; entities without repetitions, sorted."""
    if name == "mode":
        modes = [mode.value for mode in RedactionMode]
        if value not in modes:
            raise InvalidRequest(
                f"redaction.mode must be one of {', '.join(modes)}", field="redaction.mode", known=modes
            )
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(kind, str) for kind in value):
        raise InvalidRequest(
            "redaction.entities must be a list of kinds", field="redaction.entities", known=list(known)
        )
    unknown = sorted({kind[:64] for kind in value} - set(known))[:10]
    if unknown or len(value) > MAX_ENTITIES:
        said = ", ".join(unknown) or f"more than {MAX_ENTITIES}"
        raise UnknownEntityKind(
            f"unknown kind of entity in redaction.entities: {said}; known: {', '.join(known)}",
            field="redaction.entities",
            unknown=unknown,
            known=list(known),
        )
    return sorted(set(value))
