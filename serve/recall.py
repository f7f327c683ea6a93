"""Which memories a chat may be answered with, and how an exchange becomes memories."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from actors.memory.engine_ports import ChatTurn
from actors.memory.governance import Caller
from actors.memory.item import Kind, Memory
from actors.memory.requests import NewMemory
from actors.memory.search_requests import CubeHits
from serve.chat_port import UsedMemory
from serve.contract import limits
from serve.retrieval import Question, Retrieval

CHAT_SOURCE = "chat"

NEAR_BEST = 0.5
"""A memory whose score is below this share of the best one's stays out of the prompt: what hardly matches costs
tokens and misleads a small model. Search itself answers everything that it found."""

_ASKING = re.compile(
    r"(who|whom|whose|what|when|where|which|why|how|is|are|am|was|were|do|does|did|has|have|had|can|could|will|"
    r"would|shall|should|may|might|tell me|remind me)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


def is_pure_question(text: str) -> bool:
    """True when every sentence asks and none states: "When did I move?", "what is my dog called"."""
    sentences = [s.strip() for s in _SENTENCE.findall(text) if s.strip(" .!?\n\t")]
    return bool(sentences) and all(_asks(sentence) for sentence in sentences)


def _asks(sentence: str) -> bool:
    return sentence.endswith("?") or (sentence[-1] not in ".!" and _ASKING.match(sentence) is not None)


def may_inform(memory: Memory, said: frozenset[str]) -> bool:
    """Whether a chat may be answered with this memory.

    Chats are remembered, so the memories nearest to a question that was asked before are that question and
    what the model answered then. Neither is evidence: the question states nothing, and an earlier answer,
    right or wrong, would come back as a fact and confirm itself. So of what chats left behind only the user's own
    statements inform a later chat; search shows the rest all the same. What the present conversation holds
    already (`said`) would only repeat it.
    """
    if memory.text.strip() in said:
        return False
    if memory.source.get("kind") != CHAT_SOURCE:
        return True
    return memory.role == "user" and not is_pure_question(memory.text)


async def recall(
    retrieval: Retrieval, caller: Caller, question: Question, turns: Sequence[ChatTurn]
) -> tuple[tuple[Memory, ...], CubeHits]:
    """The best `question.top_k` memories that may inform the chat, and the hits that they were taken from.

    Asks for more than it needs, since some are left out, and once more for all it can get when too many were.
    """
    said = frozenset(turn.content.strip() for turn in turns)
    wanted = question.top_k
    for top_k in (min(wanted * 3 + 5, limits.TOP_K), limits.TOP_K):
        found = await retrieval.search(caller, _asking_for(question, top_k))
        informing = [hit for hit in found.hits.hits if may_inform(hit.memory, said)][:wanted]
        memories = tuple(hit.memory for hit in informing if hit.score >= NEAR_BEST * informing[0].score)
        if len(informing) == wanted or len(found.hits.hits) < top_k:
            break
    return memories, found.hits


def exchange(
    user_text: str, speaker: str, answer: str, used: Sequence[UsedMemory], session: str, at_us: int, model_id: str
) -> tuple[NewMemory, ...]:
    """The last user message and the answer to it, as memories; the answer names what it was derived from."""
    asked = NewMemory(
        text=user_text,
        type=Kind.MESSAGE.value,
        role="user",
        speaker=speaker or "user",
        session=session,
        occurred_at_us=at_us,
        source={"kind": CHAT_SOURCE},
    )
    answered = NewMemory(
        text=answer,
        type=Kind.MESSAGE.value,
        role="assistant",
        speaker="assistant",
        session=session,
        occurred_at_us=at_us,
        source={"kind": CHAT_SOURCE, "model": model_id},
        derived_from=tuple(memory.reference for memory in used),
    )
    return tuple(memory for memory in (asked, answered) if memory.text.strip())


def cut_to_bytes(text: str, limit: int) -> str:
    """The longest beginning of `text` that has at most `limit` bytes in UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")


def _asking_for(question: Question, top_k: int) -> Question:
    return replace(question, top_k=top_k)
