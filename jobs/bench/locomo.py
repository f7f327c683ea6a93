"""LoCoMo retrieval through HTTP: `python -m jobs.bench.locomo --url URL --key KEY --path FILE [--json FILE]`.

How much of the evidence of a question comes back among the first k results (Maharana et al. 2024, "Evaluating
Very Long-Term Conversational Memory of LLM Agents"). Retrieval within each conversation, one memory a turn.
Joined evidence is split, ids that do not exist are ignored, questions left without evidence are dropped.
"""

from __future__ import annotations

import json
import re
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pydantic import Field

from actors.errors import InvalidRequest
from jobs.bench.contract import Benchmark, Progress, ServerArguments
from jobs.bench.report import Json

CUTOFFS = (1, 5, 10, 20, 50)
"""Every k that recall and hits are reported at; a search asks for the largest."""

CONCURRENCY = 8
TURNS_PER_ADD = 200
ADVERSARIAL = 5
"""Questions that the conversation does not answer; they have evidence that misleads."""

_CATEGORIES = {1: "multi_hop", 2: "temporal", 3: "open_domain", 4: "single_hop", ADVERSARIAL: "adversarial"}


class LocomoArguments(ServerArguments):
    path: str = Field(min_length=1, description="the data: a file in LoCoMo's format")


@dataclass(frozen=True, slots=True)
class Question:
    """`evidence` holds the refs of the turns that answer it: at least one."""

    text: str
    category: int
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """`messages` are ready to be added, oldest first; their `ref` is the turn's own id."""

    name: str
    messages: tuple[Json, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search brought: refs, best first."""

    question: Question
    refs: tuple[str, ...]
    took_s: float
    degraded: bool


def read_conversations(path: Path) -> list[Conversation]:
    """The conversations of a file in LoCoMo's own format. Raises InvalidRequest for what cannot be read as one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [read_conversation(sample) for sample in document]
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}", path=str(path)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{path} is not in LoCoMo's format: {error!r}", path=str(path)) from error


def read_conversation(sample: Mapping[str, Any]) -> Conversation:
    talk = sample["conversation"]
    sessions = sorted((key for key in talk if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:]))
    messages = [
        {
            "role": "user",
            "name": turn["speaker"],
            "content": turn["text"],
            "at": session_time(talk[f"{session}_date_time"]).isoformat(),
            "session": session,
            "ref": turn["dia_id"],
        }
        for session in sessions
        for turn in talk[session]
    ]
    refs = frozenset(message["ref"] for message in messages)
    asked = (Question(q["question"], q["category"], evidence_of(q, refs)) for q in sample["qa"])
    return Conversation(sample["sample_id"], tuple(messages), tuple(q for q in asked if q.evidence))


def session_time(text: str) -> datetime:
    """UTC time of a text such as "1:56 pm on 8 May, 2023"; the data set names no zone."""
    return datetime.strptime(text.strip(), "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)


def evidence_of(question: Mapping[str, Any], refs: frozenset[str]) -> frozenset[str]:
    """The turns that answer a question: "D8:6; D9:17" is two, and an id that is no turn's is left out."""
    named = (ref for joined in question.get("evidence", ()) for ref in re.split(r"[;,\s]+", joined))
    return refs.intersection(named)


def recall_at(outcome: Outcome, k: int) -> float:
    """The part of the evidence that is among the first k results."""
    evidence = outcome.question.evidence
    return len(evidence.intersection(outcome.refs[:k])) / len(evidence)


def hit_at(outcome: Outcome, k: int) -> float:
    """1.0 when any of the evidence is among the first k results, else 0.0."""
    return float(not outcome.question.evidence.isdisjoint(outcome.refs[:k]))


def scores(outcomes: Sequence[Outcome]) -> Json:
    """Means over questions: {"questions": n, "recall": {"1": …}, "hit": {"1": …}}."""
    if not outcomes:
        return {"questions": 0}
    return {
        "questions": len(outcomes),
        "recall": {str(k): _mean(recall_at(outcome, k) for outcome in outcomes) for k in CUTOFFS},
        "hit": {str(k): _mean(hit_at(outcome, k) for outcome in outcomes) for k in CUTOFFS},
    }


def report(conversations: Sequence[Conversation], outcomes: Sequence[Outcome], add_s: float, search_s: float) -> Json:
    """The whole report; `add_s` and `search_s` are the wall times of all adds and of all searches."""
    took_ms = sorted(outcome.took_s * 1_000 for outcome in outcomes)
    quantiles = statistics.quantiles(took_ms, n=100, method="inclusive") if len(took_ms) > 1 else took_ms * 99
    turns = sum(len(conversation.messages) for conversation in conversations)
    return {
        "conversations": len(conversations),
        "turns": turns,
        "all": scores(outcomes),
        "categories_1_to_4": scores([o for o in outcomes if o.question.category != ADVERSARIAL]),
        "by_category": {
            name: scores([o for o in outcomes if o.question.category == number]) for number, name in _CATEGORIES.items()
        },
        "adds_per_s": round(turns / add_s, 1),
        "searches_per_s": round(len(outcomes) / search_s, 1),
        "search_ms": {"p50": round(quantiles[49], 2), "p95": round(quantiles[94], 2)},
        "concurrency": CONCURRENCY,
        "degraded": sum(outcome.degraded for outcome in outcomes),
    }


def measure(args: LocomoArguments, progress: Progress) -> Json:
    """Makes a cube a conversation and archives each at the end, come what may.

    Raises InvalidRequest for a file that is not in LoCoMo's format, and httpx.HTTPError.
    """
    conversations = read_conversations(Path(args.path))
    headers = {"Authorization": f"Bearer {args.key}"}
    run_id = uuid.uuid4().hex[:8]
    cubes = {f"locomo-{n}-{run_id}": conversation for n, conversation in enumerate(conversations)}
    made: list[str] = []
    with httpx.Client(base_url=args.url, headers=headers, timeout=120, trust_env=False) as client:
        try:
            started = time.perf_counter()
            for cube, conversation in cubes.items():
                client.post("/v1/cubes", json={"id": cube}).raise_for_status()
                made.append(cube)
                _add(client, cube, conversation)
                progress(0.4 * len(made) / len(cubes))
            added = time.perf_counter()
            outcomes = _search_all(client, cubes, lambda part: progress(0.4 + 0.6 * part))
            return report(conversations, outcomes, added - started, time.perf_counter() - added)
        finally:
            for cube in made:
                client.delete(f"/v1/cubes/{cube}", params={"reason": "benchmark over"})


def _add(client: httpx.Client, cube: str, conversation: Conversation) -> None:
    for start in range(0, len(conversation.messages), TURNS_PER_ADD):
        messages = conversation.messages[start : start + TURNS_PER_ADD]
        client.post(f"/v1/cubes/{cube}/memories", json={"messages": messages}).raise_for_status()


def _search_all(
    client: httpx.Client, cubes: Mapping[str, Conversation], progress: Callable[[float], None]
) -> list[Outcome]:
    asked = [(cube, question) for cube, conversation in cubes.items() for question in conversation.questions]
    outcomes = []
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        for outcome in pool.map(lambda pair: _search(client, *pair), asked):
            outcomes.append(outcome)
            if len(outcomes) % 50 == 0:
                progress(len(outcomes) / len(asked))
    return outcomes


def _search(client: httpx.Client, cube: str, question: Question) -> Outcome:
    body = {"query": question.text, "cubes": [cube], "top_k": max(CUTOFFS)}
    started = time.perf_counter()
    answer = client.post("/v1/search", json=body).raise_for_status().json()
    took_s = time.perf_counter() - started
    return Outcome(question, tuple(result["ref"] for result in answer["results"]), took_s, bool(answer["degraded"]))


def _mean(values: Iterable[float]) -> float:
    return round(statistics.fmean(values), 4)


BENCHMARK = Benchmark("locomo", __doc__, LocomoArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
