"""The status: complete over real hosts, true about who is silent, shown to people, there when nothing runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from actors import footprint
from actors.errors import Unavailable
from cluster.directory import EMBEDDER, REDACTOR, SYSTEM
from cluster.state_folder import Instance, StateFolder
from serve.cli.main import memos
from serve.cli.session import Session
from serve.client import MemosClient
from serve.contract.status import StatusOut
from serve.http import ApiSettings, build_api
from tests.unit.gateway_rig import HOSTS, SHARDS, GatewayRig
from tests.unit.hosts import texts
from tests.unit.in_process import InProcess
from tests.unit.plain_backend import PlainClock
from tests.unit.plain_models import PlainChat, PlainEmbedder
from tests.unit.test_gateway import created
from tests.unit.test_projection import eventually

URL = "http://memos.test"


class Watched:
    """The interface over the real gateway and two real hosts; models alone are plain."""

    def __init__(self) -> None:
        self.rig = GatewayRig()
        self.chat = PlainChat()
        self.api: FastAPI = build_api(
            self.rig.gateway, self.chat, PlainEmbedder(), PlainClock(), ApiSettings(node="n1")
        )
        self.key = self.rig.system.secret.text

    def read(self) -> StatusOut:
        """The status, in the shape that the contract promises: nothing missing, nothing more."""
        with MemosClient(URL, self.key, transport=InProcess(self.api)) as client:
            return StatusOut.model_validate(client.status(), strict=True)

    def show(self, *options: str) -> str:
        session = Session(URL, self.key, None, InProcess(self.api))
        done = CliRunner().invoke(memos, ["status", *options], obj=session, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.stdout


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_every_shard_is_there_once_with_its_epoch_positions_and_queue(watched: Watched) -> None:
    async def fill() -> None:
        await created(watched.rig, "home")
        await watched.rig.gateway.add(watched.rig.root, "home", texts("tea", "coffee"))

    asyncio.run(fill())
    eventually(lambda: not any(i.lag for h in watched.read().hosts for s in h.shards for i in s.indexes.values()))
    found = watched.read()
    assert (found.shards, len(found.hosts), found.unanswered) == (SHARDS, HOSTS, [])
    assert sorted(shard.shard for host in found.hosts for shard in host.shards) == list(range(SHARDS))
    topology = watched.rig.topology
    home = next(h for h in found.hosts if h.name == watched.rig.owner("home"))
    [shard] = [s for s in home.shards if s.position]
    assert shard.shard in topology.shards_of(topology.host_of("home"))
    assert (shard.epoch, shard.position, shard.snapshot_position, shard.open_cubes) == (1, 3, 0, 1)
    assert {name: (i.lag, i.failure) for name, i in shard.indexes.items()} == {
        "dense": (0, None),
        "lexical": (0, None),
    }
    assert shard.indexes["lexical"].position == 3
    assert (shard.writer.queued, shard.writer.events, shard.failure) == (0, 3, None)


def test_every_part_tells_its_process_and_its_queue(watched: Watched) -> None:
    found = watched.read()
    parts = [*found.hosts, found.system, found.embedder, found.ingress, found.chat]
    assert {part.name for part in parts if part} == {"host-0", "host-1", SYSTEM, EMBEDDER, "ingress", "chat"}
    assert {part.process.pid for part in parts if part} == {os.getpid()}
    assert found.system and (found.system.principals, found.system.queued) == (1, 0)
    assert found.embedder and (found.embedder.model, found.embedder.waiting) == ("hash@1", 0)
    assert (found.ingress.requests, found.ingress.queries, found.ingress.node) == (1, 0, "n1")
    assert {kind: gate.running for kind, gate in found.ingress.gates.items()} == dict.fromkeys(
        ("searches", "writes", "reads", "chats", "imports"), 0
    )
    assert found.chat and (found.chat.model, found.chat.chats, found.chat.room) == ("plain-model", 1, 17)
    [node] = found.nodes
    assert node.alive and node.head and node.memory and node.memory.available_bytes <= node.memory.total_bytes


class _Redacting:
    def status(self) -> dict[str, object]:
        return {"node": "", **footprint.footprint(), "kinds": ["PERSON"], "texts": 7, "waiting": 2}


def test_the_recognizer_is_there_once_it_was_needed(watched: Watched) -> None:
    before = watched.read()
    assert before.redactor is None and REDACTOR not in [part.part for part in before.unanswered]
    watched.rig.parts[REDACTOR] = _Redacting()
    answers: list[StatusOut] = []

    def is_there() -> bool:  # a part may be late on a busy machine
        answers.append(watched.read())
        return answers[-1].redactor is not None

    eventually(is_there)
    hosts, redactor = answers[-1].hosts, answers[-1].redactor
    assert redactor and (redactor.name, redactor.texts, redactor.waiting) == (REDACTOR, 7, 2)
    assert redactor.process.pid == os.getpid() and REDACTOR not in [host.name for host in hosts]
    eventually(lambda: "texts to be looked through" in watched.show())
    watched.rig.directory.mute = {REDACTOR}
    last = watched.read()
    assert last.redactor is None and REDACTOR in [part.part for part in last.unanswered]


@pytest.mark.parametrize("silent", [SYSTEM, EMBEDDER, "host-1", "nodes"])
def test_a_part_that_never_answers_is_named_and_holds_nobody_up(watched: Watched, silent: str) -> None:
    watched.read()  # the key is known now: the system host is not asked again
    watched.rig.directory.mute = {silent}
    found = watched.read()
    assert [(part.part, part.reason) for part in found.unanswered] == [(silent, f"{silent} did not answer within 1 s")]
    there = {part.name for part in (*found.hosts, found.system, found.embedder) if part}
    assert there == {"host-0", "host-1", SYSTEM, EMBEDDER} - {silent}
    assert len(found.nodes) == (silent != "nodes")


def test_a_model_that_does_not_answer_is_named(watched: Watched) -> None:
    watched.chat.failure = Unavailable("the model is being loaded")
    found = watched.read()
    assert found.chat is None
    assert [(part.part, part.reason) for part in found.unanswered] == [("chat", "the model is being loaded")]
    assert found.chat_models == ["default", "plain-model"]


def test_an_index_that_fails_is_shown_with_its_reason(watched: Watched) -> None:
    async def fill() -> None:
        await created(watched.rig, "home")
        watched.rig.embedder.broken = True
        await watched.rig.gateway.add(watched.rig.root, "home", texts("tea"))

    asyncio.run(fill())
    home = next(h for h in watched.read().hosts if h.name == watched.rig.owner("home"))
    [shard] = [s for s in home.shards if s.position]
    assert shard.indexes["dense"].lag == 1 and "the embedder is down" in str(shard.indexes["dense"].failure)
    assert shard.indexes["lexical"].failure is None
    assert "dense 1" in watched.show() and "the embedder is down" in watched.show()


def test_people_see_tables_and_programs_see_json(watched: Watched) -> None:
    watched.rig.directory.down = {"host-1"}
    out = watched.show()
    assert "no answer from host-1: host-1 is down" in out
    rows = [line.split() for line in out.splitlines()]
    owned = watched.rig.topology.shards_of(0)
    assert [row[0] for row in rows if len(row) > 5 and row[1] == "host-0" and row[0].isdecimal()] == [
        str(number) for number in owned
    ]
    assert any(row[:1] == ["chat"] and row[-1] == "plain-model" for row in rows)
    shown: dict[str, Any] = json.loads(watched.show("--json"))
    assert shown.pop("instance") is None
    assert StatusOut.model_validate(shown).unanswered[0].part == "host-1"


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    run = CliRunner()
    done = run.invoke(memos, ["--state", str(tmp_path), "status"])
    assert (done.exit_code, "nothing runs on it" in done.stdout) == (0, True), done.output
    asked = run.invoke(memos, ["--state", str(tmp_path), "status", "--json"])
    assert json.loads(asked.stdout)["instance"]["phase"] == "none"
    ended = Instance("id", "stopped", "here", "boot", URL, "", 0, str(tmp_path / "run"), 1)
    StateFolder(tmp_path).write_instance(ended)
    assert "stopped" in run.invoke(memos, ["--state", str(tmp_path), "status"]).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is shared")
def test_a_process_counts_no_more_than_it_holds() -> None:
    process = footprint.footprint()["process"]
    assert 0 < process["uss_bytes"] <= process["pss_bytes"] <= process["rss_bytes"] * 1.1


def test_where_the_system_does_not_tell_what_is_shared_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(footprint, "ROLLUP", tmp_path / "none")
    process = footprint.footprint()["process"]
    assert (process["pss_bytes"], process["uss_bytes"]) == (None, None) and process["rss_bytes"] > 0


def test_a_control_group_bounds_the_memory_that_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(footprint, "CGROUP", tmp_path)
    unbounded = footprint.total_memory_bytes()
    (tmp_path / "memory.max").write_text("67108864\n")
    (tmp_path / "memory.current").write_text("60000000\n")
    assert (footprint.total_memory_bytes(), footprint.available_memory_bytes()) == (67108864, 7108864)
    (tmp_path / "memory.max").write_text("max\n")
    assert footprint.total_memory_bytes() == unbounded
