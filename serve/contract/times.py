"""Times at the edge: RFC 3339 outside, microseconds since the epoch, UTC, inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from actors.errors import InvalidRequest
from actors.memory.requests import Moment

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_VERSION = re.compile(r"[0-9]{1,18}")
_LARGEST_VERSION = 10**18


def parse_time(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time with an offset; else ValueError. Finer digits are cut."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("must be an RFC 3339 time with an offset, such as 2024-05-08T13:56:00Z")
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.upper())
    try:
        at_us = (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except ValueError as error:
        raise ValueError(f"is not a time that exists: {error}") from None
    if not _FIRST_US <= at_us <= _LAST_US:
        raise ValueError("is outside of the years 1 to 9999 in UTC")
    return at_us


def format_time(at_us: int | None) -> str | None:
    """RFC 3339 in UTC, with microseconds only where there are some; None stays None."""
    if at_us is None:
        return None
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.isoformat(timespec="microseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def parse_moment(text: str, field: str = "as_of") -> Moment:
    """A cube version (digits) or an RFC 3339 time; else InvalidRequest, which names the field."""
    if _VERSION.fullmatch(text):
        return Moment(version=int(text))
    try:
        return Moment(time_us=parse_time(text))
    except ValueError as error:
        raise InvalidRequest(
            f"{field} must be a cube version (an integer) or a time; a time {error}",
            errors=[{"field": field, "problem": str(error)}],
        ) from None


def _moment(value: Any) -> Moment:
    if isinstance(value, Moment):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < _LARGEST_VERSION:
            raise ValueError("a cube version is an integer from 0")
        return Moment(version=value)
    if isinstance(value, str):
        return Moment(time_us=parse_time(value))
    raise ValueError("must be a cube version (an integer) or an RFC 3339 time")


def _time(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("must be an RFC 3339 time, as text")
    return parse_time(value)


TimeUs = Annotated[
    int,
    BeforeValidator(_time),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2024-05-08T13:56:00Z"]}),
]
"""An RFC 3339 time in a body, as microseconds since the epoch."""

_MOMENT_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]}

InstantIn = Annotated[
    Moment,
    BeforeValidator(_moment),
    Field(description="A cube version (integer) or an RFC 3339 time.", examples=[42]),
    WithJsonSchema(_MOMENT_SCHEMA),
]
"""A moment of one cube."""

AsOf = Annotated[
    Moment,
    BeforeValidator(_moment),
    Field(description="A cube version (integer) or an RFC 3339 time; over several cubes only a time."),
    WithJsonSchema(_MOMENT_SCHEMA),
]
