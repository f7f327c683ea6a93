"""Search filters: the `filter` object of a request, checked and turned into a predicate over memories.

    {"type": "fact", "tags": ["a", "b"], "occurred_at": {"gte": "2023-05-01T00:00:00Z"}}     all must hold
    {"any": [{"speaker": "Caroline"}, {"metadata.topic": {"contains": "art"}}]}              one must hold

A list of values means any of them. A field with several values (tags, a list in the metadata) equals a
value when it holds it. A comparison between kinds that do not compare does not match; it is no error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from actors.errors import InvalidRequest
from actors.memory.item import Memory
from actors.memory.lifecycle import State

Predicate = Callable[[Memory], bool]
Match = Callable[[Any], bool]
"""Whether a field's value (None when the memory has none) satisfies a condition."""

MAX_DEPTH = 8
MAX_CONDITIONS = 200
"""Conditions and list entries of one filter, all together."""

FIELDS = (
    *("type", "tags", "state", "speaker", "session", "occurred_at", "recorded_at"),
    *("valid_from", "valid_to", "valid_at", "expires_at", "metadata.KEY"),
)
OPERATORS = ("gte", "lte", "gt", "lt", "ne", "contains")

_READERS: dict[str, Callable[[Memory], Any]] = {
    "type": lambda m: m.type,
    "tags": lambda m: m.tags,
    "state": lambda m: m.state.value,
    "speaker": lambda m: m.speaker,
    "session": lambda m: m.session,
    "occurred_at": lambda m: m.occurred_at_us,
    "recorded_at": lambda m: m.recorded_at_us,
    "valid_from": lambda m: m.valid_from_us,
    "valid_to": lambda m: m.valid_to_us,
    "expires_at": lambda m: m.expires_at_us,
}
_TIMES = frozenset({"occurred_at", "recorded_at", "valid_from", "valid_to", "valid_at", "expires_at"})
_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})")


def parse_filter(spec: Mapping[str, Any]) -> Predicate:
    """The predicate that `spec` describes; an empty one matches every memory.

    Raises InvalidRequest for an unknown field or operator (naming the known ones), for a value that the
    field cannot have, and for a filter that is too deep or too long.
    """
    return _Parser().all_of(spec, 1)


class _Parser:
    """Counts what one filter asks for while parsing it."""

    def __init__(self) -> None:
        self._conditions = 0

    def all_of(self, spec: Any, depth: int) -> Predicate:
        if not isinstance(spec, Mapping):
            raise InvalidRequest(f"a filter must be an object of field: condition, not {_shown(spec)}")
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"a filter may be nested {MAX_DEPTH} deep at most")
        parts = [self._part(name, condition, depth) for name, condition in spec.items()]
        if len(parts) == 1:
            return parts[0]
        return lambda memory: all(part(memory) for part in parts)

    def _part(self, name: str, condition: Any, depth: int) -> Predicate:
        self._count(1)
        if name == "any":
            return self._any_of(condition, depth)
        if name == "valid_at":
            return self._valid_at(condition)
        read, match = _reader(name), self._match(name, condition)
        return lambda memory: match(read(memory))

    def _valid_at(self, condition: Any) -> Predicate:
        """Whether a memory is true at a time, or at some time of an interval that `gte` or `gt` and `lte` or `lt`
        bound. A memory without valid_from always was, one without valid_to always will be.
        """
        if not isinstance(condition, Mapping):
            condition = {"gte": condition, "lte": condition}
        unknown = sorted(set(condition) - {"gte", "gt", "lte", "lt"})
        if unknown or not condition:
            raise InvalidRequest("filter on 'valid_at': give a time, or an interval by gte, gt, lte and lt")
        self._count(len(condition))
        times = {operator: _time_us("valid_at", value) for operator, value in condition.items()}
        first = max([times.get("gte", _EVER), times.get("gt", _EVER - 1) + 1])
        last = min([times.get("lte", -_EVER), times.get("lt", 1 - _EVER) - 1])
        if first > last:
            raise InvalidRequest("filter on 'valid_at': the interval ends before it begins")
        return lambda memory: _valid_within(memory, first, last)

    def _any_of(self, branches: Any, depth: int) -> Predicate:
        if not isinstance(branches, Sequence) or isinstance(branches, str) or not branches:
            raise InvalidRequest('"any" in a filter must be a list of one or more filter objects')
        parts = [self.all_of(branch, depth + 1) for branch in branches]
        return lambda memory: any(part(memory) for part in parts)

    def _match(self, name: str, condition: Any) -> Match:
        if isinstance(condition, Mapping):
            if not condition:
                raise InvalidRequest(f"filter on {name!r}: an empty object says nothing; use {_known(OPERATORS)}")
            tests = [self._operator(name, operator, value) for operator, value in condition.items()]
            return lambda held: all(test(held) for test in tests)
        if isinstance(condition, Sequence) and not isinstance(condition, str):
            self._count(len(condition))
            wanted = [_value(name, value) for value in condition]
            return lambda held: any(_equal(held, value) for value in wanted)
        only = _value(name, condition)
        return lambda held: _equal(held, only)

    def _operator(self, name: str, operator: str, value: Any) -> Match:
        self._count(1)
        if operator not in OPERATORS:
            raise InvalidRequest(f"filter on {name!r}: unknown operator {operator!r}; known: {_known(OPERATORS)}")
        if operator == "contains":
            if name in _TIMES:
                raise InvalidRequest(f"filter on {name!r}: a time contains nothing; use gte, lte, gt, lt or ne")
            part = _scalar(name, value)
            return lambda held: _contains(held, part)
        wanted = _value(name, value)
        if operator == "ne":
            return lambda held: not _equal(held, wanted)
        compare = _COMPARISONS[operator]
        return lambda held: _comparable(held, wanted) and compare(held, wanted)

    def _count(self, number: int) -> None:
        self._conditions += number
        if self._conditions > MAX_CONDITIONS:
            raise InvalidRequest(f"a filter may hold {MAX_CONDITIONS} conditions and values at most")


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "gte": lambda held, wanted: bool(held >= wanted),
    "lte": lambda held, wanted: bool(held <= wanted),
    "gt": lambda held, wanted: bool(held > wanted),
    "lt": lambda held, wanted: bool(held < wanted),
}


_EVER = -(1 << 62)
"""Before every time, in microseconds; its negative is after."""


def _valid_within(memory: Memory, first_us: int, last_us: int) -> bool:
    """Whether a memory is true at some time from `first_us` to `last_us`, both included; its own end is not."""
    begins = memory.valid_from_us is None or memory.valid_from_us <= last_us
    return begins and (memory.valid_to_us is None or memory.valid_to_us > first_us)


def _reader(name: str) -> Callable[[Memory], Any]:
    if name in _READERS:
        return _READERS[name]
    if name == "entity":
        raise InvalidRequest("filter on 'entity' needs the graph channel, which is not available yet")
    prefix, _, key = name.partition(".")
    if prefix != "metadata" or not key:
        raise InvalidRequest(f'unknown filter field {_shown(name)}; known: {_known(FIELDS)}, and "any"')
    return lambda memory: _metadata(memory.metadata, key)


def _metadata(metadata: Mapping[str, Any], key: str) -> Any:
    """The value under `key` itself or, when there is none, along its dotted parts."""
    if key in metadata:
        return metadata[key]
    value: Any = metadata
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _value(name: str, value: Any) -> Any:
    """What a condition compares a field with: microseconds for a time, else the JSON value itself."""
    if name in _TIMES:
        return None if value is None else _time_us(name, value)
    scalar = _scalar(name, value)
    if name == "state" and scalar not in {state.value for state in State}:
        raise InvalidRequest(f"filter on 'state': unknown state {_shown(value)}; known: {_known(list(State))}")
    return scalar


def _scalar(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise InvalidRequest(f"filter on {name!r}: expected a text, number, true, false or null, not {_shown(value)}")


def _time_us(name: str, value: Any) -> int:
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper().replace(" ", "T"))
            whole = int(moment.replace(microsecond=0).timestamp())
        except (ValueError, OverflowError):
            pass
        else:
            return whole * 1_000_000 + moment.microsecond
    raise InvalidRequest(f"filter on {name!r}: {_shown(value)} is not an RFC 3339 time such as 2023-05-08T13:56:00Z")


def _equal(held: Any, wanted: Any) -> bool:
    if isinstance(held, list | tuple):
        return any(_equal(part, wanted) for part in held)
    return isinstance(held, bool) == isinstance(wanted, bool) and bool(held == wanted)


def _contains(held: Any, part: Any) -> bool:
    if isinstance(held, str):
        return isinstance(part, str) and part.casefold() in held.casefold()
    return isinstance(held, list | tuple) and _equal(held, part)


def _comparable(held: Any, wanted: Any) -> bool:
    if isinstance(held, str):
        return isinstance(wanted, str)
    return _is_number(held) and _is_number(wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _known(names: Sequence[str]) -> str:
    return ", ".join(names)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
