"""Answers of a chat in OpenAI's shapes, whole and as a stream of server-sent events."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from actors.memory.ports import JsonObject
from serve.chat import Exchange

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of one answer begins with. `created` is in seconds since the epoch."""

    id: str
    created: int
    model: str
    include_usage: bool = False

    @classmethod
    def new(cls, created: int, model: str, include_usage: bool) -> Head:
        return cls(f"chatcmpl-{secrets.token_hex(12)}", created, model, include_usage)


def usage(answer: Exchange) -> JsonObject:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
    }


def completion(head: Head, answer: Exchange) -> JsonObject:
    """The `chat.completion` of a finished answer."""
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}],
        "usage": usage(answer),
        "system_fingerprint": None,
        "memory": answer.memory_object(),
    }


async def events(head: Head, answer: Exchange, first: str, pieces: AsyncGenerator[str]) -> AsyncGenerator[bytes]:
    """The chunks of a stream: the role, `first` and the other pieces, the finish, the usage when asked for, `[DONE]`.

    Closes `pieces` when it is closed. The `memory` object is on the chunk with the finish reason and on the
    one with the usage.
    """
    yield _event(_chunk(head, {"role": "assistant", "content": "", "refusal": None}))
    async with aclosing(pieces):
        if first:
            yield _event(_chunk(head, {"content": first}))
        async for text in pieces:
            yield _event(_chunk(head, {"content": text}))
    memory = answer.memory_object()
    yield _event(_chunk(head, {}, answer.finish_reason) | {"memory": memory})
    if head.include_usage:
        yield _event(_chunk(head, None) | {"usage": usage(answer), "memory": memory})
    yield DONE


def error_event(error: JsonObject) -> bytes:
    """A stream that fails half way ends with this, which OpenAI's SDKs raise."""
    return _event({"error": error})


def _chunk(head: Head, delta: JsonObject | None, finish_reason: str | None = None) -> JsonObject:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk: JsonObject = {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": None,
        "choices": [] if delta is None else [choice],
    }
    return chunk | {"usage": None} if head.include_usage else chunk


def _event(value: JsonObject) -> bytes:
    return b"data: " + orjson.dumps(value, default=str) + b"\n\n"
