"""The conversation of the guided run: two friends over nine months, and questions about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """`expects` holds words that a right answer has one of; `evidence` the refs of the turns that say it."""

    text: str
    expects: tuple[str, ...]
    evidence: frozenset[str]

    def answered_by(self, answer: str) -> bool:
        return any(word.lower() in answer.lower() for word in self.expects)


@dataclass(frozen=True, slots=True)
class Conversation:
    """`sessions` holds the messages of each session, as an add takes them, oldest first."""

    title: str
    sessions: tuple[tuple[Json, ...], ...]
    questions: tuple[Question, ...]

    @property
    def turns(self) -> int:
        return sum(len(session) for session in self.sessions)

    @property
    def dates(self) -> tuple[str, str]:
        """First and last day, as YYYY-MM-DD."""
        return self.sessions[0][0]["at"][:10], self.sessions[-1][0]["at"][:10]


def load_conversation() -> Conversation:
    """The conversation that comes with this package."""
    document = json.loads(resources.files("serve.demo").joinpath("conversation.json").read_text(encoding="utf-8"))
    sessions = tuple(
        tuple({"role": "user", "at": session["at"], "session": session["session"], **turn} for turn in session["turns"])
        for session in document["sessions"]
    )
    questions = tuple(
        Question(item["question"], tuple(item["expects"]), frozenset(item["evidence"]))
        for item in document["questions"]
    )
    return Conversation(document["title"], sessions, questions)
