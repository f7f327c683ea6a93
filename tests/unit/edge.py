"""The HTTP interface over the plain backend, called in process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from actors.memory.requests import NewKey
from serve.http import ApiSettings, build_api
from tests.unit.plain_backend import PlainBackend, PlainClock
from tests.unit.plain_models import PlainChat, PlainEmbedder

T = TypeVar("T")


class Edge:
    """One application, with keys for root (governor), olga, rita (a reader) and nobody."""

    def __init__(self, texts: tuple[str, ...] = ("On ", "7 ", "May.")) -> None:
        self.backend = PlainBackend()
        self.chat = PlainChat(texts)
        self.embedder = PlainEmbedder()
        for name in ("olga", "rita", "nobody"):
            self.backend.issue(NewKey(name, default_cube="home" if name == "olga" else ""), f"{name}-key")
        self.api: FastAPI = build_api(self.backend, self.chat, self.embedder, PlainClock(), ApiSettings())

    def call(self, method: str, path: str, key: str = "olga-key", **options: Any) -> httpx.Response:
        """One request; `key` empty sends none."""
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.api)
            async with httpx.AsyncClient(transport=transport, base_url="http://memos.test") as client:
                return await client.request(method, path, headers=headers, **options)

        return run(send())

    def cube(self, cube_id: str = "home", *texts: str) -> list[str]:
        """A cube of olga's with some texts; their ids."""
        assert self.call("POST", "/v1/cubes", json={"id": cube_id}).status_code == 201
        if not texts:
            return []
        answer = self.call("POST", f"/v1/cubes/{cube_id}/memories", json={"texts": [{"text": t} for t in texts]})
        assert answer.status_code == 201, answer.text
        return [memory["id"] for memory in answer.json()["memories"]]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def check_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document of an answer that is what it must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:memos:problem:{slug}"
    assert document["status"] == status
    assert document["title"] and document["detail"]
    assert document["instance"] == "urn:memos:request:" + answer.headers["x-request-id"]
    return document
