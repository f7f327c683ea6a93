"""The whole system, through its front door: the real application with real models, killed and restarted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from actors.memory.analysis import terms_of
from cluster.bootstrap import running
from jobs.bench import kills
from jobs.bench.state_search import find
from serve.client import MemosClient
from serve.contract.status import StatusOut
from tests.file_contents import file_contents
from tests.integration.test_bootstrap import free_port, marked

pytestmark = pytest.mark.timeout(900)


@dataclass
class System:
    """A state folder, and the commands on it."""

    state: Path
    port: int

    def memos(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "serve.cli", "--state", str(self.state), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self) -> None:
        self.memos("up", "--detach", "--port", str(self.port))

    @property
    def url(self) -> str:
        return (self.state / "url").read_text().strip()

    @property
    def key(self) -> str:
        return (self.state / "key").read_text().strip()

    def client(self, key: str = "") -> MemosClient:
        return MemosClient(self.url, key or self.key)

    def post(self, path: str, body: object, key: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with tempfile.TemporaryDirectory(prefix="memos-spine-", ignore_cleanup_errors=True) as folder:
        system = System(Path(folder) / "state", free_port())
        system.up()
        try:
            yield system
        finally:
            system.memos("down")


def test_the_status_tells_of_every_part_on_the_node_that_it_runs_on(system: System) -> None:
    shown = json.loads(system.memos("status", "--json"))
    assert shown.pop("instance")["phase"] == "ready"
    found = StatusOut.model_validate(shown)
    assert found.unanswered == []
    [node] = found.nodes
    parts = [*found.hosts, found.system, found.embedder, found.ingress, found.chat]
    assert {part.node for part in parts if part} == {node.id}
    assert all(part and psutil.pid_exists(part.process.pid) for part in parts)
    assert sorted(shard.shard for host in found.hosts for shard in host.shards) == list(range(found.shards))


def test_the_openai_sdk_chats_by_base_url_and_key_alone(system: System) -> None:
    assert system.post("/v1/cubes", {"id": "anna"}).status_code == 201
    fact = {"role": "user", "name": "Anna", "content": "My dog is called Biscuit.", "ref": "1"}
    assert system.post("/v1/cubes/anna/memories", {"messages": [fact]}).status_code == 201
    key = system.post("/v1/keys", {"principal": "governor", "name": "app", "default_cube": "anna"}).json()["key"]
    question: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": "What is Anna's dog called?"}
    ]
    with openai.OpenAI(base_url=f"{system.url}/v1", api_key=key) as client:
        stream = client.chat.completions.create(model="default", messages=question, stream=True)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert "Biscuit" in said


def test_a_hidden_cube_answers_as_one_that_is_not_there(system: System) -> None:
    system.post("/v1/cubes", {"id": "diary"})
    eve = system.post("/v1/keys", {"principal": "eve"}).json()["key"]
    answers = [system.post("/v1/search", {"query": "x", "cubes": [cube]}, eve) for cube in ("diary", "nowhere")]
    assert [answer.status_code for answer in answers] == [404, 404]
    hidden, missing = ({**answer.json(), "instance": ""} for answer in answers)
    assert json.loads(json.dumps(hidden).replace("diary", "nowhere")) == missing
    assert system.post("/v1/search", {"query": "x", "cubes": ["diary"]}, "memos_wrong").status_code == 401


def test_killed_hosts_lose_and_double_nothing(system: System) -> None:
    verdict = kills.run({"url": system.url, "key": system.key, "rounds": 2, "seed": 7})["result"]
    assert verdict["acknowledged_batches"] > 0
    assert (verdict["lost"], verdict["doubled"], verdict["torn"], verdict["broken_chains"]) == (0, 0, 0, [])


def test_an_erased_secret_is_in_no_file_of_the_state_and_retention_runs_as_a_job(system: System) -> None:
    secret, words = "zyzzyvaplover", frozenset(terms_of("zyzzyvaplover"))
    with system.client() as client:
        client.create_cube("vault", policy={"retention": {"erase_after_days": 0}})
        client.create_cube("lent", name=f"cube of {secret}")
        friends = [{"text": f"note {n} about the garden"} for n in range(20)]
        client.add("vault", texts=friends)
        first, second = (
            m.id
            for m in client.add(
                "vault", texts=[{"text": secret}, {"text": f"what the harbour's gate asks for is {secret}"}]
            ).memories
        )
        client.add("lent", texts=[{"text": f"lent {secret}"}])
        client.chat([{"role": "user", "content": secret}], {"cubes": ["vault"], "remember": False}, max_tokens=8)
        assert find(system.state, {"secret": secret.encode()}, words)
        assert client.erase_memory("vault", first, "asked").erased == (first,)
        client.delete_memory("vault", second)
        job = client.submit_job("retention", "vault")
        until = time.monotonic() + 120
        while client.job(job.id).status in ("queued", "running") and time.monotonic() < until:
            time.sleep(0.2)
        done = client.job(job.id)
        assert done.status == "succeeded" and done.result is not None, done.reason
        assert done.result["cubes"]["vault"]["erased"] == 1
        assert client.erase_cube("lent", "asked").cube == "lent"
        assert client.verify("vault").ok
        assert secret not in str(client.search(secret, ["vault"], top_k=50).results)
    assert find(system.state, {"secret": secret.encode()}, words) == []


def test_what_a_cube_replaces_is_in_no_file_though_its_recognizer_is_killed(system: System) -> None:
    secrets = ["zoe.quartz@example.org", "+44 20 7946 0958", "Quartzwright"]
    with system.client() as memos:
        memos.create_cube("redacting", policy={"redaction": {"mode": "redact"}})
        text = f"Dr. {secrets[2]} said: mail {secrets[0]}, phone {secrets[1]}"
        found = {"EMAIL_ADDRESS": 1, "PERSON": 1, "PHONE_NUMBER": 1}
        assert memos.add("redacting", texts=[{"text": text}], idempotency_key=secrets[0]).redaction == found
        [recognizer] = [p for p in psutil.process_iter() if p.name().startswith("ray::Redactor") and _ours(system, p)]
        recognizer.kill()
        assert memos.add("redacting", texts=[{"text": text}]).redaction == found
        assert [memory.text for memory in memos.memories("redacting")] == [
            "Dr. <PERSON> said: mail <EMAIL_ADDRESS>, phone <PHONE_NUMBER>"
        ] * 2
    instance = running(system.state)
    assert instance is not None
    files = [
        path for folder in (system.state, Path(instance.run_folder)) for path in folder.rglob("*") if path.is_file()
    ]
    contents = [(path, content) for path in files for content in file_contents(path)]
    assert any("<EMAIL_ADDRESS>" in content for _, content in contents)
    assert [(path, secret) for path, content in contents for secret in secrets if secret in content] == []


def _ours(system: System, process: psutil.Process) -> bool:
    instance = running(system.state)
    return instance is not None and process.pid in marked(instance.instance)


def test_a_revoked_key_is_refused_at_once(system: System) -> None:
    system.post("/v1/cubes", {"id": "shared"})
    made = system.post("/v1/keys", {"principal": "governor", "name": "short-lived"}).json()
    assert system.post("/v1/search", {"query": "x", "cubes": ["shared"]}, made["key"]).status_code == 200
    with system.client() as governor:
        governor.revoke_key(made["id"])
    assert system.post("/v1/search", {"query": "x", "cubes": ["shared"]}, made["key"]).status_code == 401


def test_a_job_runs_and_reports(system: System, tmp_path: Path) -> None:
    conversation = {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ann", "dia_id": "D1:1", "text": "I adopted a parrot named Kiwi."},
            {"speaker": "Bo", "dia_id": "D1:2", "text": "The weather was terrible."},
        ],
    }
    qa = [{"question": "Who has a parrot?", "answer": "Ann", "evidence": ["D1:1"], "category": 4}]
    data = tmp_path / "tiny.json"
    data.write_text(json.dumps([{"sample_id": "tiny", "conversation": conversation, "qa": qa}]))
    report = tmp_path / "report.json"
    system.memos("bench", "locomo", str(data), "--json", str(report))
    assert json.loads(report.read_text())["result"]["all"]["recall"]["1"] == 1.0


TINY = {
    "ingest": {"sizes": 4, "messages": "1,4", "clients": 2, "seconds": 0.2, "limit_seconds": 0.1, "limit_threads": 1},
    "search": {"memories": 40, "clients": "1,2", "seconds": 0.2, "rounds": 1, "queries": 3},
    "archives": {"memories": 20, "chars": 60},
    "cubes": {"cubes": 6, "memories": 2, "big": 10, "opened": 2, "clients": 2},
    "neighbours": {"huge": 20, "memories": 8, "seconds": 0.4, "slow": 4, "busy": 1, "batch": 4},
    "overload": {"clients": 8, "memories": 8, "capacity_seconds": 0.3, "half_seconds": 0.5, "seconds": 0.5},
}
"""Benchmarks that need a running system, at sizes that tell nothing but that they work."""


@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_measures_the_running_system_and_clears_up(system: System, name: str) -> None:
    module = import_module(f"jobs.bench.{name}")
    made = module.run({"url": system.url, "key": system.key, **TINY[name]})
    assert made["benchmark"] == name
    assert json.loads(json.dumps(made))["result"]
    with system.client() as memos:
        assert [cube.id for cube in memos.cubes() if cube.id.startswith("bench-")] == []


def test_everything_is_as_it_was_after_down_and_up_and_no_process_stays(system: System) -> None:
    instance = running(system.state)
    assert instance is not None
    with system.client() as memos:
        before = memos.cube("anna")
        found = memos.search("dog", ["anna"]).results
    system.memos("down")
    assert marked(instance.instance) == []
    system.up()
    with system.client() as memos:
        assert memos.cube("anna") == before
        assert memos.search("dog", ["anna"]).results == found
        assert memos.verify("anna").ok


def test_ctrl_c_ends_a_foreground_start_and_leaves_no_process() -> None:
    with tempfile.TemporaryDirectory(prefix="memos-spine-", ignore_cleanup_errors=True) as folder:
        system = System(Path(folder) / "state", free_port())
        command = [sys.executable, "-m", "serve.cli", "--state", str(system.state), "up", "--port", str(system.port)]
        # A suite that runs in the background of a shell ignores interrupts, and what it starts would, too.
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=heard)  # noqa: PLW1509
        until = time.monotonic() + 300
        while running(system.state) is None and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.5)
        instance = running(system.state)
        assert instance is not None
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(120) == 0
        assert marked(instance.instance) == []
        assert not psutil.pid_exists(process.pid)
