"""Kill nodes under load and count: `python -m jobs.bench.raylets --rounds 10 --json FILE`.

Starts a Ray cluster of its own on loopback: a head, and raylets with room for one host each, one more than there are
hosts. Clients write through HTTP while a raylet that holds a host is ended with SIGKILL, its workers with it, again and
again. The host comes back on another node. Then every acknowledged memory must be there once, every unacknowledged
batch whole or not at all, and every chain must hold; the first answers from the shards that were gone are timed.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from actors.memory.placement import shard_of
from jobs.bench.kills import client_of, host_pids, kill_and_judge
from jobs.bench.loopback_cluster import SLOT, LoopbackCluster, all_ended, loopback_cluster

TARGET_P95_S = 10.0
SHARDS = 6


def run(args: dict[str, Any]) -> dict[str, Any]:
    """Arguments `rounds` (10), `hosts` (2), `clients` (8), `cubes` (8), `seed`, `port`; `journal_uri` and
    `storage_options` for a storage other than a shared folder. Read `passed`. Raises RuntimeError when the cluster does
    not start.
    """
    hosts = args.get("hosts", 2)
    with tempfile.TemporaryDirectory(prefix="memos-raylets-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with loopback_cluster(folder, raylets=hosts + 1, slots=1) as cluster:
            profile = _profile(cluster, folder, args, hosts)
            started = cluster.memos("up", "--config", str(profile))
            if started.returncode != 0:
                raise RuntimeError(started.stderr)
            try:
                return _measure(cluster, folder, {"clients": 8, "cubes": 8, "rounds": 10, **args}, hosts)
            finally:
                cluster.memos("down", "--config", str(profile))


def _profile(cluster: LoopbackCluster, folder: Path, args: dict[str, Any], hosts: int) -> Path:
    storage = {
        "folder": str(folder / "state"),
        "journal_uri": args.get("journal_uri") or str(folder / "shared"),
        "storage_options": args.get("storage_options") or {},
    }
    placing = {"hosts": hosts, "shards": SHARDS, "host_resources": {SLOT: 1}}
    return cluster.profile(state=storage, http={"port": args.get("port") or _free_port()}, cluster=placing)


def _measure(cluster: LoopbackCluster, folder: Path, args: dict[str, Any], hosts: int) -> dict[str, Any]:
    url, key = ((folder / "state" / name).read_text().strip() for name in ("url", "key"))
    survivors: list[int] = []
    with client_of({"url": url, "key": key}) as client:

        def end_a_raylet(rng: random.Random, cubes: list[str]) -> tuple[float, list[str]]:
            while len(cluster.raylets) < hosts + 1:
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

        result = kill_and_judge(client, args, end_a_raylet)
    in_time = result["first_answer_s"]["p95"] <= TARGET_P95_S
    passed = result["clean"] and in_time and not survivors
    return {**result, "workers_that_outlived_their_raylet": len(survivors), "passed": passed}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, help="a free one by default")
    parser.add_argument("--journal-uri", help="in place of a shared folder, with --storage-options as JSON")
    parser.add_argument("--storage-options", type=json.loads)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = run({name: value for name, value in vars(options).items() if value is not None})
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
