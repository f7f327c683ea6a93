"""MemCube archives: a cube as one file, out and in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from actors.errors import MalformedBody, MemosError
from actors.memory.identity import check_cube_id
from actors.memory.requests import ExportCube, ImportCube
from serve import rendering
from serve.contract import limits
from serve.contract.cubes import CubeOut
from serve.routes.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    AsOfQuery,
    CallerOf,
    IdPath,
    JsonAnswer,
    ServicesOf,
    problem_responses,
)
from serve.uploads import Upload

MEDIA_TYPE = "application/x-tar"

router = APIRouter(prefix="/v1/cubes", tags=["archives"])


@router.get(
    "/{cube}/export",
    response_class=StreamingResponse,
    responses=READ_ERRORS
    | problem_responses(403)
    | {200: {"content": {MEDIA_TYPE: {}}, "description": "The archive, as it is made."}},
)
async def export_cube(
    cube: IdPath,
    caller: CallerOf,
    services: ServicesOf,
    as_of: AsOfQuery,
    history: Annotated[bool, Query(description="Every version of the memories, or as they stood.")] = True,
) -> StreamingResponse:
    """A cube as an archive: a tar of a manifest, events, vectors and checksums. It takes the role of a curator."""
    request = ExportCube(as_of, history)
    pieces = await services.backend.export_cube(caller, check_cube_id(cube), request)
    name = f'attachment; filename="{cube}.memcube.tar"'
    return StreamingResponse(pieces, media_type=MEDIA_TYPE, headers={"Content-Disposition": name})


@router.post(
    "/import",
    status_code=201,
    response_model=CubeOut,
    responses=WRITE_ERRORS | problem_responses(409),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_cube(
    request: Request,
    caller: CallerOf,
    services: ServicesOf,
    id: Annotated[
        str | None,
        Query(min_length=1, max_length=limits.ID_CHARS, description="The new cube's id; else the archive's."),
    ] = None,
    name: Annotated[
        str | None, Query(max_length=limits.LABEL_CHARS, description="Its name; else the archive's.")
    ] = None,
) -> JsonAnswer:
    """Make a cube of an archive, whole or not at all; the caller owns it, nobody else has a role on it."""
    upload = Upload(request.receive)
    try:
        _check_media_type(request.headers.get("content-type", ""))
        wanted = ImportCube(None if id is None else check_cube_id(id), name)
        view = await services.backend.import_cube(caller, upload.pieces(), wanted)
    except MemosError:
        await upload.drain()
        raise
    return JsonAnswer(rendering.cube(view), status_code=201)


def _check_media_type(content_type: str) -> None:
    if content_type.strip().lower().startswith("multipart/"):
        raise MalformedBody(f"send the archive itself as the body ({MEDIA_TYPE}), not a form", reason="media-type")
