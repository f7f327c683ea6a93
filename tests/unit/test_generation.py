"""A model on its threads, streamed to chats."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from actors.errors import ContextOverflow, Overloaded
from actors.memory.engine_ports import Capabilities, ChatTurn, Engine, Generated, Sampling
from actors.memory.item import Form, Memory, Reference
from actors.memory.lifecycle import State
from serve.chat_port import ChatPiece, ChatRequest, UsedMemory
from serve.generation import EngineChat, Prompt
from tests.unit.edge import run
from tests.unit.opened import closed_with_the_test

FACT = Memory("mem_1", "home", 3, Form.PLAINTEXT, "fact", State.ACTIVATED, "Rex is a dog", 0)
REQUEST = ChatRequest((ChatTurn("user", "who is Rex"),), (FACT,), Sampling(max_tokens=5))


class StepEngine:
    """Yields five words; waits before each until it is let go."""

    model_id = "step"
    capabilities = Capabilities()
    context_tokens = 100

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.closed = threading.Event()
        self.started = 0
        self.turns: Sequence[ChatTurn] = ()

    def count_tokens(self, turns: Sequence[ChatTurn]) -> int:
        return sum(len(turn.content.split()) for turn in turns)

    def generate(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Iterator[Generated]:
        self.started += 1
        self.turns = turns
        try:
            for i in range(sampling.max_tokens):
                self.go.acquire(timeout=10)
                last = i == sampling.max_tokens - 1
                yield Generated(f"w{i} ", 9, i + 1, finish_reason="length" if last else None)
        finally:
            self.closed.set()


def write(engine: Engine, turns: Sequence[ChatTurn], memories: Sequence[Memory], max_tokens: int) -> Prompt:
    if engine.count_tokens(turns) > 50:
        raise ContextOverflow("too long")
    facts = ChatTurn("system", "; ".join(memory.text for memory in memories))
    used = tuple(UsedMemory(Reference(m.cube_id, m.id, m.version), m.form) for m in memories)
    return Prompt((facts, *turns), used)


def opened(engine: Engine, queue: int) -> EngineChat:
    return closed_with_the_test(EngineChat(engine, write, queue))


def test_pieces_come_in_order_and_the_first_names_what_was_used() -> None:
    async def chat() -> list[ChatPiece]:
        engine.go.release(5)
        return [piece async for piece in opened(engine, 4).stream(REQUEST)]

    engine = StepEngine()
    pieces = run(chat())
    assert [piece.text for piece in pieces] == ["w0 ", "w1 ", "w2 ", "w3 ", "w4 "]
    assert [len(piece.used) for piece in pieces] == [1, 0, 0, 0, 0]
    assert pieces[0].used[0].reference == Reference("home", "mem_1", 3)
    assert [piece.finish_reason for piece in pieces] == [None] * 4 + ["length"]
    assert engine.turns[0].content == "Rex is a dog"


def test_closing_a_chat_frees_the_engine_for_the_next() -> None:
    async def chat() -> None:
        backend = opened(engine, 4)
        first = backend.stream(REQUEST)
        engine.go.release(1)
        assert (await anext(first)).text == "w0 "
        await first.aclose()
        engine.go.release(1)  # the token that was being made when the chat was closed
        second = backend.stream(REQUEST)
        engine.go.release(5)
        assert len([piece async for piece in second]) == 5
        assert engine.closed.is_set()

    engine = StepEngine()
    run(chat())


class Line:
    """A generation that waits for its turn until it is closed from another thread, as the real engine's may be."""

    def __init__(self) -> None:
        self.entered, self.closed = threading.Event(), threading.Event()

    def __iter__(self) -> Line:
        return self

    def __next__(self) -> Generated:
        self.entered.set()
        self.closed.wait(10)
        raise StopIteration

    def close(self) -> None:
        self.closed.set()


def test_a_chat_that_is_closed_leaves_the_engines_line_at_once() -> None:
    class Busy(StepEngine):
        def generate(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Iterator[Generated]:
            return line

    async def chat() -> None:
        backend = opened(Busy(), 4)
        waiting = asyncio.ensure_future(anext(backend.stream(REQUEST)))
        assert await asyncio.to_thread(line.entered.wait, 5)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert await asyncio.to_thread(line.closed.wait, 5)
        assert backend._inside == 0

    line = Line()
    run(chat())


def test_too_many_chats_are_refused_and_leaving_makes_room() -> None:
    async def chat() -> None:
        backend = opened(engine, 1)
        chats = [backend.stream(REQUEST) for _ in range(2)]
        steps = [asyncio.ensure_future(anext(one)) for one in chats]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await anext(backend.stream(REQUEST))
        assert refused.value.facts["retry_after_s"] > 0
        engine.go.release(20)
        await asyncio.wait(steps)
        for one in chats:
            await one.aclose()
        assert (await anext(backend.stream(REQUEST))).text == "w0 "

    engine = StepEngine()
    run(chat())


def test_an_error_of_the_engines_thread_reaches_the_chat() -> None:
    async def chat() -> None:
        long = ChatRequest((ChatTurn("user", "word " * 60),), (), Sampling())
        await anext(opened(StepEngine(), 2).stream(long))

    with pytest.raises(ContextOverflow, match="too long"):
        run(chat())
