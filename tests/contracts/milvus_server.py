"""A real Milvus engine for tests: `milvus-lite server` on a loopback port, in a process of its own."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from actors.stores.vectors.store import VectorBackend, VectorStoreSpec

START_S = 60.0


def free_port() -> int:
    """A port below those that the system gives to outgoing connections: while the server is down, one of them could
    take its place.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


class MilvusServer:
    """Keeps its data in `folder` and its port from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def spec(self, prefix: str) -> VectorStoreSpec:
        return VectorStoreSpec(VectorBackend.MILVUS, f"http://127.0.0.1:{self.port}", prefix=prefix, timeout_s=15.0)

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def start(self) -> None:
        """Return once it listens."""
        assert self._process is None
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self.folder), *address]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None, "milvus-lite server ended"
            assert time.monotonic() < until, "milvus-lite server does not listen"
            time.sleep(0.05)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL; nothing is asked of the process first."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def milvus_server(folder: Path) -> Iterator[MilvusServer]:
    """A started server, ended however the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = MilvusServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
