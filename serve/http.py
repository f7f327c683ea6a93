"""The HTTP interface: routes, middleware and error handlers put together. No Ray here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from actors.errors import MemosError
from actors.memory.ports import Clock
from actors.models.document_reader import DocumentReader
from serve import problems
from serve.admission import Admission, AdmissionLimits
from serve.backend import Backend
from serve.bodies import JsonBodies
from serve.chat import ChatDefaults, ChatService
from serve.chat_port import ChatBackend
from serve.contract.problem import PROBLEM_MEDIA_TYPE
from serve.metrics import Metrics
from serve.middleware import Boundary, Keys, Observed, RequestIds
from serve.retrieval import QueryEmbedder, Retrieval
from serve.routes import (
    archives,
    audits,
    chat,
    cubes,
    jobs,
    keys,
    lineage,
    memories,
    retention,
    searches,
    system,
    time_machine,
)
from serve.routes.parts import Services, bearer, known_query
from serve.status import SystemStatus

DESCRIPTION = """A memory operating system for LLM applications and agents.

Errors are RFC 9457 problem documents with a stable `type`. Lists take `limit` and `cursor` and answer
`{"items": [...], "next": cursor or null}`. A cube that the key has no role on answers exactly as one that does not
exist.
"""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """What the interface can be told. `version` is shown in the contract; `request_id_header` answers the
    request's id, empty where the server in front does so. `node` is the node of the cluster that this runs on.
    """

    version: str = "0.1.0"
    request_id_header: str = "X-Request-Id"
    node: str = ""
    chat: ChatDefaults = field(default_factory=ChatDefaults)
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)


def build_api(
    backend: Backend, chat_backend: ChatBackend, embedder: QueryEmbedder, clock: Clock, settings: ApiSettings
) -> FastAPI:
    """The whole interface over a backend, a language model and a query embedder. Starts nothing."""
    metrics = Metrics()
    retrieval = Retrieval(backend, embedder, metrics)
    service = ChatService(backend, retrieval, chat_backend, metrics, clock, settings.chat)
    api = FastAPI(
        title="memos",
        version=settings.version,
        description=DESCRIPTION,
        redirect_slashes=False,
        strict_content_type=False,
        redoc_url=None,
    )
    status = SystemStatus(backend, service, embedder, metrics, settings.node)
    api.state.services = Services(backend, retrieval, service, metrics, status, DocumentReader())
    _add_routes(api)
    api.add_exception_handler(MemosError, _on_error)
    api.add_exception_handler(RequestValidationError, _on_invalid)
    api.add_exception_handler(HTTPException, _on_http)
    # The last one added is the outermost. A place inside is taken once the whole request is here.
    api.add_middleware(Admission, limits=settings.admission, metrics=metrics)
    api.add_middleware(JsonBodies)
    api.add_middleware(Keys, access=backend)
    api.add_middleware(Boundary)
    api.add_middleware(Observed, metrics=metrics)
    api.add_middleware(RequestIds, header=settings.request_id_header)
    return api


def _add_routes(api: FastAPI) -> None:
    api.include_router(system.open_router)
    for routes in (archives, cubes, time_machine, audits, memories, lineage, retention, searches, keys, jobs, system):
        api.include_router(routes.router, dependencies=[Depends(bearer), Depends(known_query)])
    api.include_router(chat.router, dependencies=[Depends(bearer)])  # OpenAI's clients may add what they like
    _document_problems(api)


def _document_problems(api: FastAPI) -> None:
    """Makes the contract say that errors are problem documents, not FastAPI's own shape."""
    made = api.openapi

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            schema = made()
            for operations in schema["paths"].values():
                for operation in operations.values():
                    _retype(operation["responses"])
            for name in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(name, None)
            api.openapi_schema = schema
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the contract


def _retype(responses: dict[str, Any]) -> None:
    for response in responses.values():
        for content in list(response.get("content", {}).values()):
            if content.get("schema", {}).get("$ref", "").endswith("/ProblemOut"):
                response["content"] = {PROBLEM_MEDIA_TYPE: content}


def _on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, MemosError):
        raise error
    return problems.respond_to(problems.from_error(error), request)


def _on_invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return problems.respond_to(problems.from_validation(error.errors()), request)


def _on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = error.headers if error.status_code != 405 else {"Allow": ", ".join(_methods_at(request))}
    return problems.respond_to(problems.from_http(error.status_code, error.detail, headers), request)


def _methods_at(request: Request) -> list[str]:
    """Every method that some route takes at the request's path; the router names those of one route alone."""
    routes = request.app.router.routes
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
