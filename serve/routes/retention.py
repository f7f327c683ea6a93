"""Retention of a cube: what is due by its policy, and doing it."""

from __future__ import annotations

from fastapi import APIRouter

from actors.memory.identity import check_cube_id
from serve import rendering
from serve.contract.erasure import DueListOut, RetainedOut
from serve.routes.parts import READ_ERRORS, WRITE_ERRORS, CallerOf, IdPath, JsonAnswer, JsonRoute, ServicesOf

router = APIRouter(prefix="/v1/cubes/{cube}/retention", tags=["cubes"], route_class=JsonRoute)


@router.get("", response_model=DueListOut, responses=READ_ERRORS)
async def due(cube: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """The memories that are due to be archived or erased now, and those that would be but are frozen."""
    found = await services.backend.due(caller, check_cube_id(cube))
    return JsonAnswer({"items": [rendering.due(item) for item in found], "next": None})


@router.post("", response_model=RetainedOut, responses=WRITE_ERRORS)
async def apply_retention(cube: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Archive what has expired or is due, and erase what has been archived long enough, a part of it in one go; the
    job `retention` repeats it until nothing is left. It takes a curator.
    """
    done = await services.backend.apply_retention(caller, check_cube_id(cube))
    return JsonAnswer(rendering.retained(done))
