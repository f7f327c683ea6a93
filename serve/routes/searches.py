"""Search over cubes."""

from __future__ import annotations

from fastapi import APIRouter

from actors.memory.search_requests import Channel
from serve import rendering
from serve.contract.searches import SearchBody, SearchOut
from serve.retrieval import Question
from serve.routes.parts import WRITE_ERRORS, CallerOf, JsonAnswer, JsonRoute, ServicesOf

router = APIRouter(prefix="/v1", tags=["search"], route_class=JsonRoute)


@router.post("/search", response_model=SearchOut, responses=WRITE_ERRORS)
async def search(body: SearchBody, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """The memories that answer the query best, over all the named cubes."""
    question = Question(
        query=body.query,
        cube_ids=tuple(body.cubes),
        top_k=body.top_k,
        filter=body.filter,
        as_of=body.as_of,
        channels=frozenset(body.channels) if body.channels else frozenset(Channel),
        explain=body.explain,
    )
    found = await services.retrieval.search(caller, question)
    render = rendering.explained if body.explain else rendering.result
    return JsonAnswer(rendering.search(found.hits, found.took_ms, render))
