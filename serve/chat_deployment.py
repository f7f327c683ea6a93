"""The Chat deployment: the language model in a Serve replica, and how the ingress reaches it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from actors.errors import MemosError, Overloaded, Unavailable
from actors.memory.ports import JsonObject
from actors.remote_actor import node_id, translated
from cluster.loopback import keep_replica_on_its_node
from cluster.settings import Settings
from serve.chat_port import ChatPiece, ChatRequest
from serve.engine_opening import open_engine, write_prompt
from serve.generation import RETRY_AFTER_S, EngineChat

log = logging.getLogger("memos.serve")

NAME = "chat"
READY_WITHIN_S = 3.0
STATUS_WITHIN_S = 2.0


class Chat:
    """One model. Its queue is bounded here, so that a full one answers at once instead of waiting in Serve."""

    def __init__(self, settings: Settings) -> None:
        keep_replica_on_its_node()
        self._chat = EngineChat(open_engine(settings), write_prompt, settings.models.engine.queue)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatPiece]:
        async with aclosing(self._chat.stream(request)) as pieces:
            async for piece in pieces:
                yield piece

    async def ready(self) -> list[str]:
        return await self._chat.ready()

    async def status(self) -> JsonObject:
        return {"node": node_id(), **await self._chat.status()}


class RemoteChat:
    """The Chat deployment as a chat backend; Serve's and Ray's errors come out as ours."""

    def __init__(self, handle: DeploymentHandle[Any], model_id: str) -> None:
        self._handle = handle
        self._model_id = model_id

    @property
    def model_id(self) -> str:
        return self._model_id

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatPiece]:
        """As `ChatBackend.stream`; closing it cancels the generation in the replica."""
        answer: Any = self._handle.options(stream=True, method_name="stream").remote(request)
        try:
            async for piece in answer:
                yield piece
        except (RayError, RayServeException) as error:
            raise _ours(error) from error
        finally:
            answer.cancel()

    async def ready(self) -> list[str]:
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                waiting: list[str] = await self._handle.options(method_name="ready").remote()
                return waiting
        except TimeoutError:
            return [f"{NAME}: the model is not loaded yet"]
        except (RayError, RayServeException) as error:
            return [f"{NAME}: {_ours(error).detail}"]

    async def status(self) -> JsonObject:
        try:
            async with asyncio.timeout(STATUS_WITHIN_S):
                said: JsonObject = await self._handle.options(method_name="status").remote()
                return said
        except TimeoutError as error:
            raise Unavailable(f"{NAME} did not answer within {STATUS_WITHIN_S:g} s", part=NAME) from error
        except (RayError, RayServeException) as error:
            raise _ours(error) from error


def _ours(error: Exception) -> MemosError:
    if isinstance(error, BackPressureError):
        return Overloaded("too many chats are waiting for the model", retry_after_s=RETRY_AFTER_S)
    if isinstance(error, RayError):
        return translated(error, NAME)
    return Unavailable(f"the model cannot be reached: {type(error).__name__}", retry_after_s=RETRY_AFTER_S)
