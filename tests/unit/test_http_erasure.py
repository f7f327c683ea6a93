"""Erasure and retention through HTTP, the client and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from actors.memory.erasure import Receipt
from serve import rendering
from serve.cli.main import memos
from serve.cli.session import Session
from serve.client import MemosClient
from serve.contract.erasure import DueListOut, ReceiptOut, RetainedOut
from tests.unit.edge import Edge, check_problem
from tests.unit.in_process import InProcess

ADD = "/v1/cubes/home/memories"


@pytest.fixture
def edge() -> Edge:
    return Edge()


def test_an_erasure_answers_a_receipt_and_a_repeat_the_same_one(edge: Edge) -> None:
    kept, secret = edge.cube("home", "kept", "the secret")
    path = f"{ADD}/{secret}"
    answer = edge.call("DELETE", f"{path}?erase=true&reason=asked")
    assert answer.status_code == 200
    receipt = ReceiptOut.model_validate(answer.json())
    assert (receipt.cube, receipt.erased, receipt.derived) == ("home", [secret], [])
    assert edge.call("DELETE", f"{path}?erase=true").json() == answer.json()
    for method, at in (("GET", path), ("GET", f"{path}?as_of=3"), ("GET", f"{path}/history"), ("DELETE", path)):
        problem = check_problem(edge.call(method, at), 404, "memory-erased")
        assert problem["memory"] == secret
    assert [item["id"] for item in edge.call("GET", ADD).json()["items"]] == [kept]
    assert edge.call("GET", "/v1/cubes/home").json()["counts"] == {"plaintext": {"activated": 1}}


def test_who_may_not_erase_is_told_and_nothing_is_changed(edge: Edge) -> None:
    [memory_id] = edge.cube("home", "one")
    path = f"{ADD}/{memory_id}?erase=true"
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "writer"})
    check_problem(edge.call("DELETE", path, key="rita-key"), 403, "forbidden")
    check_problem(edge.call("DELETE", path, key="nobody-key"), 404, "cube-not-found")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "curator"})
    edge.call("POST", f"{ADD}/{memory_id}/transition", json={"to": "frozen"})
    check_problem(edge.call("DELETE", path, key="rita-key"), 403, "forbidden")
    check_problem(edge.call("DELETE", path, key="root-key"), 422, "invalid-request")
    assert edge.call("GET", f"{ADD}/{memory_id}").json()["state"] == "frozen"
    assert edge.call("DELETE", f"{path}&reason=court+order", key="root-key").status_code == 200
    check_problem(edge.call("DELETE", f"{ADD}/mem_unknown?erase=true"), 404, "memory-not-found")


def test_a_delete_is_no_way_to_unfreeze_nor_is_a_step_that_no_table_has(edge: Edge) -> None:
    [memory_id] = edge.cube("home", "one")
    path = f"{ADD}/{memory_id}"
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "curator"})
    edge.call("POST", f"{path}/transition", json={"to": "frozen"})
    for key in ("root-key", "rita-key"):
        check_problem(edge.call("DELETE", path, key=key), 409, "frozen")
        again = edge.call("POST", f"{path}/transition", key=key, json={"to": "frozen"})
        assert check_problem(again, 409, "transition-refused")["allowed"] == ["activated", "archived"]
    check_problem(edge.call("POST", f"{path}/transition", key="rita-key", json={"to": "archived"}), 403, "forbidden")
    assert edge.call("GET", path).json()["state"] == "frozen"
    assert edge.call("POST", f"{path}/transition", key="root-key", json={"to": "archived"}).status_code == 200


def test_retention_says_what_is_due_and_does_it(edge: Edge) -> None:
    edge.cube("home")
    text = {"text": "old", "expires_at": "2020-01-01T00:00:00Z"}
    memory_id = edge.call("POST", ADD, json={"texts": [text]}).json()["memories"][0]["id"]
    assert edge.call("GET", f"{ADD}/{memory_id}").json()["expires_at"] == "2020-01-01T00:00:00Z"
    policy = {"retention": {"archive_after_days": 30}}
    assert edge.call("PATCH", "/v1/cubes/home", json={"policy": policy}).status_code == 200
    due = edge.call("GET", "/v1/cubes/home/retention").json()
    [item] = DueListOut.model_validate(due).items
    assert (item.memory, item.step, item.since) == (memory_id, "archive", "2020-01-01T00:00:00Z")
    done = RetainedOut.model_validate(edge.call("POST", "/v1/cubes/home/retention").json())
    assert [item.memory for item in done.archived] == [memory_id] and not done.more
    assert edge.call("GET", f"{ADD}/{memory_id}").json()["state"] == "archived"
    wrong = edge.call("PATCH", "/v1/cubes/home", json={"policy": {"retention": {"archive_after_days": "soon"}}})
    assert "number of days" in check_problem(wrong, 422, "invalid-request")["detail"]


def test_the_client_and_the_command_line_erase(edge: Edge, tmp_path: Path) -> None:
    first, second = edge.cube("home", "one", "two")
    with MemosClient("http://memos.test", "olga-key", transport=InProcess(edge.api)) as client:
        assert client.erase_memory("home", first, "asked").erased == (first,)
        assert client.due("home") == []
        assert client.apply_retention("home")["more"] is False
    session = Session("http://memos.test", "olga-key", tmp_path, InProcess(edge.api))

    def shell(*args: str, said: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(memos, ["memory", "delete", "home", *args], obj=session, input=said)
        return done.exit_code, done.stdout

    assert shell(second)[0] == 0
    assert edge.call("GET", f"{ADD}/{second}").json()["state"] == "archived"
    assert shell(second, "--erase", said="n\n")[0] == 1
    assert shell(second, "--erase", "--yes")[1].startswith("1 memories erased, 0 that were derived from them")
    assert json.loads(shell(second, "--erase", "--yes", "--json")[1])["erased"] == [second]


def test_a_receipt_names_each_memory_once_however_many_forks_had_it() -> None:
    said = Receipt("home", ("mem_1",), (("f", "mem_1"), ("g", "mem_1"), ("g", "mem_2")), (), 0)
    assert rendering.receipt(said)["derived"] == ["mem_1", "mem_2"]
