"""Bodies that are streamed to whoever takes them: nothing of them is kept here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

from starlette.types import Message, Receive

from actors.errors import BodyTooSlow
from serve.bodies import ClientGone
from serve.contract import limits


class Upload:
    """The body of one request, piece by piece."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False
        self._until_s = monotonic() + limits.ARCHIVE_S

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises ClientGone when the client hangs up, BodyTooSlow when it pauses, or takes, too long."""
        while not self._ended:
            message = await self._next()
            if message["type"] == "http.disconnect":
                raise ClientGone
            self._ended = not message.get("more_body", False)
            yield message.get("body", b"")

    async def _next(self) -> Message:
        left_s = min(limits.BODY_S, self._until_s - monotonic())
        try:
            async with asyncio.timeout(left_s):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(
                f"nothing more of the archive came for {limits.BODY_S} seconds, or not all of it within "
                f"{limits.ARCHIVE_S}"
            ) from None

    async def drain(self) -> None:
        """Let a client that was refused finish its sending, or it would not look at the answer: up to a bound."""
        left = limits.DRAINED_BYTES
        try:
            async for piece in self.pieces():
                left -= len(piece)
                if left < 0:
                    return
        except BodyTooSlow:
            return
