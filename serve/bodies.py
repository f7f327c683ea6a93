"""The bodies of requests: read up to their limit, in time, and parsed, before any of our code sees them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.errors import BodyTooSlow, MalformedBody, Overloaded, RequestTooLarge
from serve.contract import limits
from serve.contract.fields import depth_of

log = logging.getLogger("memos.serve")

WATCHED_PATHS = frozenset({"/v1/chat/completions"})
"""Paths whose work stops when the client hangs up, whatever the server in front does about it."""


STREAMED = frozenset({("POST", "/v1/cubes/import")})
"""Requests whose bodies their routes take as they come (`serve/uploads.py`)."""


class ClientGone(Exception):
    """The client hung up before its body was complete: there is nobody to answer."""


class JsonBodies:
    """Reads the body up to its limit and parses it, before any of our code sees it.

    The parsed value is in the request's state as `json`; an empty body leaves it out. Bodies that are here at once
    take no more than `limits.BODIES_BYTES`; who sends one slower than `limits.BODY_S` is told so.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        unread = scope["type"] == "http" and (scope["method"], scope["path"]) in STREAMED
        if scope["type"] != "http" or unread or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        _check_announced(headers)
        held = _HeldBytes(self)
        try:
            body = await _read(receive, held)
            if body:
                _check_media_type(headers.get("content-type", ""))
                scope["state"]["json"] = parse(body)
            if scope["path"] in WATCHED_PATHS:
                await _while_connected(self.app, scope, body, receive, send)
            else:
                await self.app(scope, _replayed(body, receive), send)
        finally:
            held.give_back()

    def hold(self, size: int) -> None:
        """Count bytes that are held, before they are. Raises Overloaded when there are too many."""
        if self._held_bytes + size > limits.BODIES_BYTES:
            raise Overloaded("too many large bodies at once; try again later", retry_after_s=1)
        self._held_bytes += size

    def let_go(self, size: int) -> None:
        self._held_bytes -= size


class _HeldBytes:
    """What one request holds of the bytes of all: counted as they arrive, so that who sends slowly holds little."""

    def __init__(self, bodies: JsonBodies) -> None:
        self._bodies = bodies
        self.size = 0

    def take(self, size: int) -> None:
        self._bodies.hold(size)
        self.size += size

    def give_back(self) -> None:
        self._bodies.let_go(self.size)
        self.size = 0


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


def _check_media_type(content_type: str) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise MalformedBody(f"send the body as application/json, not as {kind[:64]!r}", reason="media-type")


def _check_announced(headers: Headers) -> None:
    """Refuse a body that says itself that it is too large."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limits.BODY_BYTES:
        raise _too_large()


async def _read(receive: Receive, held: _HeldBytes) -> bytes:
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(limits.BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                if held.size + len(chunk) > limits.BODY_BYTES:
                    raise _too_large()
                held.take(len(chunk))
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
