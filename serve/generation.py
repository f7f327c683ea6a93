"""A language model of this process as a chat backend: threads generate, the event loop streams. No Ray here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Protocol, TypeVar

from actors.errors import Overloaded
from actors.footprint import footprint
from actors.memory.engine_ports import ChatTurn, Engine, Generated
from actors.memory.item import Memory
from actors.memory.ports import JsonObject
from serve.chat_port import ChatPiece, ChatRequest, UsedMemory

T = TypeVar("T")

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Prompt:
    """What goes to the model, and the memories that found room in it."""

    turns: tuple[ChatTurn, ...]
    used: tuple[UsedMemory, ...]


class PromptWriter(Protocol):
    """Puts memories into a conversation within the model's budget of tokens."""

    def __call__(
        self, engine: Engine, turns: Sequence[ChatTurn], memories: Sequence[Memory], max_tokens: int
    ) -> Prompt:
        """Raises ContextOverflow when the conversation alone leaves no room for an answer."""
        ...


class EngineChat:
    """A chat backend over an engine, which keeps the line. At most `queue` chats wait behind one that runs."""

    def __init__(self, engine: Engine, write_prompt: PromptWriter, queue: int) -> None:
        self._engine = engine
        self._write_prompt = write_prompt
        self._room = queue + 1
        self._inside = 0
        self._executor = ThreadPoolExecutor(self._room, thread_name_prefix="chat")

    @property
    def model_id(self) -> str:
        return self._engine.model_id

    async def ready(self) -> list[str]:
        return []

    async def status(self) -> JsonObject:
        taken = await asyncio.to_thread(footprint)
        return {**taken, "model": self.model_id, "chats": self._inside, "room": self._room}

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatPiece]:
        """As `ChatBackend.stream`. Raises Overloaded at once when too many wait."""
        if self._inside >= self._room:
            raise Overloaded(f"{self._inside - 1} chats wait for the model already", retry_after_s=RETRY_AFTER_S)
        self._inside += 1
        try:
            used, generation = await self._begin(request)
            async with aclosing(streamed(generation, self._executor)) as pieces:
                async for generated in pieces:
                    yield _piece(generated, used)
                    used = ()
        finally:
            self._inside -= 1

    async def _begin(self, request: ChatRequest) -> tuple[tuple[UsedMemory, ...], Iterator[Generated]]:
        """Writes the prompt and takes a place in the engine's line, off the event loop."""

        def begin() -> tuple[tuple[UsedMemory, ...], Iterator[Generated]]:
            sampling = request.sampling
            prompt = self._write_prompt(self._engine, request.turns, request.memories, sampling.max_tokens)
            return prompt.used, self._engine.generate(prompt.turns, sampling)

        beginning = asyncio.get_running_loop().run_in_executor(self._executor, begin)
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(_leave_the_line)
            raise

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


async def streamed(pieces: Iterator[T], executor: Executor) -> AsyncGenerator[T]:
    """What the iterator yields on a thread of the executor, in order, on the event loop.

    Closing this ends the iterator: at once when its `close` may be called from another thread, as an engine's
    may; a plain Python generator ends before its next item.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[T] | None] = asyncio.Queue()
    stopped = threading.Event()

    def run() -> None:
        try:
            if not stopped.is_set():
                for piece in pieces:
                    loop.call_soon_threadsafe(arrived.put_nowait, (piece,))
                    if stopped.is_set():
                        return
        finally:
            _close(pieces)

    running = loop.run_in_executor(executor, run)
    running.add_done_callback(lambda _: arrived.put_nowait(None))
    try:
        while (item := await arrived.get()) is not None:
            yield item[0]
        await running
    finally:
        stopped.set()
        if not isinstance(pieces, GeneratorType):
            _close(pieces)
        running.cancel()


def _close(pieces: Iterator[Any]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()


def _leave_the_line(beginning: asyncio.Future[tuple[tuple[UsedMemory, ...], Iterator[Generated]]]) -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        _close(beginning.result()[1])


def _piece(generated: Generated, used: tuple[UsedMemory, ...]) -> ChatPiece:
    return ChatPiece(
        text=generated.text,
        prompt_tokens=generated.prompt_tokens,
        completion_tokens=generated.completion_tokens,
        cached_tokens=generated.cached_tokens,
        finish_reason=generated.finish_reason,
        used=used,
    )
