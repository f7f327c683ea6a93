"""Audits: who did, read or tried what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from actors.errors import InvalidRequest
from actors.memory.auditing import AuditAction, AuditQuery
from actors.memory.identity import check_cube_id
from serve import rendering
from serve.contract import limits
from serve.contract.audits import AuditActionName, AuditPage
from serve.contract.times import parse_time
from serve.routes.parts import (
    READ_ERRORS,
    CallerOf,
    IdPath,
    JsonAnswer,
    JsonRoute,
    Listing,
    ServicesOf,
    problem_responses,
)

router = APIRouter(prefix="/v1", tags=["audit"], route_class=JsonRoute)

IdQuery = Annotated[str | None, Query(min_length=1, max_length=limits.ID_CHARS)]
TimeQuery = Annotated[str | None, Query(max_length=64, description="An RFC 3339 time.")]


async def _query(
    listing: Listing,
    principal: IdQuery = None,
    action: AuditActionName | None = None,
    memory: Annotated[
        str | None, Query(min_length=1, max_length=limits.ID_CHARS, description="Rows about it, or that showed it.")
    ] = None,
    request: Annotated[str | None, Query(min_length=1, max_length=limits.REQUEST_ID_CHARS)] = None,
    since: TimeQuery = None,
    until: TimeQuery = None,
) -> AuditQuery:
    return AuditQuery(
        limit=listing.limit,
        principal=principal,
        action=None if action is None else AuditAction(action),
        memory_id=memory,
        request_id=request,
        since_us=_time("since", since),
        before_us=_time("until", until),
    )


def _time(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise InvalidRequest(f"{name} {error}", errors=[{"field": name, "problem": str(error)}]) from None


QueryOf = Annotated[AuditQuery, Depends(_query)]


@router.get("/cubes/{cube}/audit", response_model=AuditPage, responses=READ_ERRORS | problem_responses(403))
async def cube_audit(
    cube: IdPath, query: QueryOf, listing: Listing, caller: CallerOf, services: ServicesOf
) -> JsonAnswer:
    """Who did, read or tried what on the cube, newest first: for its owners, and for governors, who may ask for an
    archived one too.
    """
    found = await services.backend.audit(caller, check_cube_id(cube), query, listing.cursor)
    return JsonAnswer(rendering.page(found, rendering.audit_row))


@router.get("/audit", response_model=AuditPage, responses=READ_ERRORS | problem_responses(403))
async def system_audit(query: QueryOf, listing: Listing, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """What concerns keys, principals, grants, jobs, and attempts on cubes that do not exist or with a key that is none:
    for governors, newest first.
    """
    found = await services.backend.audit(caller, "", query, listing.cursor)
    return JsonAnswer(rendering.page(found, rendering.audit_row))
