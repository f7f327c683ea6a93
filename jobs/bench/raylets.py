"""Kill nodes under load and count: `python -m jobs.bench.raylets --rounds 10 --json FILE`.

Starts a Ray cluster of its own on loopback: a head, and raylets with room for one host each, one more than there are
hosts. Clients write through HTTP while a raylet that holds a host is ended with SIGKILL, its workers with it, again and
again. The host comes back on another node. Then every acknowledged memory must be there once, every unacknowledged
batch whole or not at all, and every chain must hold; the first answers from the shards that were gone are timed.
"""

from __future__ import annotations

import random
import socket
import tempfile
import time
from pathlib import Path

from pydantic import Field

from actors.memory.placement import shard_of
from jobs.bench.contract import Arguments, Benchmark, Count, Progress
from jobs.bench.kills import Rounds, client_of, host_pids, kill_and_judge
from jobs.bench.loopback_cluster import SLOT, LoopbackCluster, all_ended, loopback_cluster
from jobs.bench.report import Json

TARGET_P95_MS = 10_000.0
SHARDS = 6


class RayletsArguments(Arguments):
    rounds: Count = Field(10, description="how often a node is ended")
    hosts: Count = 2
    clients: Count = Field(8, description="that write meanwhile")
    cubes: Count = 8
    seed: int = 0
    journal_uri: str = Field("", description="in place of a shared folder, with storage_options")
    storage_options: dict[str, str] = Field(default_factory=dict, repr=False)


def measure(args: RayletsArguments, progress: Progress) -> Json:
    """Raises RuntimeError when the cluster does not start; of a bad outcome nothing: read `passed`."""
    with tempfile.TemporaryDirectory(prefix="memos-raylets-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with loopback_cluster(folder, raylets=args.hosts + 1, slots=1) as cluster:
            profile = _profile(cluster, folder, args)
            started = cluster.memos("up", "--config", str(profile))
            if started.returncode != 0:
                raise RuntimeError(started.stderr)
            try:
                return _measure(cluster, folder, args, progress)
            finally:
                cluster.memos("down", "--config", str(profile))


def _profile(cluster: LoopbackCluster, folder: Path, args: RayletsArguments) -> Path:
    storage = {
        "folder": str(folder / "state"),
        "journal_uri": args.journal_uri or str(folder / "shared"),
        "storage_options": args.storage_options,
    }
    placing = {"hosts": args.hosts, "shards": SHARDS, "host_resources": {SLOT: 1}}
    return cluster.profile(state=storage, http={"port": _free_port()}, cluster=placing)


def _measure(cluster: LoopbackCluster, folder: Path, args: RayletsArguments, progress: Progress) -> Json:
    url, key = ((folder / "state" / name).read_text().strip() for name in ("url", "key"))
    survivors: list[int] = []
    with client_of(url, key) as client:

        def end_a_raylet(rng: random.Random, cubes: list[str]) -> tuple[float, list[str]]:
            while len(cluster.raylets) < args.hosts + 1:
                cluster.add_raylet(slots=1)
            owned = host_pids(client)
            on_node = {
                node: [shard for process in cluster.workers(node) for shard in owned.get(process.pid, ())]
                for node in cluster.raylets
            }
            node = rng.choice(sorted(node for node, shards in on_node.items() if shards))
            started = time.monotonic()
            workers = cluster.kill_raylet(node)
            if not all_ended(workers):  # until then they may go on answering, which is no answer from another node
                survivors.extend(workers)
            return started, [cube for cube in cubes if shard_of(cube, SHARDS) in on_node[node]]

        rounds = Rounds(args.rounds, args.clients, args.seed, args.cubes)
        result = kill_and_judge(client, rounds, end_a_raylet, progress)
    in_time = result["first_answer"]["p95_ms"] <= TARGET_P95_MS
    passed = result["clean"] and in_time and not survivors
    return {**result, "workers_that_outlived_their_raylet": len(survivors), "passed": passed}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


BENCHMARK = Benchmark("raylets", __doc__, RayletsArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
