"""Liveness, readiness, metrics and status."""

from __future__ import annotations

from fastapi import APIRouter, Response

from actors.errors import Forbidden, MemosError
from serve.contract.status import ReadyOut, StatusOut
from serve.routes.parts import READ_ERRORS, IdentityOf, JsonAnswer, ServicesOf, problem_responses

open_router = APIRouter(tags=["system"])
router = APIRouter(prefix="/v1", tags=["system"])

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@open_router.get("/healthz", response_model=dict[str, bool])
async def healthz() -> JsonAnswer:
    """This process answers."""
    return JsonAnswer({"alive": True})


@open_router.get("/readyz", response_model=ReadyOut, responses={503: {"model": ReadyOut, "description": "Not ready"}})
async def readyz(services: ServicesOf) -> JsonAnswer:
    """Hosts and models answer; 503 names what does not yet."""
    try:
        waiting = [*await services.backend.ready(), *await services.chat.ready()]
    except MemosError as error:
        waiting = [error.detail]
    return JsonAnswer({"ready": not waiting, "waiting": waiting}, status_code=503 if waiting else 200)


@open_router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(services: ServicesOf) -> Response:
    """Prometheus metrics of this ingress replica."""
    return Response(services.metrics.exposition(), media_type=PROMETHEUS)


@router.get("/status", response_model=StatusOut, responses=READ_ERRORS | problem_responses(403))
async def status(identity: IdentityOf, services: ServicesOf) -> JsonAnswer:
    """Nodes, hosts, shards, queues, models and memory; for governors, since it tells of everybody's load."""
    if not identity.governor:
        raise Forbidden("the cluster's status is for governors")
    return JsonAnswer(await services.status.read())
