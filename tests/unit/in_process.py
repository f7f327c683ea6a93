"""httpx's synchronous client against the application, in process."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from fastapi import FastAPI

from tests.unit.edge import run

Meddle = Callable[[httpx.Request], httpx.Response | None]


class InProcess(httpx.BaseTransport):
    """Sends requests to the application. `meddle` may answer, or raise, in its place."""

    def __init__(self, api: FastAPI, meddle: Meddle = lambda request: None) -> None:
        self._api = api
        self._meddle = meddle
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._meddle(request)
        return answer if answer is not None else run(self._send(request))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self._api)) as client:
            answer = await client.request(request.method, request.url, content=request.read(), headers=request.headers)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
