"""A conversation with memories in it, within a budget of tokens. Pure.

Memories are data. They never push out the question, and no text of theirs can end their block, open a turn
or pass for the model's own markup.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.errors import ContextOverflow
from actors.memory.engine_ports import ChatTurn
from actors.memory.item import Memory
from actors.memory.relative_dates import day_of, resolve, written

MAX_MEMORY_CHARS = 2000
"""A longer memory is cut in the prompt, so that one does not cost all others their place."""

MAX_SPEAKER_CHARS = 60

Count = Callable[[Sequence[ChatTurn]], int]


@dataclass(frozen=True, slots=True)
class Assembled:
    """What goes to the model: `used` are the memories in it, best first; `dropped_turns` counts what had to go."""

    turns: tuple[ChatTurn, ...]
    used: tuple[Memory, ...]
    dropped_turns: int = 0


def assemble(turns: Sequence[ChatTurn], memories: Sequence[Memory], budget_tokens: int, count: Count) -> Assembled:
    """The turns with as many of the memories, best first, as fit into `budget_tokens` together.

    What does not fit goes in this order: memories from the last one, then the oldest turns of the conversation.
    The client's system turns and everything from the last user turn on always stay. `count` measures turns in
    tokens, the chat template included. Raises ContextOverflow when what must stay does not fit.
    """
    wanted = tuple(memory for memory in memories if plain(memory.text))
    if _fits(turns, wanted[:0], budget_tokens, count):
        kept = _most(len(wanted), lambda n: _fits(turns, wanted[:n], budget_tokens, count))
        return Assembled(_written(turns, wanted[:kept]), wanted[:kept])
    shorter = _shorter(turns)
    dropped = _most(len(shorter), lambda n: not _fits(shorter[n - 1], (), budget_tokens, count)) if shorter else 0
    if dropped == len(shorter):
        needed = count(_written(shorter[-1] if shorter else turns, ()))
        raise ContextOverflow(
            f"the question alone has {needed} tokens; {budget_tokens} fit beside the answer",
            prompt_tokens=needed,
            budget_tokens=budget_tokens,
        )
    left = shorter[dropped]
    return Assembled(_written(left, ()), (), dropped_turns=len(turns) - len(left))


def _fits(turns: Sequence[ChatTurn], memories: Sequence[Memory], budget_tokens: int, count: Count) -> bool:
    return count(_written(turns, memories)) <= budget_tokens


def _most(limit: int, holds: Callable[[int], bool]) -> int:
    """The largest n up to `limit` for which `holds`; 0 is taken to hold, and what holds for n to hold below it."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _shorter(turns: Sequence[ChatTurn]) -> list[tuple[ChatTurn, ...]]:
    """The conversation without its oldest turns, ever shorter; each begins with a user turn, as templates want."""
    asked = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=len(turns) - 1)
    starts = [i for i in range(1, asked + 1) if turns[i].role == "user" or i == asked]
    systems = [i for i, turn in enumerate(turns) if turn.role == "system"]
    kept = [tuple(turns[i] for i in range(len(turns)) if i >= start or i in systems) for start in starts]
    return [k for k in kept if len(k) < len(turns)]


HEAD = "Facts:"
TAIL = "Answer the user's question from these facts. The most relevant one is: "
"""Chosen by measurement on a small model, which reads best what is said last and said twice: docs/decisions/0008."""


def _written(turns: Sequence[ChatTurn], memories: Sequence[Memory]) -> tuple[ChatTurn, ...]:
    """One system turn with the client's own instructions and the memories, then the conversation."""
    instructions = [turn.content for turn in turns if turn.role == "system"]
    if memories:
        lines = [line(memory) for memory in memories]
        instructions.append("\n".join((HEAD, *(f"- {text}" for text in reversed(lines)), "", TAIL + lines[0])))
    system = (ChatTurn("system", "\n\n".join(instructions)),) if instructions else ()
    return (*system, *(turn for turn in turns if turn.role != "system"))


def line(memory: Memory) -> str:
    """A memory as one line: who said it, what, and when."""
    text = plain(memory.text)
    if len(text) > MAX_MEMORY_CHARS:
        text = f"{text[:MAX_MEMORY_CHARS]}…"
    said_us = memory.occurred_at_us
    day = None if said_us is None else day_of(said_us)
    if said_us is not None:
        text = resolve(text, said_us)
    speaker = plain(memory.speaker)[:MAX_SPEAKER_CHARS]
    who = "" if speaker.lower() in ("", "user") else f"{speaker}: "
    return f"{who}{text}" + ("" if day is None else f" ({written(day)})")


_MARKUP = re.compile(
    r"<[|\uff5c][^<>]{0,64}?[|\uff5c]>"  # <|im_start|>, <|eot_id|>, and the same with a full-width bar
    r"|</?s>|<(?:bos|eos|pad|unk)>|</?(?:start|end)_of_turn>|\[/?(?:INST|SYSTEM_PROMPT)\]|<</?SYS>>",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """A text on one line, without control characters and without what chat templates take for markup."""
    text = "".join(c if unicodedata.category(c)[0] != "C" or c in "\n\t\r\u200c\u200d" else "" for c in text)
    while (without := _MARKUP.sub("", text)) != text:  # what is left may add up to markup again
        text = without
    return " ".join(text.split())
