"""Whatever is sent, the answer is a problem or a success: never a 500."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve.contract.fields import depth_of
from serve.contract.times import format_time, parse_time
from tests.unit.edge import Edge

ROUTES = [
    ("POST", "/v1/cubes"),
    ("PATCH", "/v1/cubes/home"),
    ("PUT", "/v1/cubes/home/grants/rita"),
    ("POST", "/v1/cubes/home/memories"),
    ("PATCH", "/v1/cubes/home/memories/{memory}"),
    ("DELETE", "/v1/cubes/home/memories/none"),
    ("POST", "/v1/cubes/home/memories/{memory}/transition"),
    ("POST", "/v1/search"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/keys"),
    ("POST", "/v1/jobs"),
]
FIELDS = [
    *("id", "name", "policy", "role", "messages", "texts", "documents", "wait", "text", "tags", "metadata", "at"),
    *("occurred_at", "valid_to", "to", "reason", "query", "cubes", "top_k", "filter", "as_of", "channels", "explain"),
    *("model", "content", "stream", "stop", "memory", "n", "tools", "principal", "expires_at", "args", "cube"),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["home", "reader", "default", "user", "archived", "2024-01-01T00:00:00Z", "dense", "\x00"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def edge() -> Edge:
    edge = Edge()
    edge.cube("home", "one")
    return edge


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=st.dictionaries(st.sampled_from(FIELDS), values, max_size=5))
def test_no_json_body_is_a_server_error(edge: Edge, route: tuple[str, str], body: dict[str, Any]) -> None:
    method, path = route
    memory_id = next(iter(edge.backend.cubes["home"].state.history))
    answer = edge.call(method, path.format(memory=memory_id), "root-key", json=body)
    assert answer.status_code < 500 or answer.status_code == 501, (route, body, answer.text)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=st.binary(max_size=60))
def test_no_bytes_are_a_server_error(edge: Edge, route: tuple[str, str], body: bytes) -> None:
    answer = edge.call(route[0], route[1].format(memory="none"), content=body)
    assert 400 <= answer.status_code < 500 or (route[0] == "DELETE" and answer.status_code == 404)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.text(min_size=1, max_size=30), max_size=4), query=st.text(max_size=20))
def test_no_path_and_query_is_a_server_error(edge: Edge, parts: list[str], query: str) -> None:
    from urllib.parse import quote

    path = "/v1/cubes/" + "/".join(quote(part, safe="") for part in parts)
    for name in ("cursor", "as_of", "limit", "state"):
        answer = edge.call("GET", f"{path}?{name}={quote(query)}")
        assert answer.status_code < 500, (path, answer.text)


@given(st.integers(min_value=parse_time("0001-01-01T00:00:00Z"), max_value=parse_time("9999-12-31T23:59:59.999999Z")))
def test_times_come_back_as_they_went_in(at_us: int) -> None:
    text = format_time(at_us)
    assert text is not None
    assert parse_time(text) == at_us


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00", "2024-01-01T25:00:00Z"])
def test_times_that_cannot_be_stored_are_refused(edge: Edge, text: str) -> None:
    body = {"messages": [{"content": "x", "at": text}]}
    assert edge.call("POST", "/v1/cubes/home/memories", json=body).status_code == 422


@given(st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)))
def test_depth_counts_nesting(value: Any) -> None:
    def depth(of: Any) -> int:
        if not isinstance(of, (list, dict)):
            return 0
        return 1 + max((depth(child) for child in (of.values() if isinstance(of, dict) else of)), default=0)

    assert depth_of(value, 100) == depth(value)


def test_a_document_without_text_is_refused(edge: Edge) -> None:
    answer = edge.call("POST", "/v1/cubes/home/memories", json={"documents": [{"name": "a.md", "content": " \n"}]})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "documents.0.content"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/keys", {"principal": "eve", "governor": "yes"}),
        ("/v1/search", {"query": "one", "cubes": ["home"], "explain": 1}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "memory": {"cubes": ["home"], "remember": "off"}},
        ),
    ],
)
def test_only_true_and_false_are_truth_values(edge: Edge, path: str, body: dict[str, Any]) -> None:
    answer = edge.call("POST", path, "root-key", json=body)
    assert answer.status_code == 422, answer.text
