"""A cube's audit, put together from its two places: the cube's own shard, and the system shard, which decides about
grants, registration, archiving and jobs.

A cursor is a time and which of the two a row of that time came from, nothing else: a position would tell how much
is done to other cubes of the shard.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from actors.errors import InvalidCursor
from actors.memory.auditing import AuditQuery, AuditReport, AuditRow
from actors.memory.governance import Caller
from actors.memory.requests import Page, VerifyReport

_CURSOR = re.compile(r"audit:(\d{1,18}):([01])")
_HOST, _SYSTEM = 1, 0
"""Of two rows of the same time, the host's comes first."""


@dataclass(frozen=True, slots=True)
class AuditCursor:
    """The row behind which a list goes on, to earlier ones."""

    at_us: int
    place: int

    def encode(self) -> str:
        return base64.urlsafe_b64encode(f"audit:{self.at_us}:{self.place}".encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> AuditCursor:
        """Raises InvalidCursor."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
        except (ValueError, binascii.Error) as error:
            raise _refused() from error
        match = _CURSOR.fullmatch(raw)
        if match is None:
            raise _refused()
        return cls(int(match[1]), int(match[2]))

    def before_us(self, place: int) -> int:
        """The rows of a place that come behind this one are those before this time."""
        return self.at_us + 1 if place < self.place else self.at_us


class CubeAudit:
    """`host(cube_id, method, *args)` calls the host of a cube, `system(method, *args)` the system host."""

    def __init__(self, host: Callable[..., Awaitable[Any]], system: Callable[..., Awaitable[Any]]) -> None:
        self._host = host
        self._system = system

    async def page(self, caller: Caller, cube_id: str, query: AuditQuery, cursor: str | None) -> Page[AuditRow]:
        """A page, newest first. With the cube "", what the system shard has, of any cube and of none: for governors.
        Raises InvalidCursor, and what reading raises.
        """
        at = None if cursor is None else AuditCursor.decode(cursor)
        theirs = self._system("audit", caller, cube_id, _asked(query, at, _SYSTEM))
        ours = self._host(cube_id, "audit", caller, cube_id, _asked(query, at, _HOST)) if cube_id else _none()
        by_host, by_system = await asyncio.gather(ours, theirs)
        found = [(row.at_us, _HOST, row) for row in by_host] + [(row.at_us, _SYSTEM, row) for row in by_system]
        found.sort(key=lambda placed: placed[:2], reverse=True)
        shown = found[: query.limit]
        more = len(found) > len(shown)
        return Page(tuple(row for *_, row in shown), AuditCursor(*shown[-1][:2]).encode() if more else None)

    async def verified(self, caller: Caller, cube_id: str) -> VerifyReport:
        """Events and audit in the cube's own shard, and what the system shard has of it."""
        report: VerifyReport = await self._host(cube_id, "verify", caller, cube_id)
        decided: AuditReport = await self._system("verify_audit", caller, cube_id)
        rows, problems = report.audit_rows + decided.rows, (*report.problems, *decided.problems)
        return replace(report, audit_rows=rows, problems=problems)


def _asked(query: AuditQuery, at: AuditCursor | None, place: int) -> AuditQuery:
    """What one place is asked for: one row more than fits, and only what comes behind the cursor."""
    bounds = [us for us in (query.before_us, None if at is None else at.before_us(place)) if us is not None]
    return replace(query, limit=query.limit + 1, before_us=min(bounds, default=None))


async def _none() -> tuple[AuditRow, ...]:
    return ()


def _refused() -> InvalidCursor:
    return InvalidCursor("the cursor is not one that this list gave out; leave it out to begin anew")
