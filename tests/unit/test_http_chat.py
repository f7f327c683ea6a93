"""Chat over HTTP: OpenAI's shapes by OpenAI's own SDK, memory, remembering, failures half way, hang-ups."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest

from actors.errors import ContextOverflow, Overloaded, StorageUnavailable, Unavailable
from actors.memory.requests import NewKey
from serve.contract.chat import CompletionOut
from tests.unit.edge import Edge, check_problem, run

CHAT = "/v1/chat/completions"
ASK: list[Any] = [{"role": "user", "content": "what is my dog called"}]


@pytest.fixture
def edge() -> Edge:
    edge = Edge()
    edge.cube("home", "my dog is called Rex")
    return edge


def ask(edge: Edge, key: str = "olga-key", **body: Any) -> httpx2.Response:
    return edge.call("POST", CHAT, key, json={"model": "default", "messages": ASK, **body})  # type: ignore[return-value]


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def sdk(edge: Edge) -> openai.AsyncOpenAI:
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=edge.api))
    return openai.AsyncOpenAI(api_key="olga-key", base_url="http://memos.test/v1", http_client=client, max_retries=0)


def test_openais_sdk_reads_a_whole_answer(edge: Edge) -> None:
    async def chat() -> None:
        async with sdk(edge) as client:
            parts: Any = [{"type": "text", "text": "what is my "}, {"type": "text", "text": "dog called"}]
            answer = await client.chat.completions.create(
                model="default",
                messages=[{"role": "developer", "content": "Be brief"}, {"role": "user", "content": parts}],
                temperature=0.2,
                max_completion_tokens=20,
                stop=["\n"],
                seed=1,
                user="u",
                extra_body={"vendor_extra": {"x": 1}},
            )
            assert answer.choices[0].message.content == "On 7 May."
            assert answer.choices[0].finish_reason == "stop"
            assert answer.usage is not None and answer.usage.total_tokens == 43
            assert answer.usage.prompt_tokens_details is not None
            assert answer.usage.prompt_tokens_details.cached_tokens == 8
            assert answer.model_extra is not None
            CompletionOut.model_validate(answer.model_dump())
            assert [used["cube"] for used in answer.model_extra["memory"]["used"]] == ["home"]
            names = [model.id async for model in await client.models.list()]
            assert names == ["default", "plain-model"]

    run(chat())
    request = edge.chat.requests[0]
    assert [(turn.role, turn.content) for turn in request.turns] == [
        ("system", "Be brief"),
        ("user", "what is my dog called"),
    ]
    sampling = request.sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.stop, sampling.seed) == (0.2, 20, ("\n",), 1)
    assert [memory.text for memory in request.memories] == ["my dog is called Rex"]


def test_openais_sdk_reads_a_stream(edge: Edge) -> None:
    async def chat() -> list[Any]:
        async with sdk(edge) as client:
            stream = await client.chat.completions.create(
                model="default", messages=ASK, stream=True, stream_options={"include_usage": True}
            )
            return [chunk async for chunk in stream]

    chunks = run(chat())
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "On 7 May."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 3
    assert chunks[-2].model_extra["memory"]["remembered"] is True
    assert len({chunk.id for chunk in chunks}) == 1


def test_openais_sdk_raises_its_own_errors(edge: Edge) -> None:
    async def chat(model: str) -> None:
        async with sdk(edge) as client:
            await client.chat.completions.create(model=model, messages=ASK)

    with pytest.raises(openai.NotFoundError) as missing:
        run(chat("gpt-9"))
    assert missing.value.code == "model-not-found"
    edge.chat.failure = Overloaded("too many chats wait", retry_after_s=2)
    with pytest.raises(openai.RateLimitError, match="too many chats wait"):
        run(chat("default"))


def test_a_stream_without_usage_ends_with_the_memory_and_done(edge: Edge) -> None:
    answer = ask(edge, stream=True)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *_, last, done = events(answer.text)
    assert done == "[DONE]"
    assert (last["choices"][0]["finish_reason"], last["choices"][0]["delta"]) == ("stop", {})
    memory = last["memory"]
    assert (memory["prompt_tokens"], memory["cached_tokens"]) == (40, 8)
    assert memory["ttft_ms"] >= 0
    assert "usage" not in last


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("tools", [{"type": "function"}]),
        ("presence_penalty", 0.5),
        ("logprobs", True),
        ("response_format", {"type": "json_object"}),
        ("logit_bias", {"5": 1}),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        ("messages", [{"role": "tool", "content": "x", "tool_call_id": "1"}]),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(edge: Edge, field: str, value: Any) -> None:
    answer: Any = ask(edge, **{field: value})
    assert check_problem(answer, 501, "not-available")["field"] == field
    assert answer.json()["error"]["param"] == field


def test_fields_at_their_neutral_values_are_taken(edge: Edge) -> None:
    neutral: dict[str, Any] = {
        "n": 1,
        "tools": [],
        "presence_penalty": 0,
        "logprobs": False,
        "response_format": {"type": "text"},
    }
    assert ask(edge, **neutral, stop=None, temperature=None, stream=None, store=True, metadata={}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "king", "content": "x"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"max_tokens": 0},
        {"temperature": 3},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"memory": {"cubs": ["home"]}},
        {"memory": {"cubes": ["home", "other"], "as_of": 2}},
    ],
)
def test_wrong_fields_are_refused(edge: Edge, body: dict[str, Any]) -> None:
    answer: Any = ask(edge, **body)
    check_problem(answer, 422, "invalid-request")


def test_without_the_object_the_keys_default_cube_is_used_and_null_means_none(edge: Edge) -> None:
    assert ask(edge).json()["memory"]["used"][0]["cube"] == "home"
    assert ask(edge, memory=None).json()["memory"] is None
    assert len(edge.backend.adds) == 2  # the text and the first chat
    nobody = ask(edge, "nobody-key").json()["memory"]
    assert (nobody["used"], nobody["remembered"], nobody["reason"]) == ([], False, None)


def test_the_exchange_is_remembered_with_what_it_was_derived_from(edge: Edge) -> None:
    ask(edge)
    asked, answered = edge.backend.adds[-1].memories
    assert (asked.text, asked.role, asked.source) == (ASK[0]["content"], "user", {"kind": "chat"})
    assert (answered.text, answered.role) == ("On 7 May.", "assistant")
    assert [reference.cube_id for reference in answered.derived_from] == ["home"]
    ask(edge, memory={"remember": False})
    assert len(edge.backend.adds) == 2


def test_an_earlier_answer_and_question_never_come_back_as_facts(edge: Edge) -> None:
    edge.chat.texts = ["my dog is called Bello"]
    said = [{"role": "user", "content": "my dog is called Rex since 2020"}]
    ask(edge, messages=said)
    for _ in range(6):
        ask(edge)
    texts = [memory.text for memory in edge.chat.requests[-1].memories]
    assert sorted(texts) == ["my dog is called Rex", "my dog is called Rex since 2020"]
    found = edge.call("POST", "/v1/search", json={"query": "Bello", "cubes": ["home"]}).json()
    assert {result["text"] for result in found["results"]} == {"my dog is called Bello"}


def test_facts_are_found_behind_any_number_of_remembered_questions(edge: Edge) -> None:
    for _ in range(30):
        ask(edge, memory={"top_k": 1})
    assert [memory.text for memory in edge.chat.requests[-1].memories] == ["my dog is called Rex"]


def test_what_the_conversation_says_already_is_not_repeated(edge: Edge) -> None:
    turns = [{"role": "user", "content": "my dog is called Rex"}, {"role": "assistant", "content": "Nice"}, *ASK]
    ask(edge, messages=turns)
    assert edge.chat.requests[-1].memories == ()


def test_a_failure_to_remember_is_told_and_breaks_nothing(edge: Edge) -> None:
    edge.backend.failures["add"] = StorageUnavailable("the disk is full")
    memory = ask(edge).json()["memory"]
    assert (memory["remembered"], memory["reason"]) == (False, "the disk is full")


def test_the_first_cube_where_the_caller_may_write_remembers(edge: Edge) -> None:
    edge.cube("mine")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "reader"})
    edge.call("PUT", "/v1/cubes/mine/grants/rita", json={"role": "writer"})
    assert ask(edge, "rita-key", memory={"cubes": ["home", "mine"]}).json()["memory"]["remembered"] is True
    assert edge.call("GET", "/v1/cubes/mine").json()["version"] == 3
    only_read = ask(edge, "rita-key", memory={"cubes": ["home"]}).json()["memory"]
    assert only_read["remembered"] is False and "may not write" in only_read["reason"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_before_the_first_token_has_its_own_status(edge: Edge, stream: bool) -> None:
    edge.chat.failure = ContextOverflow("the question does not fit")
    check_problem(ask(edge, stream=stream), 400, "context-overflow")  # type: ignore[arg-type]
    edge.backend.failures["search"] = Unavailable("no host answers")
    check_problem(ask(edge, stream=stream), 503, "unavailable")  # type: ignore[arg-type]


def test_a_failure_half_way_ends_the_stream_with_an_error(edge: Edge) -> None:
    edge.chat.failure, edge.chat.fail_at = Unavailable("the model died"), 2
    *_, last = events(ask(edge, stream=True).text)
    assert last["error"]["message"] == "the model died"
    assert len(edge.backend.adds) == 1  # a broken answer is not remembered

    async def chat() -> list[Any]:
        async with sdk(edge) as client:
            stream = await client.chat.completions.create(model="default", messages=ASK, stream=True)
            return [chunk async for chunk in stream]

    with pytest.raises(openai.APIError, match="the model died"):
        run(chat())


@pytest.mark.parametrize(("stream", "at"), [(False, 0), (True, 0), (True, 1)])
def test_a_hang_up_stops_the_model(edge: Edge, stream: bool, at: int) -> None:
    async def hang_up_in_piece() -> None:
        body = json.dumps({"messages": ASK, "stream": stream}).encode()
        gone, reached, pieces = asyncio.Event(), asyncio.Event(), 0

        async def pause() -> None:
            nonlocal pieces
            pieces += 1
            if pieces > at:
                reached.set()
                await asyncio.Event().wait()

        async def receive() -> dict[str, Any]:
            nonlocal body
            if body:
                message, body = {"type": "http.request", "body": body, "more_body": False}, b""
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        sent: list[Any] = []
        edge.chat.pause = pause
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "path": CHAT,
            "raw_path": CHAT.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "server": ("memos.test", 80),
            "headers": [(b"authorization", b"Bearer olga-key"), (b"content-type", b"application/json")],
        }
        serving = asyncio.ensure_future(edge.api(scope, receive, send))
        await asyncio.wait_for(reached.wait(), 10)
        assert edge.chat.closed == 0
        gone.set()
        await asyncio.wait_for(serving, 10)
        assert edge.chat.closed == 1
        assert bool(sent) == (at > 0)

    run(hang_up_in_piece())
    assert len(edge.backend.adds) == 1


def test_a_user_may_be_named_and_a_chat_may_have_a_session(edge: Edge) -> None:
    named = [{"role": "user", "name": "Olga", "content": "I moved to Rome"}]
    ask(edge, messages=named, memory={"session": "s9"})
    asked, answered = edge.backend.adds[-1].memories
    assert (asked.speaker, asked.session, answered.session) == ("Olga", "s9", "s9")


def test_a_chat_counts_its_tokens(edge: Edge) -> None:
    ask(edge)
    text = edge.call("GET", "/metrics", "").text
    assert "memos_chat_prompt_tokens_total 40.0" in text
    assert "memos_chat_completion_tokens_total 3.0" in text


def test_a_key_may_name_a_cube_that_is_gone(edge: Edge) -> None:
    edge.backend.issue(NewKey("olga", default_cube="gone"), "stale-key")
    check_problem(ask(edge, "stale-key"), 404, "cube-not-found")  # type: ignore[arg-type]
