"""What chat needs of a language model behind the edge."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from actors.memory.engine_ports import ChatTurn, Sampling
from actors.memory.item import Form, Memory, Reference
from actors.memory.ports import JsonObject


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation and the memories that may help to answer it, best first. The budget decides how many fit."""

    turns: tuple[ChatTurn, ...]
    memories: tuple[Memory, ...]
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class UsedMemory:
    """A memory that was in the model's context, and in which form."""

    reference: Reference
    form: Form


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """A piece of an answer. `used` is on the first piece, `finish_reason` ("stop" or "length") on the last."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    finish_reason: str | None = None
    used: tuple[UsedMemory, ...] = ()


class ChatBackend(Protocol):
    """A language model that answers with memories."""

    @property
    def model_id(self) -> str: ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatPiece]:
        """The answer, piece by piece; closing the iterator frees the model.

        Raises Overloaded when too many wait, Unavailable when the model is down, ContextOverflow when the
        conversation alone does not fit.
        """
        ...

    async def ready(self) -> list[str]:
        """What is not ready yet; empty when the model answers."""
        ...

    async def status(self) -> JsonObject:
        """What `serve.contract.status.ChatOut` shows, and its machine's memory. Raises Unavailable when the model's
        process does not answer soon.
        """
        ...
