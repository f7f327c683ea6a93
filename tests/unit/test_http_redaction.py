"""Redaction through the front door: the contract, the SDK and the command line."""

from __future__ import annotations

import json
from typing import Any

from actors.memory.disclosure import WITHHELD
from serve.client import MemosClient, MemosHTTPError
from tests.unit.edge import Edge, check_problem
from tests.unit.in_process import InProcess
from tests.unit.test_cli import Shell, shell

__all__ = ["shell"]

MAIL = "ann@x.org"


def _cube(edge: Edge, mode: str, *entities: str) -> None:
    body = {"id": "home", "policy": {"redaction": {"mode": mode, "entities": list(entities)}}}
    assert edge.call("POST", "/v1/cubes", json=body).status_code == 201


def _add(edge: Edge, text: str, **options: Any) -> Any:
    return edge.call("POST", "/v1/cubes/home/memories", json={"texts": [{"text": text, **options}]})


def test_an_add_says_what_was_found_by_kind_and_number() -> None:
    edge = Edge()
    _cube(edge, "redact")
    answer = _add(edge, f"Caroline, {MAIL}, bob@y.org")
    assert answer.json()["redaction"] == {"EMAIL_ADDRESS": 2, "PERSON": 1}
    memory = edge.call("GET", f"/v1/cubes/home/memories/{answer.json()['memories'][0]['id']}").json()
    assert (memory["text"], memory["redaction"]) == (
        "<PERSON>, <EMAIL_ADDRESS>, <EMAIL_ADDRESS>",
        {"EMAIL_ADDRESS": 2, "PERSON": 1},
    )
    assert edge.call("GET", "/v1/cubes/home").json()["redaction"] == {
        "found": {"EMAIL_ADDRESS": 2, "PERSON": 1},
        "unscreened": 0,
    }


def test_a_refused_add_names_kinds_numbers_and_places_never_values() -> None:
    edge = Edge()
    _cube(edge, "block")
    answer = _add(edge, "fine", metadata={"who": [MAIL]})
    problem = check_problem(answer, 422, "redaction-blocked")
    assert problem["places"] == [{"memory": 0, "field": "metadata", "found": {"EMAIL_ADDRESS": 1}}]
    assert MAIL not in answer.text
    assert edge.call("GET", "/v1/cubes/home").json()["version"] == 1


def test_a_policy_that_says_what_is_not_known_is_told_what_is() -> None:
    edge = Edge()
    body = {"id": "home", "policy": {"redaction": {"mode": "mask", "entities": ["SHOE_SIZE"]}}}
    problem = check_problem(edge.call("POST", "/v1/cubes", json=body), 422, "unknown-entity-kind")
    assert problem["unknown"] == ["SHOE_SIZE"] and "PERSON" in problem["known"]
    _cube(edge, "off")
    for wrong in ({"mode": "erase"}, {"mode": None}, {"mode": ["mask"]}, {"entities": "PERSON"}, {"entities": [1]}):
        answer = edge.call("PATCH", "/v1/cubes/home", json={"policy": {"redaction": wrong}})
        assert check_problem(answer, 422, "invalid-request")["known"]


def test_while_nobody_can_look_an_add_is_told_to_come_back() -> None:
    edge = Edge()
    _cube(edge, "redact")
    edge.backend.recognizer.broken = True
    answer = _add(edge, "hello")
    check_problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_reader_gets_masked_texts_an_owner_does_not() -> None:
    edge = Edge()
    _cube(edge, "mask")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "reader"})
    _add(edge, f"reach Caroline at {MAIL}")
    for path in ("/v1/cubes/home/memories",):
        assert edge.call("GET", path, key="rita-key").json()["items"][0]["text"] == "reach <PERSON> at <EMAIL_ADDRESS>"
        assert edge.call("GET", path).json()["items"][0]["text"] == f"reach Caroline at {MAIL}"
    body = {"query": "reach", "cubes": ["home"]}
    assert MAIL not in edge.call("POST", "/v1/search", json=body, key="rita-key").text
    assert MAIL in edge.call("POST", "/v1/search", json=body).text


def test_a_chat_is_remembered_and_answered_under_the_policy() -> None:
    edge = Edge(("Write to ", MAIL))
    _cube(edge, "mask")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "writer"})
    _add(edge, f"Caroline has the address {MAIL}")
    body = {
        "model": "default",
        "messages": [{"role": "user", "content": "which address has caroline"}],
        "memory": {"cubes": ["home"]},
    }
    assert edge.call("POST", "/v1/chat/completions", json=body, key="rita-key").status_code == 200
    [memory] = edge.chat.requests[0].memories
    assert memory.text == "<PERSON> has the address <EMAIL_ADDRESS>"
    texts = [m["text"] for m in edge.call("GET", "/v1/cubes/home/memories", key="rita-key").json()["items"]]
    assert texts[-1] == "Write to <EMAIL_ADDRESS>"
    edge.call("PATCH", "/v1/cubes/home", json={"policy": {"redaction": {"mode": "block"}}})
    answer = edge.call("POST", "/v1/chat/completions", json=body).json()["memory"]
    assert answer["remembered"] is False and "personal data" in answer["reason"] and MAIL not in answer["reason"]


def test_the_sdk_screens_what_a_cube_held_before() -> None:
    edge = Edge()
    edge.cube("home", f"old {MAIL}", "old tea")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "reader"})
    with MemosClient("http://memos.test", "olga-key", transport=InProcess(edge.api)) as memos:
        try:
            memos.screen("home")
        except MemosHTTPError as error:
            assert (error.slug, error.facts["allowed"]) == ("screening-refused", ["mask"])
        assert memos.change_cube("home", policy={"redaction": {"mode": "mask"}}).redaction["unscreened"] == 2
        with MemosClient("http://memos.test", "rita-key", transport=InProcess(edge.api)) as reader:
            assert {memory.text for memory in reader.memories("home")} == {WITHHELD}
            done = memos.screen("home")
            assert (done.screened, done.remaining, done.redaction) == (2, 0, {"EMAIL_ADDRESS": 1})
            assert [memory.text for memory in reader.memories("home")] == ["old <EMAIL_ADDRESS>", "old tea"]
        assert memos.add("home", texts=[{"text": MAIL}]).redaction == {"EMAIL_ADDRESS": 1}


def test_the_command_line_sets_a_policy_and_screens(shell: Shell) -> None:
    shell.edge.cube("home", f"old {MAIL}")
    done = shell("cube", "redaction", "home", "mask", "--entity", "EMAIL_ADDRESS")
    assert done.exit_code == 0 and "memos cube screen home" in done.stderr
    assert "1 memories looked through, found 1 EMAIL_ADDRESS; 0 left" in shell.ok("cube", "screen", "home")
    assert json.loads(shell.ok("cube", "screen", "home", "--json")) == {"screened": 0, "remaining": 0, "redaction": {}}
    assert "redaction mask: 1 EMAIL_ADDRESS" in shell.ok("cube", "show", "home")
    assert "found 1 EMAIL_ADDRESS" in shell("add", "home", "-", stdin=f"write {MAIL}".encode()).output
    assert shell("cube", "redaction", "home", "mask", "--entity", "NOPE").exit_code == 1
