"""Older events, as this version understands them.

An event stays as it was sealed, `schema` and content included, or its chain would not hold. What it says is brought up
to date where it is read: each step turns a payload of one schema into one of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actors.memory.policy import DEFAULTS

SCHEMA = 2
"""Version of the event format written by this code. Readers upcast older ones, refuse newer ones.

1   the first one
2   has types that readers of 1 do not know; a recorded policy has every part and setting
"""

OLDEST = 1

Payload = dict[str, Any]
Step = Callable[[str, Payload], Payload]
"""(type of the event, its payload) -> its payload in the next schema."""


def _complete_policy(type: str, payload: Payload) -> Payload:
    """From 1 to 2: settings that the policy was recorded without have their defaults."""
    recorded: Mapping[str, Any] | None = payload.get("policy")
    if not type.startswith("cube.") or recorded is None:
        return payload
    parts = {part: {**defaults, **recorded.get(part, {})} for part, defaults in DEFAULTS.items()}
    return {**payload, "policy": {**recorded, **parts}}


STEPS: Mapping[int, Step] = {1: _complete_policy}
"""By schema, the step to the next one."""


def upcast(schema: int, type: str, payload: Payload) -> Payload:
    """The payload of an event that was sealed under `schema`, in the shape of SCHEMA."""
    for older in range(schema, SCHEMA):
        payload = STEPS[older](type, payload)
    return payload
