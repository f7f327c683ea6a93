"""Merges, splits and provenance through HTTP, the client and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.client import MemosClient
from serve.contract.memories import SplitOut
from serve.contract.provenance import ProvenanceOut
from tests.unit.edge import Edge, check_problem
from tests.unit.in_process import InProcess
from tests.unit.test_cli import Shell

MEMORIES = "/v1/cubes/home/memories"


@pytest.fixture
def edge() -> Edge:
    edge = Edge()
    edge.cube("home")
    return edge


def _add(edge: Edge, *texts: dict[str, Any]) -> list[dict[str, Any]]:
    answer = edge.call("POST", MEMORIES, json={"texts": list(texts)})
    assert answer.status_code == 201, answer.text
    added: list[dict[str, Any]] = answer.json()["memories"]
    return added


def test_a_thousand_repeats_are_one_hit_with_a_thousand_sources(edge: Edge) -> None:
    message = {"role": "user", "name": "Ann", "content": "I love tea"}
    body = {"messages": [{**message, "ref": f"D{n}"} for n in range(1000)]}
    added = edge.call("POST", MEMORIES, json=body).json()["memories"]
    assert [m["state"] for m in added] == ["activated", *["merged"] * 999]
    found = edge.call("POST", "/v1/search", json={"query": "tea", "cubes": ["home"]}).json()["results"]
    assert [(r["id"], r["sources"]) for r in found] == [(added[0]["id"], 1000)]
    target = edge.call("GET", f"{MEMORIES}/{added[0]['id']}").json()
    assert target["sources"] == 1000 and target["derived_from"][0]["id"] == added[1]["id"]
    absorbed = edge.call("GET", f"{MEMORIES}/{added[7]['id']}").json()
    assert (absorbed["state"], absorbed["merged_into"], absorbed["merged_as"], absorbed["ref"]) == (
        "merged",
        added[0]["id"],
        "duplicate",
        "D7",
    )
    refs, cursor = [], None
    while True:
        query = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        page = edge.call("GET", f"{MEMORIES}/{added[0]['id']}/provenance", params=query).json()
        refs += [item["ref"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert refs == [f"D{n}" for n in range(1, 1000)]


def test_split_works_on_either_end_and_names_what_cannot_be(edge: Edge) -> None:
    one, two, three = _add(edge, *[{"text": "tea"}] * 3)
    answer = edge.call("POST", f"{MEMORIES}/{two['id']}/split", json={"reason": "they differ"})
    assert SplitOut.model_validate(answer.json()).memories[0].id == two["id"]
    answer = edge.call("POST", f"{MEMORIES}/{one['id']}/split")
    assert [m["id"] for m in answer.json()["memories"]] == [three["id"]]
    check_problem(edge.call("POST", f"{MEMORIES}/{one['id']}/split"), 409, "nothing-merged")
    check_problem(edge.call("POST", f"{MEMORIES}/mem_none/split"), 404, "memory-not-found")
    check_problem(edge.call("POST", f"{MEMORIES}/{one['id']}/split", key="nobody-key"), 404, "cube-not-found")


def test_only_a_curator_splits_and_merges(edge: Edge) -> None:
    one, two = _add(edge, {"text": "tea"}, {"text": "tea"})
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "writer"})
    check_problem(edge.call("POST", f"{MEMORIES}/{two['id']}/split", key="rita-key"), 403, "forbidden")
    body = {"to": "merged", "into": one["id"]}
    check_problem(edge.call("POST", f"{MEMORIES}/{two['id']}/transition", json=body, key="rita-key"), 403, "forbidden")


def test_a_generated_memory_is_confirmed_by_a_transition(edge: Edge) -> None:
    [waiting] = _add(edge, {"text": "tea", "state": "generated", "method": "extraction", "model": "tiny"})
    assert waiting["state"] == "generated"
    assert edge.call("POST", "/v1/search", json={"query": "tea", "cubes": ["home"]}).json()["results"] == []
    edge.call("POST", f"{MEMORIES}/{waiting['id']}/transition", json={"to": "activated", "reason": "read it"})
    found = edge.call("GET", f"{MEMORIES}/{waiting['id']}/provenance").json()
    assert [(v["state"], v["method"], v["model"], v["reason"]) for v in found["versions"]] == [
        ("generated", "extraction", "tiny", ""),
        ("activated", "transition", "tiny", "read it"),
    ]
    bad = {"texts": [{"text": "x", "state": "generated", "supersedes": [waiting["id"]]}]}
    check_problem(edge.call("POST", MEMORIES, json=bad), 422, "invalid-request")


def test_the_successor_is_named_and_wins(edge: Edge) -> None:
    [rome] = _add(edge, {"text": "I live in Rome"})
    [oslo] = _add(edge, {"text": "I live in Oslo", "supersedes": [rome["id"]]})
    old = edge.call("GET", f"{MEMORIES}/{rome['id']}").json()
    assert (old["merged_into"], old["merged_as"]) == (oslo["id"], "superseded")
    found = edge.call("POST", "/v1/search", json={"query": "live in", "cubes": ["home"]}).json()["results"]
    assert [r["id"] for r in found] == [oslo["id"]]
    [bern] = _add(edge, {"text": "I live in Bern"})
    edge.call("PATCH", f"{MEMORIES}/{bern['id']}", json={"supersedes": [oslo["id"]], "reason": "moved again"})
    assert edge.call("GET", f"{MEMORIES}/{oslo['id']}").json()["merged_into"] == bern["id"]
    check_problem(
        edge.call("POST", MEMORIES, json={"texts": [{"text": "x", "supersedes": ["mem_none"]}]}),
        404,
        "memory-not-found",
    )


def test_a_refused_merge_says_what_is_allowed(edge: Edge) -> None:
    one, two = _add(edge, {"text": "tea"}, {"text": "coffee"})
    path = f"{MEMORIES}/{two['id']}/transition"
    document = check_problem(edge.call("POST", path, json={"to": "merged"}), 409, "transition-refused")
    assert document["allowed"] == ["archived", "frozen"]
    check_problem(edge.call("POST", path, json={"to": "archived", "into": one["id"]}), 422, "invalid-request")
    edge.call("POST", f"{MEMORIES}/{one['id']}/transition", json={"to": "frozen"})
    check_problem(edge.call("POST", path, json={"to": "merged", "into": one["id"]}), 409, "frozen")


def test_provenance_is_a_graph_and_flat(edge: Edge) -> None:
    one, _ = _add(edge, {"text": "tea"}, {"text": "tea"})
    [answer] = _add(edge, {"text": "She drinks tea", "derived_from": [one["id"]], "model": "tiny"})
    found = edge.call("GET", f"{MEMORIES}/{one['id']}/provenance").json()
    ProvenanceOut.model_validate(found)
    assert [item["relation"] for item in found["items"]] == ["source", "derived"]
    nodes = {node["id"]: node["kind"] for node in found["graph"]["nodes"]}
    assert nodes["principal:olga"] == "principal" and nodes[f"home/{answer['id']}"] == "memory"
    assert all(edge_["from"] in nodes and edge_["to"] in nodes for edge_ in found["graph"]["edges"])
    assert found["versions"][0]["principal"] == "olga" and found["versions"][0]["request"]
    check_problem(edge.call("GET", f"{MEMORIES}/{one['id']}/provenance?cursor=x"), 422, "invalid-cursor")


def test_a_remembered_answer_names_what_it_used_and_by_which_model(edge: Edge) -> None:
    [fact] = _add(edge, {"text": "Caroline met them on 7 May"})
    chat = {
        "model": "default",
        "messages": [{"role": "user", "content": "When did Caroline meet them?"}],
        "memory": {"cubes": ["home"]},
    }
    assert edge.call("POST", "/v1/chat/completions", json=chat).json()["memory"]["remembered"]
    found = edge.call("GET", f"{MEMORIES}/{fact['id']}/provenance").json()
    [derived] = found["items"]
    assert (derived["relation"], derived["source"]["model"]) == ("derived", "plain-model")
    answer = edge.call("GET", f"{MEMORIES}/{derived['id']}/provenance").json()
    assert answer["versions"][0]["method"] == "generation" and answer["versions"][0]["model"] == "plain-model"


def test_the_client_and_the_command_line_split_and_show_provenance(edge: Edge, tmp_path: Path) -> None:
    one, two = _add(edge, {"text": "tea"}, {"text": "tea"})
    with MemosClient("http://memos.test", "olga-key", transport=InProcess(edge.api)) as memos:
        assert memos.memory("home", two["id"]).merged_into == one["id"]
        assert memos.provenance("home", one["id"]).items[0]["id"] == two["id"]
        assert memos.split("home", two["id"]).memories[0].state == "activated"
        assert memos.transition("home", two["id"], "merged", into=one["id"]).state == "merged"
    shell = Shell(tmp_path)
    shell.edge = edge
    assert "said 2 times" in shell.ok("memory", "show", "home", one["id"])
    assert two["id"] in shell.ok("memory", "provenance", "home", one["id"])
    assert two["id"] in shell.ok("memory", "split", "home", one["id"])
    assert "nothing is merged" in shell("memory", "split", "home", one["id"]).output
