"""The SDK against the application, in process."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from actors.errors import Unavailable
from serve.client import MemosClient, MemosConnectionError, MemosHTTPError
from serve.client_transport import Transport
from tests.source_tree import ROOT
from tests.unit.edge import Edge
from tests.unit.in_process import InProcess, Meddle

URL = "http://memos.test:8000"


@pytest.fixture
def edge() -> Edge:
    return Edge()


def client(edge: Edge, key: str = "olga-key") -> MemosClient:
    return MemosClient(URL, key, transport=InProcess(edge.api))


def test_the_client_needs_neither_ray_nor_torch_nor_the_server() -> None:
    code = (
        "import sys, serve.client, serve.client_types; "
        "heavy = {'ray', 'torch', 'transformers', 'fastapi', 'pydantic', 'numpy', 'starlette'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_round_through_everything(edge: Edge) -> None:
    with client(edge) as memos:
        assert memos.create_cube("home", "Home").owner == "olga"
        added = memos.add("home", texts=[{"text": "my dog is called Rex", "tags": ["pets"]}])
        memory_id = added.memories[0].id
        assert memos.memory("home", memory_id).tags == ("pets",)
        changed = memos.change_memory("home", memory_id, {"text": "my dog is called Max"}, if_version=1)
        assert (changed.version, len(memos.history("home", memory_id))) == (2, 2)
        found = memos.search("dog called", ["home"], explain=True)
        assert [(r.id, r.explain and r.explain["reason"]) for r in found.results] == [
            (memory_id, "shares words with the query")
        ]
        answer = memos.chat([{"role": "user", "content": "what is my dog called"}])
        assert (answer.text, answer.finish_reason) == ("On 7 May.", "stop")
        assert answer.memory is not None and answer.memory["used"][0]["id"] == memory_id
        deltas = list(memos.chat_stream([{"role": "user", "content": "dog"}], {"remember": False}))
        assert "".join(delta.text for delta in deltas) == "On 7 May."
        assert deltas[-1].memory is not None
        assert memos.models() == ["default", "plain-model"]
        assert memos.delete_memory("home", memory_id, "old").state == "archived"
        assert memos.transition("home", memory_id, "activated").state == "activated"
        assert memos.grant("home", "rita", "reader").grants["rita"] == "reader"
        assert "rita" not in memos.remove_grant("home", "rita").grants
        assert memos.verify("home").ok
        job = memos.submit_job("bench_locomo", args={"path": "/x"})
        assert not memos.job(job.id).ended and memos.stop_job(job.id).ended
        assert memos.job_logs(job.id) == "line one\nline two\n"
        memos.delete_cube("home")
        assert list(memos.cubes()) == []


def test_a_governor_handles_keys(edge: Edge) -> None:
    with client(edge, "root-key") as memos:
        made = memos.create_key("agent", default_cube="home", expires_at="2030-01-01T00:00:00Z")
        assert made.key and made.expires_at == "2030-01-01T00:00:00Z"
        made_so_far = list(memos.keys())
        assert [key.key for key in made_so_far] == [None] * 5
        assert memos.revoke_key(made.id).revoked_at
        assert len(list(memos.principals())) == 5
        assert memos.status()["shards"] == 4


def test_lists_are_walked_page_by_page(edge: Edge) -> None:
    edge.cube("home", *[f"text {i}" for i in range(7)])
    transport = InProcess(edge.api)
    with MemosClient(URL, "olga-key", transport=transport) as memos:
        assert [memory.text for memory in memos.memories("home", page_size=3)] == [f"text {i}" for i in range(7)]
    assert len(transport.requests) == 3


def test_a_refusal_carries_the_problem(edge: Edge) -> None:
    edge.cube("home", "one")
    with client(edge) as memos, pytest.raises(MemosHTTPError) as refused:
        memos.cube("..gone")
    assert (refused.value.status, refused.value.slug) == (422, "invalid-request")
    with client(edge) as memos, pytest.raises(MemosHTTPError) as refused:
        memos.cube("gone")
    assert (refused.value.status, refused.value.slug, refused.value.facts) == (404, "cube-not-found", {"cube": "gone"})
    assert refused.value.instance.startswith("urn:memos:request:")


def test_a_stream_that_fails_raises(edge: Edge) -> None:
    edge.cube("home", "one")
    edge.chat.failure, edge.chat.fail_at = Unavailable("the model died"), 1
    with client(edge) as memos, pytest.raises(MemosHTTPError, match="the model died") as broken:
        list(memos.chat_stream([{"role": "user", "content": "hi"}]))
    assert broken.value.slug == "unavailable"
    edge.chat.fail_at = 0
    with client(edge) as memos, pytest.raises(MemosHTTPError) as refused:
        list(memos.chat_stream([{"role": "user", "content": "hi"}]))
    assert refused.value.status == 503


def failing(times: int, answer: httpx.Response | None = None) -> Meddle:
    left = [times]

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if left[0] == 0:
            return None
        left[0] -= 1
        if answer is None:
            raise httpx.ConnectError("refused", request=request)
        return answer

    return meddle


def sending(edge: Edge, meddle: Meddle, waits: list[float]) -> tuple[Transport, InProcess]:
    wire = InProcess(edge.api, meddle)
    transport = Transport(URL, "olga-key", timeout_s=5, retries=3, transport=wire, sleep=waits.append)
    return transport, wire


def test_what_is_safe_is_tried_again_after_the_time_that_the_server_names(edge: Edge) -> None:
    edge.cube()
    waits: list[float] = []
    busy = httpx.Response(429, headers={"Retry-After": "7"})
    transport, wire = sending(edge, failing(2, busy), waits)
    body, headers = {"texts": [{"text": "x"}]}, {"Idempotency-Key": "k"}
    answer = transport.request("POST", "/v1/cubes/home/memories", body=body, headers=headers)
    assert (answer.status_code, waits) == (201, [7.0, 7.0])
    assert {request.headers["Idempotency-Key"] for request in wire.requests} == {"k"}
    transport, wire = sending(edge, failing(3), waits)
    assert transport.request("GET", "/v1/cubes/home").status_code == 200
    assert len(wire.requests) == 4


def test_what_is_not_safe_is_sent_once(edge: Edge) -> None:
    edge.cube()
    waits: list[float] = []
    for meddle, kind in ((failing(1), MemosConnectionError), (failing(1, httpx.Response(503)), MemosHTTPError)):
        transport, wire = sending(edge, meddle, waits)
        with pytest.raises(kind):
            transport.request("POST", "/v1/search", body={"query": "x", "cubes": ["home"]})
        assert len(wire.requests) == 1
    assert waits == []


def test_an_answer_that_is_no_problem_document_is_still_an_error(edge: Edge) -> None:
    transport, _ = sending(edge, failing(1, httpx.Response(502, text="<html>bad gateway</html>")), [])
    with pytest.raises(MemosHTTPError, match="Bad Gateway") as failed:
        transport.request("GET", "/v1/cubes")
    assert failed.value.status == 502


def test_it_gives_up_at_last(edge: Edge) -> None:
    waits: list[float] = []
    transport, wire = sending(edge, failing(9), waits)
    with pytest.raises(MemosConnectionError, match="refused"):
        transport.request("GET", "/v1/cubes")
    assert (len(wire.requests), waits) == (4, [0.5, 1.0, 2.0])
