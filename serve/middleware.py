"""What every request passes through, outermost first: request id, metrics and access log, error boundary, key, body.

Plain ASGI, so that streams pass untouched.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from typing import Any

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.errors import BodyTooSlow, MalformedBody, MemosError, Overloaded, RequestTooLarge, Unauthenticated
from serve import problems
from serve.backend import Access
from serve.contract import limits
from serve.contract.fields import depth_of
from serve.metrics import Metrics

log = logging.getLogger("memos.serve")
access_log = logging.getLogger("memos.access")

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect"})
"""Paths that take no key."""

WATCHED_PATHS = frozenset({"/v1/chat/completions"})
"""Paths whose work stops when the client hangs up, whatever the server in front does about it."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]+")


class ClientGone(Exception):
    """The client hung up before its body was complete: there is nobody to answer."""


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
            secret = _bearer(Headers(scope=scope).get("authorization", ""))
            scope["state"]["identity"] = await self.access.authenticate(secret, scope["state"]["request_id"])
        await self.app(scope, receive, send)


class JsonBodies:
    """Reads the body up to its limit and parses it, before any of our code sees it.

    The parsed value is in the request's state as `json`; an empty body leaves it out. Bodies that are here at once
    take no more than `limits.BODIES_BYTES`; who sends one slower than `limits.BODY_S` is told so.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        size = _announced_bytes(headers)
        if self._held_bytes + size > limits.BODIES_BYTES:
            raise Overloaded("too many large bodies at once; try again later", retry_after_s=1)
        self._held_bytes += size
        try:
            body = await _read(receive)
            if body:
                _check_media_type(headers.get("content-type", ""))
                scope["state"]["json"] = parse(body)
            if scope["path"] in WATCHED_PATHS:
                await _while_connected(self.app, scope, body, receive, send)
            else:
                await self.app(scope, _replayed(body, receive), send)
        finally:
            self._held_bytes -= size


async def _while_connected(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Runs the request, and cancels it as soon as the client hangs up, before an answer began as well as after."""

    async def forever() -> Message:
        await asyncio.Event().wait()
        raise ClientGone

    answering = asyncio.ensure_future(app(scope, _replayed(body, forever), send))
    watching = asyncio.ensure_future(_hang_up(receive))
    try:
        await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            log.info("request %s: the client hung up", scope["state"]["request_id"])
            answering.cancel()
            await asyncio.wait({answering})
            raise ClientGone
        answering.result()
    finally:
        answering.cancel()
        watching.cancel()


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def parse(body: bytes) -> Any:
    """The JSON value of a body; MalformedBody when it is not JSON in UTF-8, or is nested too deep."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start} cannot be decoded", reason="encoding") from None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}", reason="json") from None
    if depth_of(value, limits.JSON_DEPTH) > limits.JSON_DEPTH:
        raise MalformedBody(f"the body is nested deeper than {limits.JSON_DEPTH}", reason="depth")
    return value


def _bearer(header: str) -> str:
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or len(secret) > 512:
        raise Unauthenticated("send your API key as `Authorization: Bearer KEY`")
    return secret


def _check_media_type(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise MalformedBody(f"send the body as application/json, not as {kind[:64]!r}", reason="media-type")


def _announced_bytes(headers: Headers) -> int:
    """How large the body will be at most. Raises RequestTooLarge."""
    declared = headers.get("content-length", "")
    if not declared.isdecimal() or len(declared) >= 20:
        return limits.BODY_BYTES if headers.get("transfer-encoding") else 0
    if int(declared) > limits.BODY_BYTES:
        raise _too_large()
    return int(declared)


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limits.BODY_BYTES:
                    raise _too_large()
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise BodyTooSlow(f"the body was not complete after {limits.BODY_S} seconds") from None


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(f"the body is over the limit of {limits.BODY_BYTES} bytes", limit_bytes=limits.BODY_BYTES)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _answer(problem: problems.Problem, scope: Scope, receive: Receive, send: Send) -> None:
    response = problems.respond(problem, scope["path"], scope["state"]["request_id"])
    await response(scope, receive, send)
