"""API keys and principals: for governors."""

from __future__ import annotations

from fastapi import APIRouter

from actors.memory.requests import NewKey
from serve import rendering
from serve.contract.cubes import CreateKeyBody, IssuedKeyOut, KeyOut, KeyPage, PrincipalPage
from serve.routes.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    CallerOf,
    IdPath,
    JsonAnswer,
    JsonRoute,
    Listing,
    ServicesOf,
    problem_responses,
)

router = APIRouter(prefix="/v1", tags=["keys"], route_class=JsonRoute)


@router.post("/keys", status_code=201, response_model=IssuedKeyOut, responses=WRITE_ERRORS)
async def create_key(body: CreateKeyBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Issue a key; its secret is in this answer and nowhere else."""
    new = NewKey(body.principal, body.name, body.governor, body.default_cube or "", body.expires_at)
    issued = await services.backend.create_key(caller, new)
    answer = JsonAnswer(rendering.issued_key(issued), status_code=201)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.get("/keys", response_model=KeyPage, responses=READ_ERRORS | problem_responses(403))
async def list_keys(caller: CallerOf, services: ServicesOf, listing: Listing) -> JsonAnswer:
    """Every key, without its secret."""
    found = await services.backend.list_keys(caller, listing.limit, listing.cursor)
    return JsonAnswer(rendering.page(found, rendering.key))


@router.delete("/keys/{id}", response_model=KeyOut, responses=READ_ERRORS | problem_responses(403))
async def revoke_key(id: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Revoke a key; it is refused everywhere when this answers."""
    return JsonAnswer(rendering.key(await services.backend.revoke_key(caller, id)))


@router.get("/principals", response_model=PrincipalPage, responses=READ_ERRORS | problem_responses(403))
async def list_principals(caller: CallerOf, services: ServicesOf, listing: Listing) -> JsonAnswer:
    """Every principal that a key was issued to."""
    found = await services.backend.list_principals(caller, listing.limit, listing.cursor)
    return JsonAnswer(rendering.page(found, rendering.principal))
