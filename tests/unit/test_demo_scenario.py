"""The guided run, against the application in process: what it claims is judged by what was seen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rich.console import Console

from serve.client import MemosClient
from serve.client_types import Result, Verification
from serve.demo import scenario
from serve.demo.claims import Asked, claims_after, claims_before
from serve.demo.conversation import Question, load_conversation
from tests.unit.edge import Edge
from tests.unit.in_process import InProcess

QUESTION = Question("What is Ines allergic to?", ("cashew",), frozenset({"s1:10"}))


def result(ref: str) -> Result:
    return Result("c", f"mem-{ref}", 1, "text", 0.5, ref=ref)


def good() -> Asked:
    return Asked(QUESTION, (result("s1:3"), result("s1:10")), "To cashews.", ("mem-s1:10",), "To fish.")


def test_the_conversation_is_long_dated_and_answers_its_own_questions() -> None:
    conversation = load_conversation()
    assert conversation.turns >= 70
    assert len({session[0]["at"] for session in conversation.sessions}) >= 6
    texts = {turn["ref"]: turn["content"] for session in conversation.sessions for turn in session}
    assert len(texts) == conversation.turns
    for question in conversation.questions:
        assert question.evidence <= texts.keys()
        assert any(question.answered_by(texts[ref]) for ref in question.evidence)
        assert not question.answered_by(question.text)


def test_a_good_run_holds() -> None:
    assert all(claim.holds for claim in claims_before([good()]))
    assert all(claim.holds for claim in claims_after([good()], [good()], (81, 81), Verification("c", True, 82, ())))


@pytest.mark.parametrize(
    "bad",
    [
        replace(good(), results=(result("s1:3"),)),
        replace(good(), used=()),
        replace(good(), answer="To fish."),
        replace(good(), without="Cashews, I guess."),
    ],
    ids=["evidence not found", "no memory used", "wrong with memory", "right without memory too"],
)
def test_a_claim_that_did_not_hold_fails(bad: Asked) -> None:
    assert not all(claim.holds for claim in claims_before([bad]))


def test_what_a_restart_loses_is_told() -> None:
    chain = Verification("c", True, 82, ())
    other = replace(good(), results=(result("s1:10"),))
    for after, there, verified in (
        (good(), 80, chain),
        (other, 81, chain),
        (good(), 81, replace(chain, ok=False)),
    ):
        assert not all(claim.holds for claim in claims_after([good()], [after], (81, there), verified))


def test_the_run_goes_from_start_to_end() -> None:
    edge = Edge()
    starts: list[str] = []

    @contextmanager
    def start() -> Iterator[MemosClient]:
        starts.append("up")
        with MemosClient("http://memos.test", "olga-key", transport=InProcess(edge.api)) as memos:
            yield memos
        starts.append("down")

    out = io.StringIO()
    held = scenario.run(start, load_conversation(), Console(file=out, width=120))
    assert starts == ["up", "down", "up", "down"]
    assert not held, "the scripted model answers nothing right"
    assert "failed  0 of 5 answers are right with memory, 0 without" in out.getvalue()
    assert f"held    after a restart all {load_conversation().turns} memories are there" in out.getvalue()
    without, with_memory = edge.chat.requests[0], edge.chat.requests[1]
    assert not without.memories
    assert with_memory.memories
