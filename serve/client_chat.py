"""The client's methods that talk to a model which remembers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serve.client_transport import Transport
from serve.client_types import ChatAnswer, ChatDelta, Json


class ChatMethods:
    """A part of MemosClient, which sends the requests."""

    _transport: Transport

    def chat(self, messages: Sequence[Json], memory: Json | None = None, **options: Any) -> ChatAnswer:
        """The whole answer. `memory` is the body's memory object; without it the key's default cube is used."""
        answer = self._json("POST", "/v1/chat/completions", body=_chat_body(messages, memory, options))
        choice = answer["choices"][0]
        return ChatAnswer(
            text=choice["message"]["content"],
            finish_reason=choice["finish_reason"],
            model=answer["model"],
            usage=answer["usage"],
            memory=answer.get("memory"),
        )

    def chat_stream(self, messages: Sequence[Json], memory: Json | None = None, **options: Any) -> Iterator[ChatDelta]:
        """The answer piece by piece; closing the iterator stops the model."""
        body = _chat_body(messages, memory, options) | {"stream": True}
        with self._transport.events("/v1/chat/completions", body) as events:
            for event in events:
                for choice in event["choices"]:
                    text, finished = choice["delta"].get("content") or "", choice.get("finish_reason")
                    if text or finished:
                        yield ChatDelta(text, finished, event.get("memory"))

    def models(self) -> list[str]:
        return [model["id"] for model in self._json("GET", "/v1/models")["data"]]

    def _json(self, method: str, path: str, **options: Any) -> Json:
        """The JSON answer to a request."""
        raise TypeError(f"{type(self).__name__} sends no requests")


def _chat_body(messages: Sequence[Json], memory: Json | None, options: Mapping[str, Any]) -> Json:
    body: Json = {"model": "default", "messages": list(messages), **options}
    return body if memory is None else body | {"memory": memory}
