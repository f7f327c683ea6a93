"""What runs, and whether it could: for `memos status` and `memos doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from actors.errors import MemosError
from cluster.bootstrap import running
from cluster.preflight import Check, examine
from cluster.processes import processes_of
from cluster.settings import Settings
from cluster.state_folder import Instance, StateFolder

LOOPBACK = ("127.", "::1", "::ffff:127.")


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process of an instance. `listens` holds "address:port" of its TCP sockets."""

    pid: int
    name: str
    memory_bytes: int
    listens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """What a state's instance is doing. `phase` is "ready", "starting", "stopped", "broken" or "none"."""

    state: str
    phase: str
    url: str
    instance: str
    dashboard: str
    logs: str
    processes: tuple[RunningProcess, ...]

    @property
    def exposed(self) -> tuple[str, ...]:
        """Sockets that others than this machine could reach."""
        return tuple(at for p in self.processes for at in p.listens if not at.startswith(LOOPBACK))


def status(state_folder: Path) -> InstanceStatus:
    """What runs on a state now. Raises Corrupted when its record cannot be read."""
    state = StateFolder(state_folder)
    found = state.read_instance()
    if found is None:
        return InstanceStatus(str(state_folder), "none", "", "", "", "", ())
    alive = running(state_folder) is not None
    phase = "broken" if found.phase == "ready" and not alive else found.phase
    return InstanceStatus(
        state=str(state_folder),
        phase=phase,
        url=found.url if phase == "ready" else "",
        instance=found.instance,
        dashboard=f"http://127.0.0.1:{found.dashboard_port}" if phase == "ready" else "",
        logs=str(state.path / "logs"),
        processes=tuple(_described(found)),
    )


def doctor(settings: Settings) -> list[Check]:
    """Everything that a start needs, each with what was found; nothing is started or changed."""
    checks = examine(settings)
    try:
        report = status(settings.state_folder)
    except MemosError as error:
        return [*checks, Check("instance", "", error.detail)]
    broken = "parts of it died; run `memos down`, then `memos up`" if report.phase == "broken" else ""
    checks.append(Check("instance", f"{report.phase} {report.url}".strip(), broken))
    if report.phase == "ready":
        checks = [c for c in checks if c.name not in ("port", "dashboard port")]  # they are its own
        checks.append(Check("listening", "loopback only", ", ".join(report.exposed) and _exposure(report.exposed)))
    return checks


def _exposure(sockets: tuple[str, ...]) -> str:
    return f"reachable from other machines: {', '.join(sockets)}"


def _described(found: Instance) -> list[RunningProcess]:
    described = []
    for process in processes_of(found.instance, Path(found.run_folder)):
        try:
            sockets = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
            listens = tuple(f"{c.laddr.ip}:{c.laddr.port}" for c in sockets)
            described.append(RunningProcess(process.pid, process.name(), process.memory_info().rss, listens))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile
    return described
