"""Clients that hold a connection for long: some send an add byte by byte, some hardly read what they are answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from jobs.bench.http_load import Target

STEP_S = 0.1
SENT_BYTES = 4
READ_BYTES = 64
BUFFER_BYTES = 2048
"""Of the reading socket: what the server sends beyond stays on its side."""


@dataclass(slots=True)
class SlowClients:
    """`outcomes` counts statuses by kind of client; "cut off": the server ended the connection before its answer did;
    "still going": the end of the load found it at work.
    """

    target: Target
    outcomes: Counter[str] = field(default_factory=Counter)

    @contextlib.asynccontextmanager
    async def running(self, count: int, add: bytes, search: bytes) -> AsyncIterator[None]:
        """`count` clients, half of each kind, from here to the end of the block; each comes back when it is through."""
        works = [
            asyncio.create_task(self._again(*(("sends", add) if n % 2 else ("reads", search)))) for n in range(count)
        ]
        try:
            yield
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def _again(self, kind: str, request: bytes) -> None:
        while True:
            try:
                status = await self.once(kind, request)
                self.outcomes[f"{kind} slowly: {status}"] += 1
            except asyncio.CancelledError:
                self.outcomes[f"{kind} slowly: still going"] += 1
                raise
            except OSError:
                self.outcomes[f"{kind} slowly: cut off"] += 1
                await asyncio.sleep(STEP_S)

    async def once(self, kind: str, request: bytes) -> str:
        """The status that a client gets who "sends" or "reads" slowly. Raises OSError when it is cut off."""
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        with plain:
            await loop.sock_connect(plain, (self.target.host, self.target.port))
            if kind == "sends":
                await self._send_slowly(plain, request)
            else:
                await loop.sock_sendall(plain, request)
            return await self._read_slowly(plain)

    async def _send_slowly(self, plain: socket.socket, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        body = request.index(b"\r\n\r\n") + 4
        await loop.sock_sendall(plain, request[:body])
        for start in range(body, len(request), SENT_BYTES):
            await loop.sock_sendall(plain, request[start : start + SENT_BYTES])
            await asyncio.sleep(STEP_S)

    async def _read_slowly(self, plain: socket.socket) -> str:
        """Reads the whole answer in small sips, told by its Content-Length."""
        loop = asyncio.get_running_loop()
        seen, wanted = b"", 0
        while not wanted or len(seen) < wanted:
            sip = await loop.sock_recv(plain, READ_BYTES)
            if not sip:
                raise ConnectionResetError("the server ended the connection")
            seen += sip
            head, found, _ = seen.partition(b"\r\n\r\n")
            if found and not wanted:
                lengths = [row for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")]
                wanted = len(head) + 4 + (int(lengths[0].split(b":")[1]) if lengths else 0)
            await asyncio.sleep(STEP_S)
        return seen[9:12].decode("latin-1")
