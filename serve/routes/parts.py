"""What every route uses: the request's state, the shared services, JSON answers, list parameters, documented errors."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Path, Query, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from actors.errors import InvalidRequest
from actors.memory.governance import Caller
from actors.memory.requests import Moment
from actors.models.document_reader import DocumentReader
from serve.backend import Backend, Identity
from serve.chat import ChatService
from serve.contract import limits
from serve.contract.problem import ProblemOut
from serve.contract.times import parse_moment
from serve.metrics import Metrics
from serve.retrieval import Retrieval
from serve.status import SystemStatus

_SAID = {
    400: "The body cannot be read: not JSON, not UTF-8, nested too deep",
    401: "A valid API key is needed",
    403: "The role does not allow this",
    404: "Not found, or no role on it",
    408: "The body did not arrive in time",
    409: "It conflicts with the current state",
    412: "If-Match names another version than the current one",
    413: "Over a limit",
    422: "The request is not valid",
    429: "Too many requests are waiting; see Retry-After",
    501: "Not available in this version",
    503: "A part of the system is not available; see Retry-After",
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented errors of a route."""
    return {status: {"model": ProblemOut, "description": _SAID[status]} for status in statuses}


async def known_query(request: Request) -> None:
    """Refuse a query parameter that the route does not have: a misspelt filter must not answer everything."""
    route = request.scope["route"]
    known = {field.alias for field in get_flat_params(route.dependant) if isinstance(field.field_info, params.Query)}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise InvalidRequest(f"unknown query parameter {unknown[0][:64]!r}; this route takes: {names}")


READ_ERRORS = problem_responses(401, 404, 422, 429, 503)
WRITE_ERRORS = problem_responses(400, 401, 403, 404, 408, 413, 422, 429, 503)


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes stand on; built once an application."""

    backend: Backend
    retrieval: Retrieval
    chat: ChatService
    metrics: Metrics
    status: SystemStatus
    documents: DocumentReader


class JsonAnswer(Response):
    """A JSON value, encoded by orjson. Keys must be text."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class ParsedRequest(Request):
    """A request whose body the middleware has parsed already."""

    async def json(self) -> Any:
        return self.scope["state"].get("json")


class JsonRoute(APIRoute):
    """A route that takes the body as the middleware parsed it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def with_parsed_body(request: Request) -> Response:
            return await handle(ParsedRequest(request.scope, request.receive))

        return with_parsed_body


bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key: `Authorization: Bearer KEY`.")
"""Documents the key in the contract; `serve.middleware.Keys` checks it."""


# Dependencies are coroutines, though they await nothing: FastAPI runs plain functions on threads, one hop each.


async def _identity(request: Request) -> Identity:
    identity: Identity = request.scope["state"]["identity"]
    return identity


async def _caller(request: Request) -> Caller:
    return (await _identity(request)).caller


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _as_of(
    as_of: Annotated[str | None, Query(max_length=64, description="A cube version (integer) or RFC 3339 time.")] = None,
) -> Moment | None:
    return None if as_of is None else parse_moment(as_of)


@dataclass(frozen=True, slots=True)
class ListParameters:
    limit: int
    cursor: str | None


async def _list_parameters(
    limit: Annotated[int, Query(ge=1, le=limits.LIST_LIMIT)] = limits.LIST_LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(min_length=1, max_length=limits.CURSOR_CHARS, description="`next` of the page before.")
    ] = None,
) -> ListParameters:
    return ListParameters(limit, cursor)


def parse_if_match(header: str | None) -> int | None:
    """The version of an If-Match header: `"3"`, `3` or `W/"3"`; None when there is none or it is `*`."""
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip().strip('"')
    if not (text.isascii() and text.isdecimal() and 0 < len(text) < 19):
        raise InvalidRequest(
            'If-Match must be one version, such as "3"', errors=[{"field": "If-Match", "problem": "is not a version"}]
        )
    return int(text)


async def _if_version(if_match: Annotated[str | None, Header(max_length=256)] = None) -> int | None:
    return parse_if_match(if_match)


IdentityOf = Annotated[Identity, Depends(_identity)]
CallerOf = Annotated[Caller, Depends(_caller)]
ServicesOf = Annotated[Services, Depends(_services)]
AsOfQuery = Annotated[Moment | None, Depends(_as_of)]
Listing = Annotated[ListParameters, Depends(_list_parameters)]
IfVersion = Annotated[int | None, Depends(_if_version)]
IdPath = Annotated[str, Path(min_length=1, max_length=limits.ID_CHARS)]
EraseQuery = Annotated[bool, Query(description="For good: content and all that was derived from it.")]
ReasonQuery = Annotated[str, Query(max_length=limits.REASON_CHARS)]
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=limits.IDEMPOTENCY_KEY_CHARS,
        description="A repeat with the same key and body answers what the first did, and adds nothing.",
    ),
]
