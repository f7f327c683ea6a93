"""The LoCoMo benchmark follows its protocol, judged on a conversation small enough to count by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.errors import InvalidRequest
from jobs.bench import locomo
from jobs.bench.locomo import Outcome, Question, read_conversations

SAMPLE: dict[str, Any] = {
    "sample_id": "tiny",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ann", "dia_id": "D1:1", "text": "I bought a kayak."},
            {"speaker": "Bo", "dia_id": "D1:2", "text": "I bake bread."},
        ],
        "session_10_date_time": "12:05 am on 1 January, 2024",
        "session_10": [{"speaker": "Ann", "dia_id": "D10:1", "text": "The kayak sank."}],
        "session_2_date_time": "9:00 am on 2 June, 2023",
        "session_2": [{"speaker": "Bo", "dia_id": "D2:1", "text": "My bread won a prize."}],
        "session_11_date_time": "9:00 am on 2 June, 2024",
    },
    "qa": [
        {"question": "What did Ann buy?", "answer": "a kayak", "evidence": ["D1:1"], "category": 4},
        {"question": "What became of it all?", "answer": "…", "evidence": ["D10:1; D2:1"], "category": 1},
        {"question": "Who is Cy?", "answer": "…", "evidence": ["D9:9"], "category": 3},
        {"question": "What does Ann bake?", "adversarial_answer": "bread", "evidence": ["D1:2 D:1:7"], "category": 5},
        {"question": "Why?", "answer": "…", "category": 2},
    ],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps([SAMPLE]), encoding="utf-8")
    return path


def test_turns_become_messages_in_the_order_of_their_sessions(data: Path) -> None:
    (conversation,) = read_conversations(data)
    assert [message["ref"] for message in conversation.messages] == ["D1:1", "D1:2", "D2:1", "D10:1"]
    assert conversation.messages[0] == {
        "role": "user",
        "name": "Ann",
        "content": "I bought a kayak.",
        "at": "2023-05-08T13:56:00+00:00",
        "session": "session_1",
        "ref": "D1:1",
    }
    assert conversation.messages[-1]["at"] == "2024-01-01T00:05:00+00:00"


def test_joined_evidence_is_split_and_questions_without_any_are_dropped(data: Path) -> None:
    (conversation,) = read_conversations(data)
    assert {q.text: set(q.evidence) for q in conversation.questions} == {
        "What did Ann buy?": {"D1:1"},
        "What became of it all?": {"D10:1", "D2:1"},
        "What does Ann bake?": {"D1:2"},
    }


def test_recall_counts_the_evidence_found_and_a_hit_any_of_it() -> None:
    outcome = Outcome(Question("q", 1, frozenset({"a", "b"})), ("x", "a", "y", "y2", "y3", "b"), 0.01, degraded=False)
    assert [locomo.recall_at(outcome, k) for k in (1, 5, 10)] == [0.0, 0.5, 1.0]
    assert [locomo.hit_at(outcome, k) for k in (1, 5, 10)] == [0.0, 1.0, 1.0]


def test_adversarial_questions_count_in_all_but_not_in_categories_1_to_4(data: Path) -> None:
    conversations = read_conversations(data)
    right, half, wrong = (
        Outcome(question, refs, 0.01, degraded=False)
        for question, refs in zip(conversations[0].questions, [("D1:1",), ("D2:1",), ("D1:1",)], strict=True)
    )
    found = locomo.report(conversations, [right, half, wrong], add_s=2.0, search_s=1.0)
    assert found["all"]["questions"] == 3
    assert found["all"]["recall"]["10"] == 0.5
    assert found["categories_1_to_4"]["recall"]["10"] == 0.75
    assert found["categories_1_to_4"]["hit"]["1"] == 1.0
    assert found["by_category"]["adversarial"]["hit"]["50"] == 0.0
    assert found["by_category"]["temporal"] == {"questions": 0}
    assert (found["adds_per_s"], found["searches_per_s"]) == (2.0, 3.0)


def test_a_file_in_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('[{"conversation": {}}]')
    with pytest.raises(InvalidRequest, match=r"other\.json is not in LoCoMo's format"):
        read_conversations(path)


def test_its_cubes_are_archived_even_when_a_search_fails(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path))
        return httpx.Response(500 if request.url.path == "/v1/search" else 200, json={})

    plain = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: plain(transport=httpx.MockTransport(answer), **options))
    with pytest.raises(httpx.HTTPStatusError):
        locomo.run({"path": str(data), "url": "http://memos.test", "key": "k"})
    cube = next(path for method, path in seen if path.endswith("/memories")).removesuffix("/memories")
    assert cube.startswith("/v1/cubes/locomo-0-")
    assert seen[-1] == ("DELETE", cube)
