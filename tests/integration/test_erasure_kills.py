"""kill -9 before one step of storage after the other, while a host writes and erases; then nothing is left anywhere.

MEMOS_ERASURE_ROUNDS sets how many steps are tried (4 by default, spread over the erasure); the benchmark tries each.
The rounds run in a process of their own, which forks: this one has threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.bench import erasure
from tests.source_tree import ROOT

ROUNDS = int(os.environ.get("MEMOS_ERASURE_ROUNDS", "4"))
STEPS = 84
"""About as many things as adding, erasing twice and closing do to storage."""


def _report(folder: Path, rounds: int, first: int, step: int) -> dict[str, object]:
    made = folder / "report.json"
    command = [sys.executable, "-m", "jobs.bench.erasure", "--json", str(made)]
    command += ["--rounds", str(rounds), "--first", str(first), "--step", str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert made.exists(), done.stderr[-2000:]
    result: dict[str, object] = json.loads(made.read_text())["result"]
    return result


@pytest.mark.timeout(600)
def test_whenever_it_is_killed_nothing_of_the_secret_is_left(tmp_path: Path) -> None:
    result = _report(tmp_path, ROUNDS, first=STEPS // ROUNDS // 2, step=max(1, STEPS // ROUNDS))
    assert result["problems"] == []
    outcomes = result["outcomes"]
    assert isinstance(outcomes, dict)
    assert outcomes.get("begun", 0) >= 1 and outcomes.get("not begun", 0) >= 1


def test_a_place_that_is_left_out_is_found(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "left").write_bytes(erasure.SECRET.encode())
    assert any("left (as it is)" in where for where in erasure.traces(state))
