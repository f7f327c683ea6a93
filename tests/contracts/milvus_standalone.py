"""A Milvus server, standalone: the released program, with its own etcd, message log and segments."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from actors.stores.vectors.store import VectorBackend, VectorStoreSpec
from tests.contracts.milvus_server import free_port

TIMEOUT_S = 60.0
"""It makes a collection in 4 s on a quiet machine of two cores."""

START_S = 120.0


class MilvusStandalone:
    """Keeps its data in `folder`. Some of its ports are fixed: one a machine."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._child: subprocess.Popen[str] | None = None
        self._pid = 0

    def spec(self, prefix: str) -> VectorStoreSpec:
        return VectorStoreSpec(
            VectorBackend.MILVUS, f"http://127.0.0.1:{self.port}", prefix=prefix, timeout_s=TIMEOUT_S
        )

    def start(self) -> None:
        """Return once it says that it is healthy."""
        command = [sys.executable, "-m", "tests.contracts.milvus_child", str(self._folder), str(self.port)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self._pid, self.port, health = (int(word) for word in self._child.stdout.readline().split())
        until = time.monotonic() + START_S
        while not (_healthy(health) and _listens(self.port)):
            assert time.monotonic() < until, f"Milvus is not healthy: is port 2379 taken? {self._folder}/logs says why"
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL; nothing is asked of the process first."""
        if self._child is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._child.communicate()
            self._child = None


def _healthy(port: int) -> bool:
    try:
        return "OK" in httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5, trust_env=False).text
    except httpx.HTTPError:
        return False


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def milvus_standalone(folder: Path) -> Iterator[MilvusStandalone]:
    """A started server, ended however the block ends."""
    server = MilvusStandalone(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
