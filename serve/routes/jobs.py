"""Jobs."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from serve import rendering
from serve.contract.jobs import JobOut, JobPage, SubmitJobBody
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

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=JsonRoute)


@router.post("", status_code=201, response_model=JobOut, responses=WRITE_ERRORS)
async def submit_job(body: SubmitJobBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Ask for a job by name."""
    view = await services.backend.submit_job(caller, body.name, body.cube or "", body.args)
    return JsonAnswer(rendering.job(view), status_code=201)


@router.get("", response_model=JobPage, responses=READ_ERRORS)
async def list_jobs(caller: CallerOf, services: ServicesOf, listing: Listing) -> JsonAnswer:
    """The caller's jobs; a governor sees all."""
    found = await services.backend.list_jobs(caller, listing.limit, listing.cursor)
    return JsonAnswer(rendering.page(found, rendering.job))


@router.get("/{id}", response_model=JobOut, responses=READ_ERRORS)
async def read_job(id: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """A job, its progress and its result."""
    return JsonAnswer(rendering.job(await services.backend.read_job(caller, id)))


@router.get("/{id}/logs", response_class=PlainTextResponse, responses=READ_ERRORS)
async def job_logs(id: IdPath, caller: CallerOf, services: ServicesOf) -> PlainTextResponse:
    """What the job has written so far."""
    text = await services.backend.job_logs(caller, id)
    return PlainTextResponse(text.encode(errors="replace"))


@router.post("/{id}/stop", response_model=JobOut, responses=READ_ERRORS | problem_responses(409))
async def stop_job(id: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Stop a job that has not ended."""
    return JsonAnswer(rendering.job(await services.backend.stop_job(caller, id)))
