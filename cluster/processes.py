"""The processes of one instance: found by the marker that each inherits, and ended by pid, no others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

MARKER = "MEMOS_INSTANCE"
"""Environment variable that every process of an instance carries: the instance's id."""

KILL_AFTER_S = 4.0
GIVE_UP_AFTER_S = 30.0
POLL_S = 0.2


def processes_of(instance: str, run_folder: Path) -> list[psutil.Process]:
    """The running processes of an instance, this one and those above it excepted."""
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    return [p for p in _candidates(instance, run_folder) if p.pid not in spared]


def _candidates(instance: str, run_folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and _belongs(process, instance, run_folder):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it ended meanwhile, or it is another user's


def _belongs(process: psutil.Process, instance: str, run_folder: Path) -> bool:
    # HAProxy may overwrite or hide its environment, so it is also known by its configuration file.
    if process.name() == "haproxy":
        return any(part.startswith(f"{run_folder}/") for part in process.cmdline())
    if carries(process, f"{MARKER}={instance}"):
        return True
    # Ray's agents rename themselves, which may blank all of their environment; they stay in the run folder.
    return process.name().startswith("ray::") and Path(process.cwd()) == run_folder


def carries(process: psutil.Process, variable: str) -> bool:
    """Whether a process was started with an environment variable, given as "NAME=value".

    Ray's agents rename themselves, which blanks the beginning of their environment; psutil stops reading at a
    blank, so on Linux the whole block is searched.
    """
    file = Path(f"/proc/{process.pid}/environ")
    try:
        return variable.encode() in file.read_bytes().split(b"\0")
    except PermissionError as error:
        raise psutil.AccessDenied(process.pid) from error
    except (FileNotFoundError, ProcessLookupError):
        name, _, value = variable.partition("=")
        return process.environ().get(name) == value


def end_processes(instance: str, run_folder: Path) -> int:
    """End every process of an instance: asked first, killed after KILL_AFTER_S. Returns how many there were.

    Goes on until none is found, since a supervisor may start another one meanwhile. `psutil.Process` pairs
    the pid with its start time, so a recycled pid is never signalled.
    """
    ended: set[tuple[int, float]] = set()
    began = time.monotonic()
    while found := processes_of(instance, run_folder):
        waited = time.monotonic() - began
        if waited > GIVE_UP_AFTER_S:
            raise TimeoutError(f"these processes do not end: {', '.join(str(p.pid) for p in found)}")
        for process in found:
            _signal(process, kill=waited > KILL_AFTER_S, known=(process.pid, process.create_time()) in ended)
            ended.add((process.pid, process.create_time()))
        time.sleep(POLL_S)
    return len(ended)


def _signal(process: psutil.Process, *, kill: bool, known: bool) -> None:
    try:
        if kill:
            process.kill()
        elif not known:
            process.terminate()
    except psutil.NoSuchProcess:
        pass  # it ended by itself


def describe_owner_of_port(port: int) -> str:
    """Who listens on a TCP port, as "name (pid 123)"; empty when that cannot be found out."""
    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        owner = next((c.pid for c in listening if c.laddr and c.laddr.port == port and c.pid), None)
        return "" if owner is None else f"{psutil.Process(owner).name()} (pid {owner})"
    except (psutil.Error, OSError):
        return ""
