"""Joins this machine to a Ray cluster as one more node, on loopback: `python -m jobs.bench.loopback_raylet RESOURCES`.

`ray start` refuses a second node where core Ray is on loopback (RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0), but nothing in
Ray's node itself does. Prints the node's id and its raylet's pid as JSON; the node goes on. RAY_ADDRESS names the head.
"""

from __future__ import annotations

import json
import sys

from ray._private.node import Node
from ray._private.parameter import RayParams

OBJECT_STORE_BYTES = 80 << 20


def main(address: str, resources: dict[str, float]) -> None:
    parameters = RayParams(
        gcs_address=address,
        node_ip_address="127.0.0.1",
        num_cpus=1,
        num_gpus=0,
        resources=resources,
        object_store_memory=OBJECT_STORE_BYTES,
        min_worker_port=0,
        max_worker_port=0,
        node_manager_port=0,
    )
    parameters.dashboard_agent_listen_port = 0
    parameters.update(include_log_monitor=False)
    node = Node(parameters, head=False, shutdown_at_exit=False, spawn_reaper=False)
    (raylet,) = node.all_processes["raylet"]
    sys.stdout.write(json.dumps({"node": node.node_id, "pid": raylet.process.pid}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
