"""The guided run: remember a conversation, ask about it with and without memory, restart, ask again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from serve.client import MemosClient
from serve.demo import display
from serve.demo.claims import Asked, claims_after, claims_before
from serve.demo.conversation import Conversation, Question

StartSystem = Callable[[], AbstractContextManager[MemosClient]]
"""Brings the system up on the same state each time, and takes it down again when the block is left."""

CUBE = "ines-and-jonas"
TURNS_PER_ADD = 4
TOP_K = 5
ANSWER_TOKENS = 40
WITHOUT_MEMORY = {"cubes": [], "remember": False}
WITH_MEMORY = {"cubes": [CUBE], "remember": False, "top_k": TOP_K}


def run(start: StartSystem, conversation: Conversation, console: Console) -> bool:
    """The whole run; True when everything that it claims to show held."""
    began = time.perf_counter()
    display.opening(console, conversation)
    with _started(console, start, "Starting the system") as memos:
        adds_ms = _remember(memos, conversation, console)
        before = [_ask(memos, question, console) for question in conversation.questions]
    with _started(console, start, "The system was stopped. Starting it again") as memos:
        after = [_ask_again(memos, question, console) for question in conversation.questions]
        there = sum(1 for _ in memos.memories(CUBE))
        chain = memos.verify(CUBE)
    shown = claims_before(before) + claims_after(before, after, (conversation.turns, there), chain)
    numbers = {
        "turns remembered": str(conversation.turns),
        f"add of {TURNS_PER_ADD} turns, on disk and searchable": f"{statistics.median(adds_ms):.0f} ms",
        "searches": str(len(before) + len(after)),
        "search, inside the server": f"{statistics.median(a.search_ms for a in (*before, *after)):.1f} ms",
        "the whole run": f"{time.perf_counter() - began:.0f} s",
    }
    display.closing(console, shown, numbers)
    return all(claim.holds for claim in shown)


@contextmanager
def _started(console: Console, start: StartSystem, text: str) -> Iterator[MemosClient]:
    """`start()`, with a line that tells what happens and how long it took."""
    began = time.perf_counter()
    with ExitStack() as system:
        console.print(f"{text} …")
        memos = system.enter_context(start())
        console.print(f"Ready after {time.perf_counter() - began:.0f} s.\n")
        yield memos


def _remember(memos: MemosClient, conversation: Conversation, console: Console) -> list[float]:
    """Adds every turn, a few at a time; milliseconds of each add."""
    memos.create_cube(CUBE, conversation.title)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    adds_ms = []
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Remembering", total=conversation.turns)
        for session in conversation.sessions:
            for start in range(0, len(session), TURNS_PER_ADD):
                turns = session[start : start + TURNS_PER_ADD]
                began = time.perf_counter()
                memos.add(CUBE, messages=turns)
                adds_ms.append((time.perf_counter() - began) * 1000)
                progress.advance(bar, len(turns))
    console.print()
    return adds_ms


def _ask(memos: MemosClient, question: Question, console: Console) -> Asked:
    found = memos.search(question.text, [CUBE], top_k=TOP_K, explain=True)
    without = memos.chat(_turn(question), WITHOUT_MEMORY, max_tokens=ANSWER_TOKENS).text
    answer, used = _answer(memos, question)
    asked = Asked(question, found.results, answer, used, without, found.took_ms["total"])
    display.side_by_side(console, asked)
    return asked


def _ask_again(memos: MemosClient, question: Question, console: Console) -> Asked:
    found = memos.search(question.text, [CUBE], top_k=TOP_K)
    answer, used = _answer(memos, question)
    asked = Asked(question, found.results, answer, used, search_ms=found.took_ms["total"])
    display.again(console, asked)
    return asked


def _answer(memos: MemosClient, question: Question) -> tuple[str, tuple[str, ...]]:
    answer = memos.chat(_turn(question), WITH_MEMORY, max_tokens=ANSWER_TOKENS)
    return answer.text, tuple(memory["id"] for memory in (answer.memory or {}).get("used", ()))


def _turn(question: Question) -> list[dict[str, str]]:
    return [{"role": "user", "content": question.text}]
