"""What every request passes through, outermost first: request id, metrics and access log, error boundary, key, body.

Plain ASGI, so that streams pass untouched.
"""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.errors import MemosError
from serve import problems
from serve.backend import Access
from serve.bodies import ClientGone
from serve.contract import limits
from serve.metrics import Metrics

log = logging.getLogger("memos.serve")
access_log = logging.getLogger("memos.access")

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect"})
"""Paths that take no key."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]+")


class RequestIds:
    """Takes the caller's X-Request-Id when it is a plain word, else makes one.

    `header` is the one that answers it back; empty where the server in front does that, as Ray Serve's does.
    """

    def __init__(self, app: ASGIApp, header: str) -> None:
        self.app = app
        self.header = header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = (
            given if len(given) <= limits.REQUEST_ID_CHARS and _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
        )
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if self.header and message["type"] == "http.response.start":
                MutableHeaders(scope=message)[self.header] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


class Observed:
    """Counts, times and logs requests: method, route template, status and duration, never content."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 499  # the client hung up before an answer
        started = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.metrics.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.latency_s.labels(method, route).observe(took_s)
        request_id = scope["state"]["request_id"]
        access_log.info("%s %s %d %.1f ms %s", method, route, status, took_s * 1000, request_id)


class Boundary:
    """The outer loop of a request: whatever was not handled becomes a problem document, and is logged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except ClientGone:
            return
        except MemosError as error:
            if started:
                raise
            await _answer(problems.from_error(error), scope, receive, send)
        except Exception:
            log.exception("request %s failed", scope["state"]["request_id"])
            if started:
                raise
            await _answer(problems.INTERNAL, scope, receive, send)


class Keys:
    """Puts the identity behind the bearer key into the request's state; refuses the request without one."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app = app
        self.access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            secret = bearer(Headers(scope=scope).get("authorization", ""))
            scope["state"]["identity"] = await self.access.authenticate(secret, scope["state"]["request_id"])
        await self.app(scope, receive, send)


def bearer(header: str) -> str:
    """The key in the header; empty when there is none, for the system to refuse, and to record."""
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and len(secret) <= 512 else ""


async def _answer(problem: problems.Problem, scope: Scope, receive: Receive, send: Send) -> None:
    response = problems.respond(problem, scope["path"], scope["state"]["request_id"])
    await response(scope, receive, send)
