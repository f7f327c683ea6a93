"""The time machine of a cube: going back, forking, comparing two versions."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Query

from actors.memory.identity import check_cube_id
from actors.memory.time_requests import CompareVersions, ForkCube
from serve import rendering
from serve.contract.cubes import CubeOut
from serve.contract.time_machine import DiffOut, ForkBody, RollbackBody, RollbackOut
from serve.contract.times import parse_moment
from serve.rendering_time import difference_page, rolled_back
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

router = APIRouter(prefix="/v1/cubes/{cube}", tags=["time machine"], route_class=JsonRoute)

_MOMENT = "A cube version (integer) or RFC 3339 time."


@router.post("/rollback", response_model=RollbackOut, responses=WRITE_ERRORS | problem_responses(409))
async def roll_back(cube: IdPath, body: RollbackBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Give every memory the content and state of an earlier version, by one more event; takes a curator."""
    done = await services.backend.roll_back(caller, check_cube_id(cube), body.to, body.reason)
    return JsonAnswer(rolled_back(done))


@router.post("/fork", status_code=201, response_model=CubeOut, responses=WRITE_ERRORS | problem_responses(409))
async def fork(cube: IdPath, body: ForkBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """A new cube that begins as this one was; the caller owns it."""
    request = ForkCube(body.id or f"cube_{secrets.token_hex(10)}", body.as_of, body.name)
    view = await services.backend.fork_cube(caller, check_cube_id(cube), request)
    return JsonAnswer(rendering.cube(view), status_code=201)


@router.get("/diff", response_model=DiffOut, responses=READ_ERRORS)
async def diff(
    cube: IdPath,
    caller: CallerOf,
    services: ServicesOf,
    listing: Listing,
    first: Annotated[str, Query(alias="from", max_length=64, description=_MOMENT)],
    second: Annotated[str, Query(alias="to", max_length=64, description=_MOMENT)],
) -> JsonAnswer:
    """The memories that were added, changed, moved between states or removed between two versions."""
    request = CompareVersions(parse_moment(first, "from"), parse_moment(second, "to"), listing.limit, listing.cursor)
    return JsonAnswer(difference_page(await services.backend.compare(caller, check_cube_id(cube), request)))
