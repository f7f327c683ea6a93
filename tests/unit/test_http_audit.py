"""The audit over HTTP, in the SDK and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actors.memory.auditing import AuditAction, AuditRow
from serve.cli.main import memos
from serve.cli.session import Session
from serve.client import MemosClient
from tests.unit.edge import Edge, check_problem
from tests.unit.in_process import InProcess

AT_US = 1_700_000_000_000_000


def row(number: int, principal: str = "olga", action: AuditAction = AuditAction.READ, cube: str = "home") -> AuditRow:
    ids = ("mem_1", "mem_2") if action is AuditAction.SEARCH else ()
    detail = json.dumps({"n": number})
    return AuditRow(AT_US + number, principal, "key-1", action, cube, "", f"req-{number}", detail, ids)


@pytest.fixture
def edge() -> Edge:
    edge = Edge()
    edge.cube("home")
    edge.backend.audits += [row(1), row(2, "rita", AuditAction.SEARCH), row(3), row(4, "", AuditAction.DENIED, "")]
    return edge


def test_a_row_says_who_what_when_and_from_which_request(edge: Edge) -> None:
    items = edge.call("GET", "/v1/cubes/home/audit").json()["items"]
    assert [item["request"] for item in items] == ["req-3", "req-2", "req-1"]
    assert items[1] == {
        "at": "2023-11-14T22:13:20.000002Z",
        "principal": "rita",
        "key": "key-1",
        "action": "search",
        "cube": "home",
        "memory": None,
        "request": "req-2",
        "detail": {"n": 2, "ids": ["mem_1", "mem_2"]},
    }


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ("principal=rita", ["req-2"]),
        ("action=search", ["req-2"]),
        ("memory=mem_2", ["req-2"]),
        ("request=req-1", ["req-1"]),
        ("since=2023-11-14T22:13:20.000002Z", ["req-3", "req-2"]),
        ("until=2023-11-14T22:13:20.000002Z", ["req-1"]),
        ("limit=1", ["req-3"]),
    ],
)
def test_what_narrows_it(edge: Edge, query: str, requests: list[str]) -> None:
    items = edge.call("GET", f"/v1/cubes/home/audit?{query}").json()["items"]
    assert [item["request"] for item in items] == requests


@pytest.mark.parametrize("query", ["since=yesterday", "until=1", "action=look", "limit=0", "principals=rita"])
def test_a_wrong_question_is_refused(edge: Edge, query: str) -> None:
    check_problem(edge.call("GET", f"/v1/cubes/home/audit?{query}"), 422, "invalid-request")


def test_the_systems_audit_is_for_governors(edge: Edge) -> None:
    check_problem(edge.call("GET", "/v1/audit"), 403, "forbidden")
    [item] = edge.call("GET", "/v1/audit", "root-key").json()["items"]
    assert (item["principal"], item["cube"], item["action"]) == (None, None, "denied")


def test_a_request_without_a_key_is_refused_by_the_system_which_records_it(edge: Edge) -> None:
    for headers in ({}, {"Authorization": "Basic x"}, {"Authorization": "Bearer "}):
        check_problem(edge.call("GET", "/v1/cubes", "", headers=headers), 401, "unauthenticated")
    assert edge.backend.strangers == ["", "", ""]


def test_the_client_walks_all_pages(edge: Edge) -> None:
    with MemosClient("http://memos.test", "olga-key", transport=InProcess(edge.api)) as client:
        assert [found.request for found in client.audit("home", page_size=1)] == ["req-3", "req-2", "req-1"]
        [found] = client.audit("home", {"action": "search"})
        assert (found.principal, found.detail["ids"]) == ("rita", ["mem_1", "mem_2"])


def _run(edge: Edge, *args: str, key: str = "olga-key") -> Result:
    return CliRunner().invoke(memos, ["audit", *args], obj=Session("http://memos.test", key, None, InProcess(edge.api)))


def test_the_command_prints_rows_and_json_lines(edge: Edge) -> None:
    assert "rita" in _run(edge, "home").stdout
    lines = _run(edge, "home", "--json", "--limit", "2").stdout.splitlines()
    assert [json.loads(line)["request"] for line in lines] == ["req-3", "req-2"]
    assert "denied" in _run(edge, key="root-key").stdout


def test_the_command_exports_into_a_new_file(edge: Edge, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    assert _run(edge, "home", "--export", str(file)).exit_code == 0
    assert [json.loads(line)["request"] for line in file.read_text().splitlines()] == ["req-3", "req-2", "req-1"]
    again = _run(edge, "home", "--export", str(file))
    assert (again.exit_code, again.stderr) == (1, f"memos: {file} exists already; name another file\n")
