"""A Bolt server for tests, in a process of its own, on a loopback port."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actors.stores.graph.store import GraphBackend, GraphStoreSpec
from tests.contracts.bolt_child import DATABASE, PASSWORD, USER
from tests.contracts.milvus_server import free_port


class BoltServer:
    """Keeps its data in `folder` and its port from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._http_port = free_port(), free_port()
        self._process: subprocess.Popen[str] | None = None

    def spec(self, prefix: str, timeout_s: float = 20.0) -> GraphStoreSpec:
        address = f"bolt://127.0.0.1:{self.port}"
        return GraphStoreSpec(GraphBackend.NEO4J, (address,), USER, PASSWORD, DATABASE, prefix, timeout_s)

    def start(self) -> None:
        """Return once it serves."""
        assert self._process is None
        module = ["-m", "tests.contracts.bolt_child", str(self.folder), str(self._http_port), str(self.port)]
        pipe = subprocess.PIPE
        with (self.folder.parent / f"{self.folder.name}.log").open("a") as log:
            self._process = subprocess.Popen([sys.executable, *module], stdin=pipe, stdout=pipe, stderr=log, text=True)
        assert self._process.stdout is not None
        assert any(line == "ready\n" for line in self._process.stdout), "the Bolt server ended"

    def kill(self) -> None:
        """SIGKILL; nothing is asked of the process first."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def bolt_server(folder: Path) -> Iterator[BoltServer]:
    """A started server, ended however the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    server = BoltServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
