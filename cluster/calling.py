"""Repeating a call while a part restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from actors.errors import Fenced, StorageUnavailable, Unavailable

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RetryRule:
    """Repeat for at most `within_s` seconds, waiting from `first_s` up to `longest_s` in between."""

    within_s: float = 15.0
    first_s: float = 0.1
    longest_s: float = 1.0


async def repeated(rule: RetryRule, call: Callable[[], Awaitable[R]]) -> R:
    """The call's answer. While it raises Unavailable (or its host was fenced, which makes it restart) it is made
    again; only for calls whose repetition changes nothing. Raises what the last call raised.
    """
    loop = asyncio.get_running_loop()
    until, wait_s = loop.time() + rule.within_s, rule.first_s
    while True:
        try:
            return await call()
        except (Unavailable, Fenced, StorageUnavailable):
            if loop.time() + wait_s > until:
                raise
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, rule.longest_s)
