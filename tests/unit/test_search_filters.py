"""What a search filter lets through, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import InvalidRequest
from actors.memory.filters import MAX_CONDITIONS, MAX_DEPTH, parse_filter
from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1_000_000)


MEMORY = Memory(
    id="m",
    cube_id="c",
    version=1,
    form=Form.PLAINTEXT,
    type="message",
    state=State.ACTIVATED,
    text="I went to the support group",
    recorded_at_us=us("2024-01-01T00:00:00Z"),
    speaker="Caroline",
    session="s1",
    tags=("health", "family"),
    metadata={"topic": "Art class", "stars": 4, "done": True, "places": ["Rome", "Oslo"], "a": {"b": 1}, "x.y": 2},
    occurred_at_us=us("2023-05-08T13:56:00Z"),
    valid_from_us=us("2023-05-01T00:00:00Z"),
    valid_to_us=us("2023-06-01T00:00:00Z"),
)


@pytest.mark.parametrize(
    ("spec", "matches"),
    [
        ({}, True),
        ({"type": "message"}, True),
        ({"type": ["fact", "message"]}, True),
        ({"type": []}, False),
        ({"type": "message", "speaker": "Melanie"}, False),
        ({"tags": "family"}, True),
        ({"tags": ["x", "health"]}, True),
        ({"tags": {"contains": "health"}}, True),
        ({"tags": {"ne": "health"}}, False),
        ({"state": "activated"}, True),
        ({"state": {"ne": "frozen"}}, True),
        ({"speaker": {"contains": "carol"}}, True),
        ({"session": {"gte": "s0", "lt": "s2"}}, True),
        ({"occurred_at": {"gte": "2023-05-08T00:00:00Z", "lt": "2023-05-09T00:00:00+00:00"}}, True),
        ({"occurred_at": "2023-05-08T15:56:00+02:00"}, True),
        ({"occurred_at": {"gt": "2023-05-08T13:56:00Z"}}, False),
        ({"recorded_at": {"lte": "2023-12-31T23:59:59.999999Z"}}, False),
        ({"valid_from": {"lte": "2023-05-01T00:00:00Z"}, "valid_to": {"gt": "2023-05-01T00:00:00Z"}}, True),
        ({"valid_from": {"gt": "2023-05-01T00:00:00Z"}}, False),
        ({"valid_at": "2023-05-01T00:00:00Z"}, True),
        ({"valid_at": "2023-04-30T23:59:59Z"}, False),
        ({"valid_at": "2023-06-01T00:00:00Z"}, False),
        ({"valid_at": "2023-05-31T23:59:59.999999Z"}, True),
        ({"valid_at": {"gte": "2023-05-20T00:00:00Z", "lt": "2024-01-01T00:00:00Z"}}, True),
        ({"valid_at": {"lt": "2023-05-01T00:00:00Z"}}, False),
        ({"valid_at": {"lte": "2023-05-01T00:00:00Z"}}, True),
        ({"valid_at": {"gte": "2023-06-01T00:00:00Z"}}, False),
        ({"valid_at": {"gt": "2023-05-31T23:59:59.999998Z"}}, True),
        ({"expires_at": None}, True),
        ({"expires_at": {"lt": "2099-01-01T00:00:00Z"}}, False),
        ({"metadata.topic": {"contains": "ART"}}, True),
        ({"metadata.stars": 4}, True),
        ({"metadata.stars": {"gt": 3.5, "lte": 4}}, True),
        ({"metadata.stars": {"gte": "4"}}, False),
        ({"metadata.stars": "4"}, False),
        ({"metadata.done": True}, True),
        ({"metadata.done": 1}, False),
        ({"metadata.done": {"gte": 0}}, False),
        ({"metadata.places": "Oslo"}, True),
        ({"metadata.places": {"contains": "Rome"}}, True),
        ({"metadata.places": {"gte": "A"}}, False),
        ({"metadata.a.b": 1}, True),
        ({"metadata.x.y": 2}, True),
        ({"metadata.nothing": None}, True),
        ({"metadata.nothing": {"ne": "x"}}, True),
        ({"metadata.nothing": {"lt": 9}}, False),
        ({"metadata.topic.deeper": "x"}, False),
        ({"any": [{"speaker": "Melanie"}, {"tags": "health"}]}, True),
        ({"any": [{"speaker": "Melanie"}, {"tags": "work"}]}, False),
        ({"type": "message", "any": [{"any": [{"session": "s1"}]}, {"type": "fact"}]}, True),
    ],
)
def test_a_memory_passes_what_it_satisfies(spec: dict[str, Any], matches: bool) -> None:
    assert parse_filter(spec)(MEMORY) is matches


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"colour": "red"}, "colour.*known: type, tags"),
        ({"metadata": {"a": 1}}, "metadata.KEY"),
        ({"metadata.": 1}, "metadata.KEY"),
        ({"type": {"like": "x"}}, "like.*known: gte"),
        ({"type": {}}, "empty object"),
        ({"type": {"gte": ["a"]}}, "type"),
        ({"type": [["a"]]}, "type"),
        ({"state": "asleep"}, "asleep.*known: generated"),
        ({"entity": "Caroline"}, "graph"),
        ({"occurred_at": "yesterday"}, "RFC 3339"),
        ({"occurred_at": "2023-05-08"}, "RFC 3339"),
        ({"occurred_at": "2023-13-08T00:00:00Z"}, "RFC 3339"),
        ({"occurred_at": {"gte": 5}}, "RFC 3339"),
        ({"occurred_at": {"contains": "2023"}}, "occurred_at"),
        ({"any": {}}, "any"),
        ({"any": []}, "any"),
        ({"any": "type"}, "any"),
        ({"any": ["type"]}, "object"),
        ("type", "object"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_with_what_would(spec: Any, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        parse_filter(spec)


def test_depth_and_length_are_bounded() -> None:
    deep: dict[str, Any] = {"type": "fact"}
    for _ in range(MAX_DEPTH - 1):
        deep = {"any": [deep]}
    assert parse_filter(deep)(MEMORY) is False
    with pytest.raises(InvalidRequest, match="deep"):
        parse_filter({"any": [deep]})
    with pytest.raises(InvalidRequest, match=str(MAX_CONDITIONS)):
        parse_filter({"type": ["x"] * MAX_CONDITIONS})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["type", "tags", "state", "occurred_at", "metadata.stars", "metadata.a", "any", "entity", "?"])
CONDITIONS = JSON | st.dictionaries(
    st.sampled_from(["gte", "lte", "gt", "lt", "ne", "contains", "?"]), JSON, max_size=2
)


@given(st.dictionaries(NAMES, CONDITIONS, max_size=3), st.dictionaries(st.sampled_from(["stars", "a"]), JSON))
def test_any_json_is_refused_or_answers(spec: dict[str, Any], metadata: dict[str, Any]) -> None:
    memory = Memory("m", "c", 1, Form.PLAINTEXT, "fact", State.ACTIVATED, "t", 0, metadata=metadata)
    try:
        predicate = parse_filter(spec)
    except InvalidRequest:
        return
    assert predicate(memory) in (True, False)


@given(st.sampled_from(["gte", "lte", "gt", "lt"]), st.integers(), st.integers())
def test_numbers_compare_as_python_does(operator: str, held: int, wanted: int) -> None:
    memory = Memory("m", "c", 1, Form.PLAINTEXT, "fact", State.ACTIVATED, "t", 0, metadata={"n": held})
    expected = {"gte": held >= wanted, "lte": held <= wanted, "gt": held > wanted, "lt": held < wanted}[operator]
    assert parse_filter({"metadata.n": {operator: wanted}})(memory) is expected
