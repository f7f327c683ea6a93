"""Ports of language models: what an engine can do, is asked, and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do beyond text."""

    kv_injection: bool = False
    adapters: bool = False
    streaming: bool = True


@dataclass(frozen=True, slots=True)
class ChatTurn:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 is greedy."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generated:
    """A piece of an answer. `finish_reason` ("stop" or "length") is set on the last piece alone."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    finish_reason: str | None = None


class Engine(Protocol):
    """A language model that continues a conversation."""

    @property
    def model_id(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def context_tokens(self) -> int:
        """Prompt and answer together fit in this many tokens."""
        ...

    def count_tokens(self, turns: Sequence[ChatTurn]) -> int:
        """Length of the prompt that `turns` become, the chat template and generation prompt included."""
        ...

    def generate(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Iterator[Generated]:
        """Stream an answer. Closing the iterator frees the engine at once. Raises ContextOverflow."""
        ...
