"""What a rule about events of an archive says when an event does not keep it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Payload = Mapping[str, Any]


class Broken(Exception):
    """A rule that an event does not keep."""


def require(holds: bool, rule: str) -> None:
    if not holds:
        raise Broken(rule)
