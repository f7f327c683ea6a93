"""Chat with memory: recall, generate, remember."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from actors.errors import Forbidden, InvalidRequest, MemosError, ModelNotFound
from actors.memory.auditing import AuditAction
from actors.memory.engine_ports import ChatTurn, Sampling
from actors.memory.item import Form, Memory
from actors.memory.ports import Clock, JsonObject
from actors.memory.requests import AddMemories
from actors.memory.search_requests import Shortfall
from serve import rendering
from serve.backend import Identity, Memories
from serve.chat_port import ChatBackend, ChatPiece, ChatRequest, UsedMemory
from serve.contract import limits
from serve.contract.chat import ChatBody, MemoryOptions
from serve.metrics import Metrics
from serve.recall import cut_to_bytes, exchange, recall
from serve.retrieval import Question, Retrieval

log = logging.getLogger("memos.serve")

DEFAULT_MODEL = "default"


@dataclass(frozen=True, slots=True)
class ChatDefaults:
    """What a body leaves open. `temperature` 0 is greedy: a small model answers best so."""

    max_tokens: int = 256
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """A checked chat body: what is asked, by whom, with which memory (None: none)."""

    identity: Identity
    turns: tuple[ChatTurn, ...]
    user_text: str
    speaker: str
    memory: MemoryOptions | None
    cube_ids: tuple[str, ...]
    sampling: Sampling


@dataclass(slots=True)
class Exchange:
    """An answer in the making: what is known of it so far. Filled while `pieces` runs."""

    conversation: Conversation
    started: float
    degraded: tuple[Shortfall, ...] = ()
    used: tuple[UsedMemory, ...] = ()
    texts: list[str] = field(default_factory=list)
    ttft_ms: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: str = "stop"
    remembered: bool = False
    reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def memory_object(self) -> JsonObject | None:
        """The `memory` object of the answer; None when the chat was asked to have no memory."""
        if self.conversation.memory is None:
            return None
        return {
            "used": [
                {
                    "cube": m.reference.cube_id,
                    "id": m.reference.memory_id,
                    "version": m.reference.version,
                    "form": m.form.value,
                }
                for m in self.used
            ],
            "ttft_ms": self.ttft_ms,
            "cached_tokens": self.cached_tokens,
            "prompt_tokens": self.prompt_tokens,
            "remembered": self.remembered,
            "reason": self.reason,
            "degraded": [rendering.shortfall(part) for part in self.degraded],
        }


class ChatService:
    """Answers chats. Safe for concurrent use; how many run at once is the backend's to bound."""

    def __init__(
        self,
        memories: Memories,
        retrieval: Retrieval,
        engine: ChatBackend,
        metrics: Metrics,
        clock: Clock,
        defaults: ChatDefaults,
    ) -> None:
        self._memories = memories
        self._retrieval = retrieval
        self._engine = engine
        self._metrics = metrics
        self._clock = clock
        self._defaults = defaults

    @property
    def model_id(self) -> str:
        return self._engine.model_id

    @property
    def models(self) -> tuple[str, ...]:
        """The names that a body may ask for."""
        return tuple(dict.fromkeys((DEFAULT_MODEL, self._engine.model_id)))

    async def ready(self) -> list[str]:
        return await self._engine.ready()

    async def status(self) -> JsonObject:
        return await self._engine.status()

    def read(self, identity: Identity, body: ChatBody) -> Conversation:
        """The body, checked. Raises ModelNotFound, NotAvailable or InvalidRequest."""
        if body.model not in self.models:
            raise ModelNotFound(
                f"no model {body.model!r}; there are: {', '.join(self.models)}", field="model", models=list(self.models)
            )
        body.refuse_unavailable()
        turns = tuple(_turn(message.role, message.text()) for message in body.messages)
        if not any(turn.content.strip() for turn in turns):
            raise InvalidRequest("messages: there is no text in them", field="messages")
        if sum(len(turn.content) for turn in turns) > limits.CHAT_CHARS:
            raise InvalidRequest(f"messages: over the limit of {limits.CHAT_CHARS} characters", field="messages")
        asked = next((i for i in reversed(range(len(turns))) if turns[i].role == "user"), None)
        return Conversation(
            identity=identity,
            turns=turns,
            user_text="" if asked is None else turns[asked].content,
            speaker="" if asked is None else body.messages[asked].name or "",
            memory=body.memory,
            cube_ids=_cubes(body.memory, identity),
            sampling=self._sampling(body),
        )

    async def pieces(self, conversation: Conversation, answer: Exchange) -> AsyncGenerator[str]:
        """The answer's text, piece by piece, then remembers it; `answer` fills on the way.

        Closing the iterator stops the model, and then nothing is remembered.
        """
        memories = await self._recall(conversation, answer)
        request = ChatRequest(conversation.turns, memories, conversation.sampling)
        async with aclosing(self._engine.stream(request)) as stream:
            async for piece in stream:
                self._note(answer, piece)
                if piece.text:
                    yield piece.text
        self._metrics.prompt_tokens.inc(answer.prompt_tokens)
        self._metrics.completion_tokens.inc(answer.completion_tokens)
        self._metrics.cached_tokens.inc(answer.cached_tokens)
        await self._remember(conversation, answer)

    def _note(self, answer: Exchange, piece: ChatPiece) -> None:
        if piece.text and answer.ttft_ms is None:
            took_s = time.perf_counter() - answer.started
            answer.ttft_ms = round(took_s * 1000, 3)
            self._metrics.chat_ttft_s.observe(took_s)
        answer.texts.append(piece.text)
        answer.used = answer.used or piece.used
        answer.prompt_tokens = piece.prompt_tokens
        answer.completion_tokens = piece.completion_tokens
        answer.cached_tokens = piece.cached_tokens
        answer.finish_reason = piece.finish_reason or answer.finish_reason

    async def _recall(self, conversation: Conversation, answer: Exchange) -> tuple[Memory, ...]:
        options, query = conversation.memory, conversation.user_text.strip()
        if options is None or not conversation.cube_ids or not query or options.top_k == 0:
            return ()
        if Form.PLAINTEXT not in options.forms:
            return ()
        question = Question(
            query=cut_to_bytes(query, limits.QUERY_BYTES),
            cube_ids=conversation.cube_ids,
            top_k=options.top_k,
            as_of=options.as_of,
            purpose=AuditAction.CHAT,
        )
        caller = conversation.identity.caller
        memories, hits = await recall(self._retrieval, caller, question, conversation.turns)
        answer.degraded = hits.degraded
        return memories

    async def _remember(self, conversation: Conversation, answer: Exchange) -> None:
        """Adds the exchange to the first cube where the caller may write. A failure is told, never raised."""
        options = conversation.memory
        if options is None or not options.remember or not conversation.cube_ids:
            return
        memories = exchange(
            cut_to_bytes(conversation.user_text, limits.TEXT_BYTES),
            conversation.speaker,
            cut_to_bytes(answer.text, limits.TEXT_BYTES),
            answer.used,
            options.session,
            self._clock.now_us(),
            self._engine.model_id,
        )
        if not memories:
            return
        for cube_id in conversation.cube_ids:
            try:
                await self._memories.add(conversation.identity.caller, cube_id, AddMemories(memories))
            except Forbidden:
                continue
            except MemosError as error:
                log.warning("an exchange was not remembered: %s", error.slug)
                answer.reason = error.detail
                return
            answer.remembered = True
            return
        answer.reason = "you may not write to any of the cubes"

    def _sampling(self, body: ChatBody) -> Sampling:
        return Sampling(
            max_tokens=body.max_completion_tokens or body.max_tokens or self._defaults.max_tokens,
            temperature=self._defaults.temperature if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            seed=body.seed,
            stop=body.stops(),
        )


def _turn(role: str, text: str) -> ChatTurn:
    return ChatTurn("system" if role == "developer" else role, text)


def _cubes(memory: MemoryOptions | None, identity: Identity) -> tuple[str, ...]:
    if memory is None:
        return ()
    if memory.cubes is None:
        return (identity.default_cube,) if identity.default_cube else ()
    return tuple(dict.fromkeys(memory.cubes))
