"""A client of HTTP/1.1 that costs little: it shares the machine with the server it measures.

One request at a time on a kept connection, no retries, no redirects. A search costs it some 0.15 ms of processor,
where a general client takes a millisecond; every report says what share of a core its clients took.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import orjson

from actors.errors import InvalidRequest

LIMIT_S = 120.0
"""An answer that takes longer counts as none."""


class Broken(Exception):
    """The connection ended before the answer did, or the answer could not be read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`retry_after` is the header as it stands, empty without one."""

    status: int
    body: bytes
    retry_after: str = ""
    keeps: bool = True

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


class AnswerReader:
    """Reads one answer after the other from the bytes of a connection. Knows bodies with a length, and those that the
    end of the connection ends; raises Broken for anything else.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._head: tuple[int, dict[bytes, bytes]] | None = None
        self._body_at = 0

    def feed(self, data: bytes) -> Answer | None:
        """The answer that these bytes complete, if they do."""
        self._bytes += data
        if self._head is None and not self._read_head():
            return None
        length = self._length()
        if length is None or len(self._bytes) < self._body_at + length:
            return None
        return self._taken(self._body_at + length)

    def end(self) -> Answer:
        """The answer that the end of the connection completes."""
        if self._head is None or self._length() is not None:
            raise Broken("the connection ended before the answer did")
        return self._taken(len(self._bytes))

    def _read_head(self) -> bool:
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *rows = bytes(self._bytes[:end]).split(b"\r\n")
        parts = first.split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise Broken(f"not an answer of HTTP/1.1: {first[:80]!r}")
        headers = {name.strip().lower(): value.strip() for name, _, value in (row.partition(b":") for row in rows)}
        if b"transfer-encoding" in headers:
            raise Broken("an answer in chunks, which this client does not read")
        self._head, self._body_at = (int(parts[1]), headers), end + 4
        return True

    def _length(self) -> int | None:
        status, headers = self._head or (0, {})
        if status in (204, 304):
            return 0
        told = headers.get(b"content-length")
        if told is None:
            return None
        if not told.isdigit():
            raise Broken(f"content-length {told[:20]!r}")
        return int(told)

    def _taken(self, end: int) -> Answer:
        status, headers = self._head or (0, {})
        keeps = headers.get(b"connection", b"").lower() != b"close" and b"content-length" in headers
        retry_after = headers.get(b"retry-after", b"").decode("latin-1")
        answer = Answer(status, bytes(self._bytes[self._body_at : end]), retry_after, keeps or status in (204, 304))
        del self._bytes[:end]
        self._head = None
        return answer


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._reader = AnswerReader()
        self._waiting: asyncio.Future[Answer] | None = None

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    async def exchange(self, request: bytes) -> Answer:
        if self.transport is None:
            raise Broken("not connected")
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            answer = self._reader.feed(data)
        except Broken as error:
            self._fail(error)
            return
        if answer is not None and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is None or self._waiting.done():
            return
        try:
            self._waiting.set_result(self._reader.end())
        except Broken as broken:
            self._fail(broken)

    def _fail(self, error: Broken) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        if self.transport is not None:
            self.transport.close()


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and the key they carry."""

    host: str
    port: int
    key: str

    @classmethod
    def of(cls, url: str, key: str) -> Self:
        """Raises InvalidRequest for what is no address of plain HTTP."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise InvalidRequest(f"url: {url!r} is not an address of plain HTTP")
        return cls(parts.hostname, parts.port or 80, key)

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """A request, ready to be sent; `body` goes as JSON."""
        data = b"" if body is None else orjson.dumps(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode("latin-1") + data


@dataclass(slots=True)
class Client:
    """One connection to a target, made again when it was closed. For one task at a time; use with `async with`."""

    target: Target
    _line: _Line = field(default_factory=_Line)

    async def send(self, request: bytes) -> Answer:
        """Raises Broken when no whole answer came within LIMIT_S."""
        if not self._line.open:
            await self.connect()
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = await self._line.exchange(request)
        except TimeoutError as error:
            self.close()
            raise Broken(f"no answer within {LIMIT_S:g} s") from error
        if not answer.keeps:
            self.close()
        return answer

    async def connect(self) -> None:
        try:
            _, self._line = await asyncio.get_running_loop().create_connection(
                _Line, self.target.host, self.target.port
            )
        except OSError as error:
            raise Broken(f"cannot connect: {error}") from error

    def close(self) -> None:
        if self._line.transport is not None:
            self._line.transport.close()
        self._line = _Line()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
