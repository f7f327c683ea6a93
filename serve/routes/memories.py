"""Memories of a cube."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from actors.memory.erasure import EraseMemories
from actors.memory.identity import check_cube_id
from actors.memory.item import Form
from actors.memory.lifecycle import State
from actors.memory.requests import ChangeMemory, ListMemories, MoveMemory
from serve import rendering
from serve.contract import limits
from serve.contract.erasure import ReceiptOut
from serve.contract.memories import (
    AddBody,
    AddedOut,
    DeleteBody,
    HistoryOut,
    MemoryOut,
    MemoryPage,
    PatchBody,
    TransitionBody,
)
from serve.documents import read_documents
from serve.reading import to_add
from serve.routes.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    AsOfQuery,
    CallerOf,
    EraseQuery,
    IdempotencyKey,
    IdPath,
    IfVersion,
    JsonAnswer,
    JsonRoute,
    Listing,
    ReasonQuery,
    ServicesOf,
    problem_responses,
)

router = APIRouter(prefix="/v1/cubes/{cube}/memories", tags=["memories"], route_class=JsonRoute)


@router.post("", status_code=201, response_model=AddedOut, responses=WRITE_ERRORS | problem_responses(409))
async def add(
    cube: IdPath, body: AddBody, caller: CallerOf, services: ServicesOf, idempotency_key: IdempotencyKey = ""
) -> JsonAnswer:
    """Remember messages, texts and documents; answers once the journal holds them all."""
    check_cube_id(cube)
    documents = await read_documents(body.documents, services.documents)
    done = await services.backend.add(caller, cube, to_add(body, documents, idempotency_key))
    return JsonAnswer(rendering.added(done), status_code=201)


@router.get("", response_model=MemoryPage, responses=READ_ERRORS)
async def list_memories(
    cube: IdPath,
    caller: CallerOf,
    services: ServicesOf,
    listing: Listing,
    as_of: AsOfQuery,
    state: State | None = None,
    form: Form | None = None,
    type: Annotated[str | None, Query(min_length=1, max_length=limits.LABEL_CHARS)] = None,
) -> JsonAnswer:
    """The cube's memories in order of their first record."""
    request = ListMemories(
        limit=listing.limit,
        cursor=listing.cursor,
        state=state,
        form=None if form is None else form.value,
        type=type,
        as_of=as_of,
    )
    found = await services.backend.list_memories(caller, check_cube_id(cube), request)
    return JsonAnswer(rendering.page(found, rendering.memory))


@router.get("/{id}", response_model=MemoryOut, responses=READ_ERRORS)
async def read_memory(cube: IdPath, id: IdPath, caller: CallerOf, services: ServicesOf, as_of: AsOfQuery) -> JsonAnswer:
    """A memory as it is, or as it was; its version is in the ETag."""
    found = await services.backend.read_memory(caller, check_cube_id(cube), id, as_of)
    return _tagged(found.version, JsonAnswer(rendering.memory(found)))


@router.patch("/{id}", response_model=MemoryOut, responses=WRITE_ERRORS | problem_responses(409, 412))
async def change_memory(
    cube: IdPath, id: IdPath, body: PatchBody, caller: CallerOf, services: ServicesOf, if_version: IfVersion
) -> JsonAnswer:
    """Record a new version of a memory."""
    change = ChangeMemory(id, body.changes(), body.reason, if_version, tuple(body.supersedes or ()))
    found = await services.backend.change_memory(caller, check_cube_id(cube), change)
    return _tagged(found.version, JsonAnswer(rendering.memory(found)))


@router.delete("/{id}", response_model=MemoryOut | ReceiptOut, responses=WRITE_ERRORS | problem_responses(409))
async def delete_memory(
    cube: IdPath,
    id: IdPath,
    caller: CallerOf,
    services: ServicesOf,
    reason: ReasonQuery = "",
    erase: EraseQuery = False,
    body: DeleteBody | None = None,
) -> JsonAnswer:
    """Archive a memory: out of retrieval, kept, can be revived. The reason may be in the query or in a body.

    With `erase=true` its content goes for good, from every place that the system holds, with what was derived from it;
    the answer is a receipt, and a repeat answers the same one. It takes a curator; a governor and a reason, where
    something is frozen. The reason is kept.
    """
    check_cube_id(cube)
    said = reason or (body.reason if body else "")
    if erase:
        receipt = await services.backend.erase_memories(caller, cube, EraseMemories((id,), said))
        return JsonAnswer(rendering.receipt(receipt))
    found = await services.backend.move_memory(caller, cube, MoveMemory(id, State.ARCHIVED, said))
    return JsonAnswer(rendering.memory(found))


@router.post("/{id}/transition", response_model=MemoryOut, responses=WRITE_ERRORS | problem_responses(409))
async def transition(
    cube: IdPath, id: IdPath, body: TransitionBody, caller: CallerOf, services: ServicesOf
) -> JsonAnswer:
    """Move a memory to another state; a refusal lists what is allowed."""
    move = MoveMemory(id, body.to, body.reason, body.into or "", body.kind)
    found = await services.backend.move_memory(caller, check_cube_id(cube), move)
    return JsonAnswer(rendering.memory(found))


@router.get("/{id}/history", response_model=HistoryOut, responses=READ_ERRORS)
async def history(cube: IdPath, id: IdPath, caller: CallerOf, services: ServicesOf) -> JsonAnswer:
    """Every version of a memory, oldest first."""
    versions = await services.backend.history(caller, check_cube_id(cube), id)
    return JsonAnswer({"items": [rendering.memory(version) for version in versions], "next": None})


def _tagged(version: int, answer: JsonAnswer) -> JsonAnswer:
    answer.headers["ETag"] = f'"{version}"'
    return answer
