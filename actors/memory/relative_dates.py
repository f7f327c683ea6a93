"""Dates beside the words that mean them: "yesterday" in a text of 8 May 2023 is 7 May 2023. Pure.

A reader of the text years later, a small language model above all, cannot work that out.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}
_RELATIVE = re.compile(
    rf"\b(?:(?P<day>yesterday|today|tonight|tomorrow|last night)"
    rf"|last (?P<weekday>{'|'.join(_WEEKDAYS)})"
    rf"|(?P<count>\d{{1,3}}|{'|'.join(_NUMBERS)}) (?P<unit>days?|weeks?) ago"
    rf"|(?P<which>last|next) (?P<period>month|year))\b",
    re.IGNORECASE,
)
_DAYS = {"yesterday": -1, "last night": -1, "today": 0, "tonight": 0, "tomorrow": 1}


def resolve(text: str, said_us: int) -> str:
    """`text` with the date in brackets behind each relative one; `said_us` is microseconds since the epoch, UTC."""
    said = day_of(said_us)
    return text if said is None else _RELATIVE.sub(lambda found: _with_date(found, said), text)


def day_of(at_us: int) -> date | None:
    """The UTC day of a time, None when the calendar does not reach it."""
    try:
        return datetime.fromtimestamp(at_us / 1_000_000, UTC).date()
    except (OverflowError, ValueError, OSError):
        return None


def written(day: date) -> str:
    """As in "8 May 2023"."""
    return f"{day.day} {day:%B} {day.year}"


def _with_date(found: re.Match[str], said: date) -> str:
    try:
        return f"{found.group()} ({_meant(found, said)})"
    except OverflowError:  # before the calendar begins
        return found.group()


def _meant(found: re.Match[str], said: date) -> str:
    if day := found["day"]:
        return written(said + timedelta(days=_DAYS[day.lower()]))
    if weekday := found["weekday"]:
        back = (said.weekday() - _WEEKDAYS.index(weekday.lower())) % 7 or 7
        return written(said - timedelta(days=back))
    if count := found["count"]:
        number = _NUMBERS.get(count.lower()) or int(count)
        return written(said - timedelta(days=number * (7 if found["unit"].lower().startswith("week") else 1)))
    step = -1 if found["which"].lower() == "last" else 1
    if found["period"].lower() == "year":
        return str(said.year + step)
    month = said.year * 12 + said.month - 1 + step
    return f"{date(month // 12, month % 12 + 1, 1):%B} {month // 12}"
