"""The job `consolidate`: it goes on step by step, and says what it did."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from actors.errors import InvalidRequest, Unavailable
from cluster.jobs import module_of
from jobs import consolidate

CLIENT = httpx.Client
ARGS = {"url": "http://memos.test", "key": "k", "cube": "home", "rows": 10}


def _answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    def with_transport(**options: Any) -> httpx.Client:
        return CLIENT(**{**options, "transport": httpx.MockTransport(answer)})

    monkeypatch.setattr(consolidate.httpx, "Client", with_transport)


def test_it_takes_steps_until_the_last_row_and_adds_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/cubes/home/consolidate"
        starts.append(json.loads(request.content)["start"])
        following = starts[-1] + 10 if starts[-1] < 20 else None
        return httpx.Response(200, json={"checked": 10, "merged": 2, "linked": 1, "next": following, "total": 25})

    _answering(monkeypatch, answer)
    told: list[float] = []
    assert consolidate.run(ARGS, told.append) == {"checked": 30, "merged": 6, "linked": 3}
    assert starts == [0, 10, 20] and told == [0.4, 0.8]
    assert module_of("consolidate") == "jobs.consolidate"


def test_what_is_refused_ends_it_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(monkeypatch, lambda request: httpx.Response(404, json={"detail": "no cube 'home'"}))
    with pytest.raises(InvalidRequest, match="no cube 'home'"):
        consolidate.run(ARGS)
    with pytest.raises(InvalidRequest, match="rows"):
        consolidate.run({**ARGS, "rows": 0})

    def hang_up(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    _answering(monkeypatch, hang_up)
    with pytest.raises(Unavailable):
        consolidate.run(ARGS)
