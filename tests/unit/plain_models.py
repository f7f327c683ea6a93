"""The models behind the edge as plain objects: an embedder and a chat that follows a script."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.errors import MemosError
from actors.footprint import footprint
from actors.memory.item import Form, Reference
from actors.memory.ports import JsonObject
from serve.chat_port import ChatPiece, ChatRequest, UsedMemory


class PlainEmbedder:
    """Embeds every text as the same unit vector; fails with `failure` when there is one."""

    model_id = "plain-embedder"
    waiting = 0

    def __init__(self) -> None:
        self.failure: MemosError | None = None

    async def embed_query(self, text: str) -> npt.NDArray[np.float32]:
        if self.failure is not None:
            raise self.failure
        return np.array([1.0, 0.0], dtype=np.float32)


class PlainChat:
    """Answers with a script of pieces. `failure` is raised before the piece of index `fail_at`."""

    model_id = "plain-model"

    def __init__(self, texts: Sequence[str] = ("On ", "7 ", "May.")) -> None:
        self.texts = list(texts)
        self.requests: list[ChatRequest] = []
        self.failure: MemosError | None = None
        self.fail_at = 0
        self.closed = 0
        self.waiting: list[str] = []
        self.pause: Callable[[], Any] | None = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatPiece]:
        self.requests.append(request)
        used = tuple(UsedMemory(Reference(m.cube_id, m.id, m.version), Form.PLAINTEXT) for m in request.memories)
        try:
            for i, text in enumerate(self.texts):
                if self.failure is not None and self.fail_at == i:
                    raise self.failure
                if self.pause is not None:
                    await self.pause()
                last = i == len(self.texts) - 1
                yield ChatPiece(text, 40, i + 1, 8, "stop" if last else None, used if i == 0 else ())
        finally:
            self.closed += 1

    async def ready(self) -> list[str]:
        return self.waiting

    async def status(self) -> JsonObject:
        if self.failure is not None:
            raise self.failure
        return {**footprint(), "model": self.model_id, "chats": 1, "room": 17}
