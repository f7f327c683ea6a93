"""The memory of the processes that serve, from outside: the children of the raylets that the hosts run under."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import psutil

from actors.errors import Unavailable
from jobs.bench.report import Json

MIB = 2**20
WATCH_EVERY_S = 1.0


def serving(status: Mapping[str, Any]) -> dict[int, str]:
    """Pid and name of every process that serves, by what GET /v1/status says; jobs and this process are left out.

    Raises Unavailable when the hosts run on another machine.
    """
    hosts = [host["process"]["pid"] for host in status["hosts"]]
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, str] = {}
    try:
        raylets = {psutil.Process(pid).ppid() for pid in hosts}
    except psutil.NoSuchProcess as error:
        raise Unavailable("the memory of hosts can be read on their own machine alone") from error
    for raylet in raylets:
        for process in psutil.Process(raylet).children(recursive=True):
            with _gone():
                name = _name(process)
                if name and not own.intersection((process.pid, process.ppid())):
                    found[process.pid] = name
    return dict(sorted(found.items(), key=lambda pair: (pair[1], pair[0])))


def resident_mib(processes: Mapping[int, str]) -> dict[str, float]:
    """Resident MiB of each process that is still there, as "name:pid", and of them all as "total"."""
    found: dict[str, float] = {}
    for pid, name in processes.items():
        with _gone():
            found[f"{name}:{pid}"] = round(psutil.Process(pid).memory_info().rss / MIB, 1)
    return {**found, "total": round(sum(found.values()), 1)}


@contextmanager
def _gone() -> Iterator[None]:
    """A process may end between being listed and being asked."""
    try:
        yield
    except psutil.NoSuchProcess:
        return


def _name(process: psutil.Process) -> str:
    """Ray's workers by the actor they run; workers that wait for one and jobs have no name here."""
    title = (process.cmdline() or [process.name()])[0]
    if title.startswith("ray::"):
        return "" if title.startswith(("ray::IDLE", "ray::JobSupervisor", "ray::_")) else title[5:].split(".")[0]
    return "haproxy" if "haproxy" in title else ""


@dataclass(slots=True)
class MemoryWatch:
    """Reads the total of some processes every second while a `with` block runs."""

    processes: Mapping[int, str]
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    seen: list[tuple[float, float]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.before = resident_mib(self.processes)
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.after = resident_mib(self.processes)

    def _watch(self) -> None:
        while not self._over.wait(WATCH_EVERY_S):
            self.seen.append((time.monotonic(), resident_mib(self.processes)["total"]))

    def as_json(self) -> Json:
        """MiB before, after, at most, and how fast they grew in the second half of the time."""
        return {
            "before_mib": self.before,
            "after_mib": self.after,
            "most_mib": max((mib for _, mib in self.seen), default=self.after["total"]),
            "growth_mib_per_minute": slope_per_minute(self.seen[len(self.seen) // 2 :]),
        }


def slope_per_minute(seen: list[tuple[float, float]]) -> float | None:
    """How fast a value grows, by least squares over (seconds, value); None for fewer than three."""
    if len(seen) < 3:
        return None
    times, values = np.array(seen).T
    return round(float(np.polyfit(times - times[0], values, 1)[0]) * 60, 2)
