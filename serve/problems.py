"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from actors.errors import InvalidRequest, MemosError, Unauthenticated
from serve.contract.problem import PROBLEM_MEDIA_TYPE

TYPE_PREFIX = "urn:memos:problem:"
REQUEST_PREFIX = "urn:memos:request:"
_OPENAI_PATHS = ("/v1/chat/", "/v1/models")
_RESERVED = frozenset({"type", "title", "status", "detail", "instance"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document. `facts` become members of it; `headers` go with the response."""

    slug: str
    status: int
    title: str
    detail: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self, request_id: str) -> dict[str, Any]:
        facts = {name: value for name, value in self.facts.items() if name not in _RESERVED}
        return {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": REQUEST_PREFIX + request_id,
            **facts,
        }


INTERNAL = Problem("internal", 500, MemosError.title, "An unexpected error; the log names it by this request's id")
ROUTE_NOT_FOUND = Problem("route-not-found", 404, "No such route", "No route has this path")


def from_error(error: MemosError) -> Problem:
    """The problem that an error of our tree becomes."""
    headers: dict[str, str] = {}
    retry_after_s = error.facts.get("retry_after_s")
    if isinstance(retry_after_s, (int, float)):
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    elif error.status in (429, 503):
        headers["Retry-After"] = "1"
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="memos"'
    return Problem(error.slug, error.status, error.title, error.detail, error.facts, headers)


def from_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The problem of a body or parameter that is not what the contract says; names each field."""
    found = [{"field": _field_name(e.get("loc", ())), "problem": _said(e)} for e in errors[:20]]
    detail = "; ".join(f"{e['field']}: {e['problem']}" for e in found[:3])
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    kind = InvalidRequest
    return Problem(kind.slug, kind.status, kind.title, detail + more, {"errors": found})


def from_http(status: int, detail: str, headers: Mapping[str, str] | None) -> Problem:
    """The problem of what the router itself refuses: an unknown route, a method that a route does not take."""
    if status == 404:
        return ROUTE_NOT_FOUND
    if status == 405:
        return Problem(
            "method-not-allowed", 405, "Method not allowed", "This route has other methods", {}, headers or {}
        )
    return Problem("http", status, detail or "The request was refused", detail, {}, headers or {})


def respond(problem: Problem, path: str, request_id: str) -> Response:
    """The response of a problem. On OpenAI's routes the document also has `error`, where its SDKs look."""
    document = problem.document(request_id)
    if path.startswith(_OPENAI_PATHS):
        document["error"] = openai_error(problem)
    return Response(
        orjson.dumps(document, default=str),
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type=PROBLEM_MEDIA_TYPE,
    )


def openai_error(problem: Problem) -> dict[str, Any]:
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    return {"message": problem.detail, "type": kind, "code": problem.slug, "param": problem.facts.get("field")}


def respond_to(problem: Problem, request: Request) -> Response:
    return respond(problem, request.url.path, str(request.scope.get("state", {}).get("request_id", "")))


def _field_name(loc: Sequence[Any]) -> str:
    parts = [str(part) for part in loc if not str(part).startswith("function-")]
    if len(parts) > 1 and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    return ".".join(parts)[:200] or "body"


def _said(error: Mapping[str, Any]) -> str:
    message = str(error.get("msg", "is not valid"))
    if error.get("type") == "extra_forbidden":
        message = "unknown field"
    return message.removeprefix("Value error, ")[:500]
