"""Cubes, their grants and their verification."""

from __future__ import annotations

import secrets

from fastapi import APIRouter

from actors.memory.governance import Role
from actors.memory.identity import check_cube_id, check_principal_id
from actors.memory.requests import NewCube
from serve import rendering
from serve.contract.cubes import (
    CreateCubeBody,
    CubeOut,
    CubePage,
    GrantBody,
    PatchCubeBody,
    ScreenBody,
    ScreenedOut,
    VerifyOut,
)
from serve.contract.erasure import ReceiptOut
from serve.routes.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    CallerOf,
    EraseQuery,
    IdPath,
    JsonAnswer,
    JsonRoute,
    Listing,
    ReasonQuery,
    ServicesOf,
    problem_responses,
)

router = APIRouter(prefix="/v1/cubes", tags=["cubes"], route_class=JsonRoute)


@router.post("", status_code=201, response_model=CubeOut, responses=WRITE_ERRORS | problem_responses(409))
async def create_cube(body: CreateCubeBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Create a cube; the caller owns it."""
    cube_id = body.id or f"cube_{secrets.token_hex(10)}"
    view = await services.backend.create_cube(caller, NewCube(cube_id, body.name, body.policy))
    return JsonAnswer(rendering.cube(view), status_code=201)


@router.get("", response_model=CubePage, responses=READ_ERRORS)
async def list_cubes(caller: CallerOf, services: ServicesOf, listing: Listing) -> JsonAnswer:
    """The cubes that the caller has a role on."""
    found = await services.backend.list_cubes(caller, listing.limit, listing.cursor)
    return JsonAnswer(rendering.page(found, rendering.cube))


@router.get("/{cube}", response_model=CubeOut, responses=READ_ERRORS)
async def read_cube(cube: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """A cube's manifest."""
    return JsonAnswer(rendering.cube(await services.backend.read_cube(caller, check_cube_id(cube))))


@router.patch("/{cube}", response_model=CubeOut, responses=WRITE_ERRORS)
async def change_cube(cube: IdPath, body: PatchCubeBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Change a cube's name or policy."""
    view = await services.backend.change_cube(caller, check_cube_id(cube), body.name, body.policy)
    return JsonAnswer(rendering.cube(view))


@router.delete("/{cube}", response_model=CubeOut | ReceiptOut, responses=WRITE_ERRORS)
async def delete_cube(
    cube: IdPath, caller: CallerOf, services: ServicesOf, reason: ReasonQuery = "", erase: EraseQuery = False
) -> JsonAnswer:
    """Archive a cube: nobody sees it any more; all of it is kept, and its owner can revive it.

    With `erase=true` nothing is left of it, archived or not, and of what was derived from it, but its id, which stays
    taken; the answer is a receipt. It takes the owner; a governor and a reason, where a memory is frozen. The reason is
    kept.
    """
    check_cube_id(cube)
    if erase:
        return JsonAnswer(rendering.receipt(await services.backend.erase_cube(caller, cube, reason)))
    return JsonAnswer(rendering.cube(await services.backend.archive_cube(caller, cube, reason)))


@router.post("/{cube}/revive", response_model=CubeOut, responses=WRITE_ERRORS)
async def revive_cube(cube: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Have an archived cube again, with everything that it held and the roles on it. Its owner, or a governor."""
    return JsonAnswer(rendering.cube(await services.backend.revive_cube(caller, check_cube_id(cube))))


@router.put("/{cube}/grants/{principal}", response_model=CubeOut, responses=WRITE_ERRORS)
async def put_grant(
    cube: IdPath, principal: IdPath, body: GrantBody, caller: CallerOf, services: ServicesOf
) -> JsonAnswer:
    """Give a principal a role on the cube, in place of the one it had."""
    role = Role.from_label(body.role)
    view = await services.backend.put_grant(caller, check_cube_id(cube), check_principal_id(principal), role)
    return JsonAnswer(rendering.cube(view))


@router.delete("/{cube}/grants/{principal}", response_model=CubeOut, responses=WRITE_ERRORS)
async def remove_grant(cube: IdPath, principal: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Take a principal's role on the cube away."""
    view = await services.backend.remove_grant(caller, check_cube_id(cube), check_principal_id(principal))
    return JsonAnswer(rendering.cube(view))


@router.get("/{cube}/verify", response_model=VerifyOut, responses=READ_ERRORS)
async def verify(cube: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Check the chains of the cube's events and of its audit."""
    return JsonAnswer(rendering.verify_report(await services.backend.verify(caller, check_cube_id(cube))))


@router.post("/{cube}/screen", response_model=ScreenedOut, responses=WRITE_ERRORS | problem_responses(409))
async def screen(cube: IdPath, body: ScreenBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Look through memories that the cube held before its policy masked (as much as now): until then they are withheld
    from those whom it masks for. Owners; repeat while any remain.
    """
    return JsonAnswer(rendering.screened(await services.backend.screen(caller, check_cube_id(cube), body.limit)))
