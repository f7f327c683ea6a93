"""A Ray cluster of several nodes on one machine, on loopback, for measuring what a node's death costs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cluster.processes import end_processes
from cluster.ray_head import (
    SPARE_WORKER,
    HeadPorts,
    choose_ports,
    head_environment,
    prepare_run_folder,
    run_folder_of,
    start_head,
)
from cluster.settings import Settings
from cluster.state_folder import StateFolder

SLOT = "memos_host"
"""The resource of a raylet that a host takes one of."""

HEAD = "node:__internal_head__"
DIED_WITHIN_S = 20.0


@dataclass
class LoopbackCluster:
    """A head without room for hosts, and raylets with it. `environment` is what clients of this Ray need."""

    folder: Path
    instance: str
    environment: dict[str, str]
    ports: HeadPorts
    run_folder: Path
    raylets: dict[str, psutil.Process] = field(default_factory=dict)
    """Node id -> its raylet."""

    def add_raylet(self, slots: int) -> str:
        """One more node with room for `slots` hosts; its id."""
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "jobs.bench.loopback_raylet",
                f"127.0.0.1:{self.ports.gcs}",
                json.dumps({SLOT: slots}),
            ],
            env={**self.environment, **SPARE_WORKER},
            cwd=self.run_folder,
            capture_output=True,
            text=True,
            timeout=120,
            start_new_session=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"a raylet did not start: {done.stderr[-1000:]}")
        said = json.loads(done.stdout.strip().splitlines()[-1])
        self.raylets[said["node"]] = psutil.Process(said["pid"])
        return str(said["node"])

    def workers(self, node: str) -> list[psutil.Process]:
        """The processes that a raylet has started."""
        return self.raylets[node].children(recursive=True)

    def kill_raylet(self, node: str) -> list[int]:
        """SIGKILL a raylet; the pids of its workers, which end by themselves. Does not wait for them."""
        pids = [process.pid for process in self.workers(node)]
        os.kill(self.raylets.pop(node).pid, signal.SIGKILL)
        return pids

    def profile(self, **sections: dict[str, Any]) -> Path:
        """A cluster profile for this Ray: hosts on the raylets, all else on the head."""
        on_head = {HEAD: 0.001}
        data: dict[str, dict[str, Any]] = {
            "ray": {"address": f"127.0.0.1:{self.ports.gcs}"},
            "state": {"folder": str(self.folder / "state"), "journal_uri": str(self.folder / "shared")},
            "http": {"replica_resources": on_head},
            "cluster": {
                "hosts": 2,
                "host_resources": {SLOT: 1},
                "embedder_resources": on_head,
                "restart_wait_s": 30,
                "join_wait_s": 10,
            },
        }
        for name, section in sections.items():
            data.setdefault(name, {}).update(section)
        file = self.folder / f"profile-{uuid.uuid4().hex[:8]}.yaml"
        # JSON is YAML too
        file.write_text(json.dumps(data), encoding="utf-8")
        return file

    def memos(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of `memos`, as a client of this Ray."""
        return subprocess.run(
            [sys.executable, "-m", "serve.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )


@contextmanager
def loopback_cluster(folder: Path, raylets: int, slots: int) -> Iterator[LoopbackCluster]:
    """A head and `raylets` nodes with room for `slots` hosts each; every process of it is ended afterwards."""
    settings = Settings.model_validate({"state": {"folder": str(folder / "ray")}, "ray": {"cpus": 1}})
    state = StateFolder(settings.state_folder)
    state.prepare()
    state.secret(state.ray_token_file)
    instance, run_folder, ports = uuid.uuid4().hex, run_folder_of(settings), choose_ports(None)
    prepare_run_folder(run_folder, state)
    environment = head_environment(settings, state, instance, run_folder, ports)
    cluster = LoopbackCluster(folder, instance, environment, ports, run_folder)
    try:
        start_head(settings, run_folder, ports, environment)
        for _ in range(raylets):
            cluster.add_raylet(slots)
        yield cluster
    finally:
        end_processes(instance, run_folder)
        shutil.rmtree(run_folder, ignore_errors=True)


def all_ended(pids: list[int], within_s: float = DIED_WITHIN_S) -> bool:
    """Whether all of these processes end within that time."""
    until = time.monotonic() + within_s
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
