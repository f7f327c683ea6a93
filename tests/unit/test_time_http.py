"""The time machine through HTTP, the SDK and the commands."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from serve.cli.main import memos as command
from serve.cli.session import Session
from serve.client import MemosClient, MemosHTTPError
from tests.unit.edge import Edge, check_problem
from tests.unit.in_process import InProcess

FUTURE = "2999-01-01T00:00:00Z"


@pytest.fixture
def edge() -> Edge:
    return Edge()


def test_a_rollback_gives_back_what_was_and_can_be_rolled_back(edge: Edge) -> None:
    first, second = edge.cube("home", "tea", "coffee")
    assert edge.call("PATCH", f"/v1/cubes/home/memories/{first}", json={"text": "juice"}).status_code == 200
    assert edge.call("DELETE", f"/v1/cubes/home/memories/{second}").status_code == 200
    answer = edge.call("POST", "/v1/cubes/home/rollback", json={"to": 3, "reason": "by mistake"})
    assert (answer.status_code, answer.json()) == (200, {"version": 6, "to": 3, "changed": 2, "frozen": []})
    read = edge.call("GET", f"/v1/cubes/home/memories/{first}").json()
    assert (read["text"], read["version"], read["state"]) == ("tea", 3, "activated")
    at_5 = edge.call("GET", f"/v1/cubes/home/memories/{first}", params={"as_of": "5"}).json()
    assert (at_5["text"], at_5["version"]) == ("juice", 2)
    assert edge.call("POST", "/v1/cubes/home/rollback", json={"to": 5}).json()["changed"] == 2
    assert edge.call("GET", f"/v1/cubes/home/memories/{first}").json()["text"] == "juice"


def test_a_fork_is_a_cube_of_ones_own(edge: Edge) -> None:
    (memory_id,) = edge.cube("home", "tea")
    edge.call("PATCH", f"/v1/cubes/home/memories/{memory_id}", json={"text": "juice"})
    answer = edge.call("POST", "/v1/cubes/home/fork", json={"as_of": 2, "id": "what-if"})
    assert answer.status_code == 201
    view = answer.json()
    assert (view["id"], view["version"], view["owner"]) == ("what-if", 3, "olga")
    assert view["forked_from"] == {"cube": "home", "version": 2}
    assert edge.call("GET", "/v1/cubes/home").json()["forked_from"] is None
    read = edge.call("GET", f"/v1/cubes/what-if/memories/{memory_id}").json()
    assert (read["text"], read["cube"]) == ("tea", "what-if")
    assert edge.call("POST", "/v1/cubes/home/fork", json={}).json()["version"] == 4
    check_problem(edge.call("POST", "/v1/cubes/home/fork", json={"id": "what-if"}), 409, "already-exists")


def test_a_diff_lists_what_was_added_changed_moved_and_removed(edge: Edge) -> None:
    changed, moved, _ = edge.cube("home", "tea", "coffee", "water")
    edge.call("PATCH", f"/v1/cubes/home/memories/{changed}", json={"text": "juice", "valid_to": "2024-01-01T00:00:00Z"})
    edge.call("DELETE", f"/v1/cubes/home/memories/{moved}")
    page = edge.call("GET", "/v1/cubes/home/diff", params={"from": "3", "to": "6"}).json()
    assert (page["from"], page["to"], page["next"]) == (3, 6, None)
    assert page["counts"] == {"added": 1, "changed": 1, "moved": 1, "removed": 0}
    assert [(item["change"], item["fields"]) for item in page["items"]] == [
        ("changed", ["text", "valid_to"]),
        ("moved", ["state"]),
        ("added", []),
    ]
    assert [page["items"][0][side]["text"] for side in ("before", "after")] == ["tea", "juice"]
    assert page["items"][2]["before"] is None
    back = edge.call("GET", "/v1/cubes/home/diff", params={"from": "6", "to": "3", "limit": "1"}).json()
    assert back["counts"] == {"added": 0, "changed": 1, "moved": 1, "removed": 1}
    seen = [back["items"][0]["change"]]
    while back["next"]:
        query = {"from": "6", "to": "3", "limit": "1", "cursor": back["next"]}
        back = edge.call("GET", "/v1/cubes/home/diff", params=query).json()
        seen += [item["change"] for item in back["items"]]
    assert seen == ["changed", "moved", "removed"]


@pytest.mark.parametrize("to", [99, FUTURE, "yesterday", -1, True, None, 1.5])
def test_moments_that_are_not_are_told(edge: Edge, to: object) -> None:
    edge.cube("home", "tea")
    slug = (404, "version-not-found") if to == 99 else (422, "invalid-request")
    if to == FUTURE:
        return  # refused by the host, which has the clock
    check_problem(edge.call("POST", "/v1/cubes/home/rollback", json={"to": to}), *slug)
    if to is not None:
        check_problem(edge.call("POST", "/v1/cubes/home/fork", json={"as_of": to, "id": "f"}), *slug)
        query = {"from": "1", "to": str(to)}
        check_problem(edge.call("GET", "/v1/cubes/home/diff", params=query), *slug)
    assert edge.call("GET", "/v1/cubes/home").json()["version"] == 2


def test_both_ends_of_a_diff_are_needed_and_cursors_are_its_own(edge: Edge) -> None:
    edge.cube("home", "tea", "coffee")
    check_problem(edge.call("GET", "/v1/cubes/home/diff", params={"from": "1"}), 422, "invalid-request")
    listed = edge.call("GET", "/v1/cubes/home/memories", params={"limit": "1"}).json()
    for cursor in ("x", listed["next"]):
        query = {"from": "1", "to": "2", "cursor": cursor}
        check_problem(edge.call("GET", "/v1/cubes/home/diff", params=query), 422, "invalid-cursor")


def test_roles(edge: Edge) -> None:
    edge.cube("home", "tea")
    for path, body in (("rollback", {"to": 1}), ("fork", {"id": "f"})):
        check_problem(edge.call("POST", f"/v1/cubes/home/{path}", key="nobody-key", json=body), 404, "cube-not-found")
    hidden = edge.call("GET", "/v1/cubes/home/diff", key="nobody-key", params={"from": "1", "to": "2"})
    check_problem(hidden, 404, "cube-not-found")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "reader"})
    denied = check_problem(
        edge.call("POST", "/v1/cubes/home/rollback", key="rita-key", json={"to": 1}), 403, "forbidden"
    )
    assert denied["needed"] == "curator"
    assert edge.call("POST", "/v1/cubes/home/fork", key="rita-key", json={"id": "f"}).json()["owner"] == "rita"


def test_the_client(edge: Edge) -> None:
    edge.cube("home", "tea")
    with MemosClient("http://memos.test", "olga-key", transport=InProcess(edge.api)) as memos:
        memos.add("home", texts=[{"text": "coffee"}])
        (difference,) = memos.diff("home", 2, 3)
        assert (difference.change, difference.before) == ("added", None)
        assert difference.after is not None and difference.after.text == "coffee"
        done = memos.rollback("home", 2, "too much coffee")
        assert (done.to, done.changed, done.frozen) == (2, 1, ())
        made = memos.fork("home", "f", as_of=3)
        assert made.forked_from == {"cube": "home", "version": 3}
        with pytest.raises(MemosHTTPError):
            memos.fork("home", "f")


def test_the_commands(edge: Edge) -> None:
    edge.cube("home", "tea", "coffee")

    def run(*args: str) -> str:
        session = Session("http://memos.test", "olga-key", None, InProcess(edge.api))
        done = CliRunner().invoke(command, args, obj=session)
        assert done.exit_code == 0, (args, done.output, done.exception)
        return done.stdout

    assert "added" in run("cube", "diff", "home", "2", "3")
    assert "1 memories changed, now version 4" in run("cube", "rollback", "home", "2", "--reason", "why not")
    assert "activated -> archived  coffee" in run("cube", "diff", "home", "3", "4")
    assert json.loads(run("cube", "diff", "home", "3", "4", "--json"))[0]["change"] == "moved"
    assert "forked from home, now at version 4" in run("cube", "fork", "home", "f", "--as-of", "3")
    assert "from home at version 3" in run("cube", "show", "f")
    assert json.loads(run("cube", "rollback", "f", "1", "--json"))["changed"] == 2
    session = Session("http://memos.test", "olga-key", None, InProcess(edge.api))
    refused = CliRunner().invoke(command, ("cube", "rollback", "home", ""), obj=session)
    assert (refused.exit_code, edge.call("GET", "/v1/cubes/home").json()["version"]) == (1, 4)
