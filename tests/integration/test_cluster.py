"""Several nodes on one machine: the application on a Ray that runs already, a node killed, and what is refused."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from actors.stores.location import Location, StorageSpec
from cluster.inspection import LOOPBACK
from cluster.processes import processes_of
from cluster.state_folder import StateFolder, write_private
from jobs.bench import kills
from jobs.bench.loopback_cluster import SLOT, LoopbackCluster, all_ended, loopback_cluster
from serve.client import MemosClient, MemosConnectionError, MemosHTTPError
from tests.contracts.s3 import S3, s3_server
from tests.integration.test_bootstrap import free_port

pytestmark = pytest.mark.timeout(900)  # a node starts in seconds, on a busy machine in a minute


@dataclass
class Deployed:
    """The application on a cluster of a head and two raylets, its storage on an S3 server."""

    cluster: LoopbackCluster
    profile: Path
    s3: S3

    @property
    def state(self) -> Path:
        return self.cluster.folder / "state"

    def read(self, name: str) -> str:
        return (self.state / name).read_text().strip()

    @property
    def access(self) -> dict[str, str]:
        return {"url": self.read("url"), "key": self.read("key")}

    def hosts_on(self, node: str) -> set[int]:
        with kills.client_of(**self.access) as client:
            return set(kills.host_pids(client)) & {process.pid for process in self.cluster.workers(node)}


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployed]:
    with (
        tempfile.TemporaryDirectory(prefix="memos-cluster-", ignore_cleanup_errors=True) as folder,
        s3_server() as s3,
        loopback_cluster(Path(folder), raylets=2, slots=2) as cluster,
    ):
        storage = {"journal_uri": s3.uri, "storage_options": s3.options}
        port = free_port()
        profile = cluster.profile(state=storage, http={"port": port}, cluster={"shards": 6})
        state = StateFolder(Path(folder) / "state")
        state.prepare()
        state.make_secrets()
        _deploy_as_kuberay_does(cluster, profile, port)
        write_private(state.url_file, f"http://127.0.0.1:{port}\n")
        yield Deployed(cluster, profile, s3)
        done = cluster.memos("down", "--config", str(profile))
        assert done.returncode == 0, done.stderr
        claim = Location(StorageSpec(s3.uri, s3.options)).read("instance.json")
        assert claim is not None
        assert json.loads(claim)["instance"] == ""  # a cleanly stopped instance frees the storage
        assert [p.name() for p in processes_of(cluster.instance, cluster.run_folder) if "Cube" in p.name()] == []
        assert {"gcs_server", "raylet"} <= {p.name() for p in processes_of(cluster.instance, cluster.run_folder)}


def _deploy_as_kuberay_does(cluster: LoopbackCluster, profile: Path, port: int) -> None:
    """Through Serve's REST interface, by the application's import path; returns when it is ready."""
    application = {"name": "memos", "import_path": "serve.app:cluster", "args": {"config": str(profile)}}
    wanted = {
        "http_options": {"host": "127.0.0.1", "port": port},
        "proxy_location": "HeadOnly",
        "applications": [{**application, "route_prefix": "/"}],
    }
    token = Path(cluster.environment["RAY_AUTH_TOKEN_PATH"]).read_text().strip()
    dashboard = f"http://127.0.0.1:{cluster.ports.dashboard}"
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=dashboard, headers=headers, trust_env=False, timeout=60) as client:
        client.put("/api/serve/applications/", json=wanted).raise_for_status()
        until = time.monotonic() + 400
        while not _ready(port):
            found = client.get("/api/serve/applications/").raise_for_status().json()["applications"]
            assert found.get("memos", {}).get("status") != "DEPLOY_FAILED", found["memos"]["message"]
            assert time.monotonic() < until
            time.sleep(0.5)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_hosts_are_spread_and_everything_listens_on_loopback(deployed: Deployed) -> None:
    assert [len(deployed.hosts_on(node)) for node in deployed.cluster.raylets] == [1, 1]
    exposed = []
    for process in processes_of(deployed.cluster.instance, deployed.cluster.run_folder):
        try:
            listening = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        except psutil.NoSuchProcess:
            continue
        exposed += [f"{process.name()} {c.laddr}" for c in listening if not c.laddr.ip.startswith(LOOPBACK)]
    assert exposed == []


def test_up_on_what_runs_already_changes_nothing(deployed: Deployed) -> None:
    before = {node: deployed.hosts_on(node) for node in deployed.cluster.raylets}
    done = deployed.cluster.memos("up", "--config", str(deployed.profile))
    assert done.returncode == 0, done.stderr
    assert {node: deployed.hosts_on(node) for node in deployed.cluster.raylets} == before


def second(deployed: Deployed, **sections: dict[str, object]) -> tuple[int, str]:
    """`up` of another profile on the same Ray; exit code and what it says."""
    done = deployed.cluster.memos("up", "--config", str(deployed.cluster.profile(**sections)))
    return done.returncode, done.stderr


def test_more_hosts_than_resources_are_refused_with_numbers(deployed: Deployed) -> None:
    code, said = second(
        deployed,
        state={"journal_uri": deployed.s3.uri, "storage_options": deployed.s3.options},
        cluster={"hosts": 9, "shards": 6, "host_resources": {SLOT: 1}, "join_wait_s": 0},
    )
    assert code == 1
    assert "cluster.hosts asks for 7 hosts, each with memos_host 1" in said
    assert "has room for 2" in said


def test_a_storage_that_another_cluster_owns_is_refused_with_its_name(deployed: Deployed) -> None:
    location = Location(StorageSpec(deployed.s3.uri + "-other", deployed.s3.options))
    owner = {"instance": "abc", "where": "Ray at 10.9.8.7:6379", "since_us": 10**15, "format": 1, "shards": 6}
    own = Location(StorageSpec(deployed.s3.uri, deployed.s3.options)).read("instance.json")
    assert own is not None
    location.replace("instance.json", json.dumps({**json.loads(own), **owner}).encode())
    state = {"journal_uri": location.uri, "storage_options": deployed.s3.options}
    code, said = second(deployed, state=state, cluster={"shards": 6})
    assert code == 1
    for words in ("abc", "10.9.8.7:6379", "2001-09-09", "cluster.takeover: fence"):
        assert words in said


def test_a_killed_node_loses_and_doubles_nothing_and_its_hosts_come_back_elsewhere(deployed: Deployed) -> None:
    cluster = deployed.cluster
    victim, spare = sorted(cluster.raylets)
    workers: list[int] = []

    def end_a_raylet(rng: random.Random, cubes: list[str]) -> tuple[float, list[str]]:
        started = time.monotonic()
        workers.extend(cluster.kill_raylet(victim))
        assert all_ended(workers)  # with their raylet, by themselves
        return started, cubes

    with kills.client_of(**deployed.access) as client:
        verdict = kills.kill_and_judge(client, kills.Rounds(1, clients=4, seed=3), end_a_raylet)
    assert verdict["acknowledged_batches"] > 0
    assert (verdict["lost"], verdict["doubled"], verdict["torn"], verdict["broken_chains"]) == (0, 0, 0, [])
    assert workers
    assert len(deployed.hosts_on(spare)) == 2


def test_an_instance_that_was_fenced_says_so_and_writes_no_more(deployed: Deployed) -> None:
    location = Location(StorageSpec(deployed.s3.uri, deployed.s3.options))
    own = location.read("instance.json")
    assert own is not None
    taken = {**json.loads(own), "instance": "other", "where": "Ray at 10.9.8.7:6379"}
    location.replace("instance.json", json.dumps(taken).encode())
    try:
        with MemosClient(deployed.read("url"), deployed.read("key")) as memos:
            said, until = "", time.monotonic() + 120
            while "10.9.8.7" not in said and time.monotonic() < until:
                try:
                    memos.create_cube(f"late-{time.monotonic_ns()}")
                except (MemosHTTPError, MemosConnectionError) as error:
                    said = str(error)
                time.sleep(0.5)
        assert "belongs to instance other (Ray at 10.9.8.7:6379)" in said
    finally:
        location.replace("instance.json", own)
