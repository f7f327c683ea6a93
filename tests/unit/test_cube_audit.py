"""A cube's audit from two places: every row once, newest first, whatever the pages' size."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from actors.errors import InvalidCursor
from actors.memory.auditing import AuditAction, AuditQuery, AuditRow
from actors.memory.governance import Caller
from cluster.cube_audit import AuditCursor, CubeAudit

ANN = Caller("ann", "key-a", "req")


def row(at_us: int, place: str) -> AuditRow:
    return AuditRow(at_us, "ann", "key-a", AuditAction.READ, "c", "", place)


HOST = [row(at, "host") for at in (9, 7, 6, 4, 3, 1)]
SYSTEM = [row(at, "system") for at in (10, 7, 5, 4, 3)]


def audits() -> CubeAudit:
    """Some rows of both places have the same time."""

    async def host(cube_id: str, method: str, caller: Caller, asked: str, query: AuditQuery) -> tuple[AuditRow, ...]:
        return tuple([found for found in HOST if query.matches(found)][: query.limit])

    async def system(method: str, caller: Caller, cube_id: str, query: AuditQuery) -> tuple[AuditRow, ...]:
        return tuple([found for found in SYSTEM if query.matches(found)][: query.limit])

    return CubeAudit(host, system)


def walk(cube_id: str, **query: Any) -> list[AuditRow]:
    found: list[AuditRow] = []
    cursor: str | None = None
    while True:
        page = asyncio.run(audits().page(ANN, cube_id, AuditQuery(**query), cursor))
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 50])
def test_pages_show_every_row_once_and_newest_first(limit: int) -> None:
    found = walk("c", limit=limit)
    assert [r.at_us for r in found] == [10, 9, 7, 7, 6, 5, 4, 4, 3, 3, 1]
    assert sorted(found, key=repr) == sorted([*HOST, *SYSTEM], key=repr)


def test_bounds_hold_on_every_page() -> None:
    assert [r.at_us for r in walk("c", limit=2, since_us=4, before_us=7)] == [6, 5, 4, 4]


def test_without_a_cube_only_the_system_is_asked() -> None:
    assert walk("", limit=2) == SYSTEM


@pytest.mark.parametrize("raw", ["", "audit:5", "audit:5:2", "audit:-5:1", "keys:5:1", "audit:٣:1"])
def test_what_is_no_cursor_is_refused(raw: str) -> None:
    with pytest.raises(InvalidCursor):
        AuditCursor.decode(base64.urlsafe_b64encode(raw.encode()).decode().rstrip("="))


def test_a_cursor_tells_a_time_and_nothing_else() -> None:
    assert AuditCursor.decode(AuditCursor(5, 1).encode()) == AuditCursor(5, 1)
    assert base64.urlsafe_b64decode(AuditCursor(5, 1).encode() + "==") == b"audit:5:1"
