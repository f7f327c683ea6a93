"""Only what carries an instance's marker is found and ended."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.processes import MARKER, end_processes, processes_of

NOWHERE = Path("/nonexistent/run")
SLEEP = "print('up', flush=True); import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def child(program: str, instance: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, MARKER: instance}, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    return started


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[str]]:
    with child(SLEEP, uuid.uuid4().hex) as process:
        yield process
        process.kill()


def test_processes_end_with_their_children_and_no_other(bystander: subprocess.Popen[str]) -> None:
    instance = uuid.uuid4().hex
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"
    with child(parent, instance) as started:
        assert started.stdout is not None
        started.stdout.readline()
        assert len(processes_of(instance, NOWHERE)) == 2
        assert end_processes(instance, NOWHERE) == 2
        assert started.wait(5) != 0
    assert processes_of(instance, NOWHERE) == []
    assert bystander.poll() is None


def test_a_process_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.processes.KILL_AFTER_S", 0.2)
    instance = uuid.uuid4().hex
    with child(STUBBORN, instance) as started:
        assert end_processes(instance, NOWHERE) == 1
        assert started.wait(5) == -9


def test_this_process_is_never_its_own_target(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(f"/proc/{os.getpid()}/environ").read_bytes().split(b"\0")[0].decode().partition("=")
    monkeypatch.setattr("cluster.processes.MARKER", own[0])
    assert os.getpid() not in {p.pid for p in processes_of(own[2], NOWHERE)}


def test_ending_nothing_is_fine() -> None:
    assert end_processes(uuid.uuid4().hex, NOWHERE) == 0


def test_a_process_that_blanked_the_beginning_of_its_environment_is_found() -> None:
    instance = uuid.uuid4().hex
    blank = (
        "import ctypes; first = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), 'environ')[0]; "
        f"ctypes.memset(first, 0, 4); {SLEEP}"
    )
    with child(blank, instance) as started:
        assert [p.pid for p in processes_of(instance, NOWHERE)] == [started.pid]
        assert end_processes(instance, NOWHERE) == 1
