"""Chat completions and models, as OpenAI serves them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import Receive, Scope, Send

from actors.errors import MemosError, ModelNotFound
from actors.memory.ports import JsonObject
from serve import openai_shapes, problems
from serve.chat import Exchange
from serve.contract.chat import ChatBody, CompletionOut, ModelOut, ModelsOut
from serve.routes.parts import (
    READ_ERRORS,
    WRITE_ERRORS,
    IdentityOf,
    JsonAnswer,
    JsonRoute,
    ServicesOf,
    problem_responses,
)

router = APIRouter(prefix="/v1", tags=["chat"], route_class=JsonRoute)

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "The answer; events with `stream`"}
}


@router.post(
    "/chat/completions", response_model=CompletionOut, responses=_STREAM | WRITE_ERRORS | problem_responses(501)
)
async def chat_completions(body: ChatBody, identity: IdentityOf, services: ServicesOf) -> Response:
    """Answer a chat with what the cubes remember, and remember the exchange."""
    conversation = services.chat.read(identity, body)
    answer = Exchange(conversation, started=time.perf_counter())
    pieces = services.chat.pieces(conversation, answer)
    usage = body.stream_options is not None and body.stream_options.include_usage
    head = openai_shapes.Head.new(int(time.time()), services.chat.model_id, usage)
    if body.stream:
        first = await anext(pieces, "")  # what fails before the first token is answered with its own status
        return EventStream(openai_shapes.events(head, answer, first, pieces))
    async with aclosing(pieces):
        async for _ in pieces:
            pass
    return JsonAnswer(openai_shapes.completion(head, answer))


@router.get("/models", response_model=ModelsOut, responses=READ_ERRORS)
async def list_models(services: ServicesOf) -> JsonAnswer:
    """The models that a chat may name; `default` is the configured one."""
    return JsonAnswer({"object": "list", "data": [_model(name) for name in services.chat.models]})


@router.get("/models/{id:path}", response_model=ModelOut, responses=READ_ERRORS)
async def read_model(id: str, services: ServicesOf) -> JsonAnswer:
    """One model."""
    if id not in services.chat.models:
        raise ModelNotFound(f"no model {id[:128]!r}", field="id", models=list(services.chat.models))
    return JsonAnswer(_model(id))


def _model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": 0, "owned_by": "memos"}


class EventStream(Response):
    """Server-sent events. Stops their source when the client hangs up; tells an error of our tree as an event."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._events) as events:
            try:
                async for event in events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            except MemosError as error:
                told = openai_shapes.error_event(problems.openai_error(problems.from_error(error)))
                await send({"type": "http.response.body", "body": told, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
