"""The HTTP interface: what each route answers, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from actors.errors import Overloaded, StorageUnavailable, Unavailable
from actors.memory.requests import Wait
from actors.memory.search_requests import Shortfall
from serve.contract import limits
from serve.contract.audits import AuditPage
from serve.contract.cubes import CubeOut, CubePage, IssuedKeyOut, KeyPage, PrincipalPage, VerifyOut
from serve.contract.jobs import JobOut, JobPage
from serve.contract.memories import AddedOut, HistoryOut, MemoryOut, MemoryPage
from serve.contract.searches import SearchOut
from tests.unit.edge import Edge, check_problem

ADD = "/v1/cubes/home/memories"


@pytest.fixture
def edge() -> Edge:
    return Edge()


def test_answers_have_the_documented_shapes(edge: Edge) -> None:
    [memory_id] = edge.cube("home", "My dog is called Rex")
    search = {"query": "dog", "cubes": ["home"], "explain": True}
    root = {"key": "root-key"}
    for shape, method, path, options, status in (
        (CubeOut, "GET", "/v1/cubes/home", {}, 200),
        (CubePage, "GET", "/v1/cubes", {}, 200),
        (CubeOut, "PATCH", "/v1/cubes/home", {"json": {"name": "Home"}}, 200),
        (CubeOut, "PUT", "/v1/cubes/home/grants/rita", {"json": {"role": "reader"}}, 200),
        (CubeOut, "DELETE", "/v1/cubes/home/grants/rita", {}, 200),
        (VerifyOut, "GET", "/v1/cubes/home/verify", {}, 200),
        (AuditPage, "GET", "/v1/cubes/home/audit", {}, 200),
        (AuditPage, "GET", "/v1/audit", root, 200),
        (AddedOut, "POST", ADD, {"json": {"texts": [{"text": "x"}]}}, 201),
        (MemoryPage, "GET", ADD, {}, 200),
        (MemoryOut, "GET", f"{ADD}/{memory_id}", {}, 200),
        (MemoryOut, "PATCH", f"{ADD}/{memory_id}", {"json": {"text": "My dog is called Max"}}, 200),
        (HistoryOut, "GET", f"{ADD}/{memory_id}/history", {}, 200),
        (SearchOut, "POST", "/v1/search", {"json": search}, 200),
        (MemoryOut, "POST", f"{ADD}/{memory_id}/transition", {"json": {"to": "archived"}}, 200),
        (IssuedKeyOut, "POST", "/v1/keys", {"json": {"principal": "p"}, **root}, 201),
        (KeyPage, "GET", "/v1/keys", root, 200),
        (PrincipalPage, "GET", "/v1/principals", root, 200),
        (JobOut, "POST", "/v1/jobs", {"json": {"name": "bench_locomo"}}, 201),
        (JobPage, "GET", "/v1/jobs", {}, 200),
        (JobOut, "GET", "/v1/jobs/job_0", {}, 200),
        (JobOut, "POST", "/v1/jobs/job_0/stop", {}, 200),
        (CubeOut, "DELETE", "/v1/cubes/home", {}, 200),
    ):
        answer = edge.call(method, path, **options)
        assert answer.status_code == status, (path, answer.text)
        shape.model_validate(answer.json())


@pytest.mark.parametrize(("method", "path"), [("GET", f"{ADD}?stat=archived"), ("DELETE", f"{ADD}/x?erased=true")])
def test_a_misspelt_query_parameter_is_refused(edge: Edge, method: str, path: str) -> None:
    edge.cube("home", "kept")
    answer = edge.call(method, path)
    check_problem(answer, 422, "invalid-request")
    assert "unknown query parameter" in answer.json()["detail"]


def test_lists_walk_page_by_page(edge: Edge) -> None:
    ids = edge.cube("home", *[f"text {i}" for i in range(5)])
    seen, cursor = [], ""
    while True:
        page = edge.call("GET", f"{ADD}?limit=2{cursor and f'&cursor={cursor}'}").json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert seen == ids


def test_a_message_is_kept_verbatim(edge: Edge) -> None:
    edge.cube()
    message = {
        "role": "user",
        "name": "Caroline",
        "content": "  I went to the\n support group  ",
        "at": "2023-05-08T15:56:00.250+02:00",
        "session": "s1",
        "ref": "D1:3",
    }
    added = edge.call("POST", ADD, json={"messages": [message]}).json()
    assert added["memories"][0]["ref"] == "D1:3"
    memory = edge.call("GET", f"{ADD}/{added['memories'][0]['id']}").json()
    assert memory["text"] == message["content"]
    assert memory["occurred_at"] == "2023-05-08T13:56:00.250000Z"
    assert (memory["speaker"], memory["role"], memory["session"]) == ("Caroline", "user", "s1")
    assert (memory["type"], memory["source"]) == ("message", {"kind": "message"})


def test_wait_reaches_the_host(edge: Edge) -> None:
    edge.cube("home", "one")
    edge.call("POST", ADD, json={"texts": [{"text": "two"}], "wait": "journal"})
    assert [add.wait for add in edge.backend.adds] == [Wait.INDEX, Wait.JOURNAL]


def test_an_idempotency_key_is_one_add(edge: Edge) -> None:
    edge.cube()
    first, again = (
        edge.call("POST", ADD, json={"texts": [{"text": "one"}]}, headers={"Idempotency-Key": "k:1"}) for _ in range(2)
    )
    assert first.json() == again.json()
    other = edge.call("POST", ADD, json={"texts": [{"text": "two"}]}, headers={"Idempotency-Key": "k:1"})
    check_problem(other, 409, "idempotency-mismatch")
    long = {"Idempotency-Key": "k" * (limits.IDEMPOTENCY_KEY_CHARS + 1)}
    check_problem(edge.call("POST", ADD, json={"texts": [{"text": "x"}]}, headers=long), 422, "invalid-request")


@pytest.mark.parametrize("header", ['"1"', "1", 'W/"1"', "*"])
def test_if_match_names_the_version_that_is_changed(edge: Edge, header: str) -> None:
    [memory_id] = edge.cube("home", "one")
    answer = edge.call("PATCH", f"{ADD}/{memory_id}", json={"text": "two"}, headers={"If-Match": header})
    assert answer.json()["version"] == 2
    assert answer.headers["etag"] == '"2"'
    if header != "*":
        stale = edge.call("PATCH", f"{ADD}/{memory_id}", json={"text": "three"}, headers={"If-Match": header})
        check_problem(stale, 412, "stale-version")


@pytest.mark.parametrize("header", ["one", '""', '"1", "2"', "-1", "9" * 30])
def test_an_if_match_that_is_no_version_is_refused(edge: Edge, header: str) -> None:
    [memory_id] = edge.cube("home", "one")
    answer = edge.call("PATCH", f"{ADD}/{memory_id}", json={"text": "two"}, headers={"If-Match": header})
    assert check_problem(answer, 422, "invalid-request")["errors"][0]["field"] == "If-Match"


def test_null_clears_a_field_but_not_the_text(edge: Edge) -> None:
    edge.cube()
    text = {"text": "one", "tags": ["a"], "occurred_at": "2024-01-01T00:00:00Z"}
    memory_id = edge.call("POST", ADD, json={"texts": [text]}).json()["memories"][0]["id"]
    changed = edge.call("PATCH", f"{ADD}/{memory_id}", json={"tags": None, "occurred_at": None}).json()
    assert (changed["tags"], changed["occurred_at"], changed["text"]) == ([], None, "one")
    for body in ({"text": None}, {"reason": "why"}, {}):
        check_problem(edge.call("PATCH", f"{ADD}/{memory_id}", json=body), 422, "invalid-request")


def test_a_refused_transition_lists_what_is_allowed(edge: Edge) -> None:
    [memory_id] = edge.cube("home", "one")
    answer = edge.call("POST", f"{ADD}/{memory_id}/transition", json={"to": "merged"})
    assert check_problem(answer, 409, "transition-refused")["allowed"] == ["archived", "frozen"]


def test_delete_archives_with_its_reason_from_query_or_body(edge: Edge) -> None:
    first, second = edge.cube("home", "one", "two")
    assert edge.call("DELETE", f"{ADD}/{first}?reason=old").json()["state"] == "archived"
    assert edge.call("DELETE", f"{ADD}/{second}", json={"reason": "older"}).json()["state"] == "archived"


def test_as_of_takes_a_version_or_a_time(edge: Edge) -> None:
    [memory_id] = edge.cube("home", "one")
    edge.call("PATCH", f"{ADD}/{memory_id}", json={"text": "two"})
    path = f"{ADD}/{memory_id}"
    assert edge.call("GET", f"{path}?as_of=2").json()["text"] == "one"
    recorded = edge.call("GET", path).json()["recorded_at"]
    assert edge.call("GET", path, params={"as_of": recorded}).json()["text"] == "two"
    check_problem(edge.call("GET", f"{path}?as_of=99"), 404, "version-not-found")
    for bad in ("yesterday", "2024-01-01", "-1", "2024-02-30T00:00:00Z", "2024-01-01T00:00:00"):
        check_problem(edge.call("GET", path, params={"as_of": bad}), 422, "invalid-request")


def test_a_cube_without_a_role_answers_as_one_that_does_not_exist(edge: Edge) -> None:
    [memory_id] = edge.cube("home", "one")
    for method, path, body in (
        ("GET", "/v1/cubes/{}", None),
        ("PATCH", "/v1/cubes/{}", {"name": "x"}),
        ("DELETE", "/v1/cubes/{}", None),
        ("PUT", "/v1/cubes/{}/grants/nobody", {"role": "owner"}),
        ("POST", "/v1/cubes/{}/memories", {"texts": [{"text": "x"}]}),
        ("GET", "/v1/cubes/{}/memories", None),
        ("GET", f"/v1/cubes/{{}}/memories/{memory_id}", None),
        ("GET", "/v1/cubes/{}/verify", None),
        ("GET", "/v1/cubes/{}/audit", None),
        ("POST", "/v1/search", {"query": "one", "cubes": ["{}"]}),
        (
            "POST",
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "hi"}], "memory": {"cubes": ["{}"]}},
        ),
    ):
        hidden, missing = (
            _unnamed(edge, method, path.format(cube), _named(body, cube), cube) for cube in ("home", "gone")
        )
        assert hidden == missing
        assert hidden[0] == 404, (path, hidden)


def _named(body: Any, cube: str) -> Any:
    if isinstance(body, dict):
        return {name: _named(value, cube) for name, value in body.items()}
    return [_named(value, cube) for value in body] if isinstance(body, list) else cube if body == "{}" else body


def _unnamed(edge: Edge, method: str, path: str, body: Any, cube: str) -> tuple[int, str]:
    answer = edge.call(method, path, "nobody-key", json=body)
    text = re.sub(r"urn:memos:request:\w+", "", answer.text)
    return answer.status_code, text.replace(cube, "CUBE")


def test_a_role_that_is_too_small_is_told_what_it_takes(edge: Edge) -> None:
    edge.cube("home", "one")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "reader"})
    answer = edge.call("POST", ADD, "rita-key", json={"texts": [{"text": "x"}]})
    assert check_problem(answer, 403, "forbidden")["needed"] == "writer"


def test_no_key_or_a_wrong_one_is_401(edge: Edge) -> None:
    for headers in ({}, {"Authorization": "Basic x"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer wrong"}):
        answer = edge.call("GET", "/v1/cubes", "", headers=headers)
        check_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_open_paths_take_no_key(edge: Edge, path: str) -> None:
    assert edge.call("GET", path, "").status_code == 200


def test_readiness_names_what_is_missing(edge: Edge) -> None:
    edge.chat.waiting = ["the model is loading"]
    edge.backend.waiting = ["host-0"]
    answer = edge.call("GET", "/readyz", "")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "waiting": ["host-0", "the model is loading"]})


def test_unknown_routes_and_methods_are_problems(edge: Edge) -> None:
    for path in ("/v1/nope", "/v1/cubes/", "/", "/v1/cubes/a/b/c/d"):
        check_problem(edge.call("GET", path), 404, "route-not-found")
    answer = edge.call("PUT", "/v1/cubes")
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, POST"


def test_bodies_that_cannot_be_read(edge: Edge) -> None:
    edge.cube()
    deep = b'{"texts": ' + b"[" * 40 + b"]" * 40 + b"}"
    for body, reason in (
        (b"{", "json"),
        (b"\xff\xfe{}", "encoding"),
        (deep, "depth"),
        (b"[" * 100_000, "json"),
        (b'{"texts": [{"text": "\\ud800"}]}', "json"),
        (b'{"texts": [{"text": "x", "metadata": {"n": NaN}}]}', "json"),
    ):
        answer = edge.call("POST", ADD, content=body, headers={"content-type": "application/json"})
        assert check_problem(answer, 400, "malformed-body")["reason"] == reason
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert check_problem(edge.call("POST", ADD, content=b"a=b", headers=form), 400, "malformed-body")
    for empty in (b"", b"null", b"[]", b'"text"', b"1", b"{}"):
        check_problem(edge.call("POST", ADD, content=empty), 422, "invalid-request")


def test_a_body_over_the_limit_is_413_with_and_without_a_length(edge: Edge) -> None:
    edge.cube()
    check_problem(edge.call("POST", ADD, content=b" " * (limits.BODY_BYTES + 1)), 413, "too-large")

    async def chunks() -> Any:
        for _ in range(limits.BODY_BYTES // 2**20 + 1):
            yield b" " * 2**20

    check_problem(edge.call("POST", ADD, content=chunks()), 413, "too-large")


def test_limits_name_the_field(edge: Edge) -> None:
    edge.cube()
    for body, field in (
        ({"texts": [{"text": "x" * (limits.TEXT_BYTES + 1)}]}, "texts.0.text"),
        ({"texts": [{"text": "\u00e9" * (limits.TEXT_BYTES // 2 + 1)}]}, "texts.0.text"),
        ({"texts": [{"text": " "}]}, "texts.0.text"),
        ({"texts": [{"text": "x", "colour": 1}]}, "texts.0.colour"),
        ({"texts": [{"text": "x", "metadata": {"a": "x" * limits.METADATA_BYTES}}]}, "texts.0.metadata"),
        ({"texts": [{"text": "x", "metadata": {"a": [[[[[[[[1]]]]]]]]}}]}, "texts.0.metadata"),
        ({"messages": [{"content": "x", "at": "2023-05-08 noon"}]}, "messages.0.at"),
        ({"messages": [{"content": "x", "at": 5}]}, "messages.0.at"),
        ({"texts": [{"text": "x"}] * (limits.MEMORIES_PER_ADD + 1)}, "texts"),
        ({"texts": [{"text": "x"}], "wait": "never"}, "wait"),
    ):
        answer = edge.call("POST", ADD, json=body)
        assert check_problem(answer, 422, "invalid-request")["errors"][0]["field"] == field


def test_an_add_may_not_make_too_many_memories_of_documents(edge: Edge) -> None:
    edge.cube()
    content = "\n\n".join(f"# Heading {i}" for i in range(limits.MEMORIES_PER_ADD + 1))
    answer = edge.call("POST", ADD, json={"documents": [{"name": "long.md", "content": content}]})
    check_problem(answer, 413, "too-large")


def test_search_passes_degraded_on_and_searches_on_without_an_embedding(edge: Edge) -> None:
    edge.cube("home", "My dog is called Rex")
    edge.embedder.failure = Unavailable("the embedder is down")
    edge.backend.shortfalls = (Shortfall("dense", "no vector"), Shortfall("cube:far", "no answer"))
    answer = edge.call("POST", "/v1/search", json={"query": "dog", "cubes": ["home"]}).json()
    assert [result["text"] for result in answer["results"]] == ["My dog is called Rex"]
    assert [part["part"] for part in answer["degraded"]] == ["dense", "cube:far"]
    assert "the embedder is down" in answer["degraded"][0]["reason"]
    assert edge.backend.searches[0].query_vector is None
    assert "explain" not in answer["results"][0]


def test_search_refuses_what_it_cannot_do(edge: Edge) -> None:
    edge.cube("a", "one")
    edge.cube("b", "one")
    changes: tuple[dict[str, Any], ...] = (
        {"query": ""},
        {"query": "x" * (limits.QUERY_BYTES + 1)},
        {"top_k": 0},
        {"top_k": limits.TOP_K + 1},
        {"cubes": []},
        {"cubes": ["../x"]},
        {"channels": ["smell"]},
        {"as_of": 3},
        {"as_of": True},
        {"as_of": -1},
        {"filter": []},
    )
    for change in changes:
        body = {"query": "one", "cubes": ["a", "b"], **change}
        check_problem(edge.call("POST", "/v1/search", json=body), 422, "invalid-request")


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Overloaded("full", retry_after_s=2.5), 429, "3"),
        (Unavailable("down"), 503, "1"),
        (StorageUnavailable("x"), 503, "1"),
    ],
)
def test_what_can_be_tried_again_says_when(edge: Edge, error: Any, status: int, retry_after: str) -> None:
    edge.cube()
    edge.backend.failures["read_cube"] = error
    answer = edge.call("GET", "/v1/cubes/home")
    assert (answer.status_code, answer.headers["retry-after"]) == (status, retry_after)


def test_a_bug_is_a_problem_without_its_text(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    edge.cube()
    edge.backend.failures["read_cube"] = RuntimeError("secret detail")  # type: ignore[assignment]
    answer = edge.call("GET", "/v1/cubes/home")
    check_problem(answer, 500, "internal")
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


def test_the_callers_request_id_is_kept_when_it_is_a_plain_word(edge: Edge) -> None:
    assert edge.call("GET", "/healthz", "", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert edge.call("GET", "/healthz", "", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"


def test_status_is_for_governors(edge: Edge) -> None:
    check_problem(edge.call("GET", "/v1/status"), 403, "forbidden")
    assert edge.call("GET", "/v1/status", "root-key").json()["shards"] == 4


def test_a_revoked_key_is_refused(edge: Edge) -> None:
    key_id = next(k["id"] for k in edge.call("GET", "/v1/keys", "root-key").json()["items"] if k["principal"] == "olga")
    assert edge.call("DELETE", f"/v1/keys/{key_id}", "root-key").json()["revoked_at"]
    check_problem(edge.call("GET", "/v1/cubes"), 401, "unauthenticated")
    check_problem(edge.call("DELETE", "/v1/keys/none", "root-key"), 404, "key-not-found")
    check_problem(edge.call("GET", "/v1/keys", "rita-key"), 403, "forbidden")


def test_metrics_count_by_route_template_and_name_no_cube(edge: Edge) -> None:
    edge.cube("very-secret-cube")
    edge.call("GET", "/v1/cubes/very-secret-cube")
    text = edge.call("GET", "/metrics", "").text
    assert 'memos_requests_total{method="GET",route="/v1/cubes/{cube}",status="200"} 1.0' in text
    assert "very-secret" not in text
