"""Runs `cluster.placement` as a process of its own, and waits for what it deployed. No Ray here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.errors import MemosError
from cluster.plan import Plan

Report = Callable[[str], None]
"""Takes one line on what is being done now."""

PLACEMENT_TIMEOUT_S = 240
STOP_TIMEOUT_S = 90
READY_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Running:
    """An instance that runs. `attached` when this start did not make its processes: they ran before, or are a
    Ray cluster's.
    """

    url: str
    state: Path
    attached: bool


def run_placement(
    action: str, plan: Plan, environment: Mapping[str, str], folder: Path, timeout_s: float
) -> dict[str, str]:
    """What the placement answers. Raises MemosError with its reason; its log is in `folder`."""
    log_file = folder / f"placement-{action}.log"
    with open(log_file, "w", encoding="utf-8") as errors:
        try:
            done = subprocess.run(  # our own interpreter
                [sys.executable, "-m", "cluster.placement", action],
                input=plan.to_json(),
                env=dict(environment),
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=timeout_s,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MemosError(f"{action} took longer than {timeout_s:.0f} s; see {log_file.name} in the logs") from error
    said = _last_record(done.stdout)
    if done.returncode != 0:
        raise MemosError(said.get("error", "") or f"{action} failed; see {log_file.name} in the state's logs")
    return said


def _last_record(stdout: str) -> dict[str, str]:
    for line in reversed(stdout.strip().splitlines()):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            return record
    return {}


def wait_until_ready(url: str) -> None:
    """Return when `/readyz` answers 200. Raises MemosError with what it said last."""
    until, said = time.monotonic() + READY_TIMEOUT_S, "no answer"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < until:
        try:
            with opener.open(f"{url}/readyz", timeout=5):
                return
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
        except OSError as error:
            said = str(error)
        time.sleep(0.2)
    raise MemosError(f"{url}/readyz is not ready after {READY_TIMEOUT_S} s: {said}")
