"""Where memories came from, and the undoing of merges."""

from __future__ import annotations

from fastapi import APIRouter

from actors.memory.consolidation import ConsolidateCube
from actors.memory.identity import check_cube_id
from actors.memory.merging import SplitMemory
from actors.memory.provenance import ReadProvenance
from serve import rendering
from serve.contract.memories import ConsolidateBody, ConsolidatedOut, SplitBody, SplitOut
from serve.contract.provenance import ProvenanceOut
from serve.provenance_rendering import provenance
from serve.routes.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    AsOfQuery,
    CallerOf,
    IdPath,
    JsonAnswer,
    JsonRoute,
    Listing,
    ServicesOf,
    problem_responses,
)

router = APIRouter(prefix="/v1/cubes/{cube}", tags=["memories"], route_class=JsonRoute)


@router.post("/consolidate", response_model=ConsolidatedOut, responses=WRITE_ERRORS)
async def consolidate(
    cube: IdPath, caller: CallerOf, services: ServicesOf, body: ConsolidateBody | None = None
) -> JsonAnswer:
    """One step of merging near-duplicates and linking contradictions; the job `consolidate` takes all of them."""
    asked = body or ConsolidateBody()
    request = ConsolidateCube(asked.start, asked.rows)
    done = await services.backend.consolidate(caller, check_cube_id(cube), request)
    return JsonAnswer(rendering.consolidated(done))


@router.post("/memories/{id}/split", response_model=SplitOut, responses=WRITE_ERRORS | problem_responses(409))
async def split(
    cube: IdPath, id: IdPath, caller: CallerOf, services: ServicesOf, body: SplitBody | None = None
) -> JsonAnswer:
    """Undo a merge: of a merged memory its own; of one that others are merged into, theirs, up to 1,000 a call."""
    said = "" if body is None else body.reason
    done = await services.backend.split(caller, check_cube_id(cube), SplitMemory(id, said))
    return JsonAnswer(rendering.split(done))


@router.get("/memories/{id}/provenance", response_model=ProvenanceOut, responses=READ_ERRORS)
async def read_provenance(
    cube: IdPath, id: IdPath, caller: CallerOf, services: ServicesOf, listing: Listing, as_of: AsOfQuery
) -> JsonAnswer:
    """Where a memory came from, version by version, what it is made of and what was made of it."""
    request = ReadProvenance(id, listing.limit, listing.cursor, as_of)
    return JsonAnswer(provenance(await services.backend.provenance(caller, check_cube_id(cube), request)))
