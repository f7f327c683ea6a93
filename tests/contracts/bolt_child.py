"""A Bolt server in a process of its own: `python -m tests.contracts.bolt_child FOLDER HTTP_PORT BOLT_PORT`.

ArcadeDB's, with the JRE that its package brings. It tells "ready" and serves until its standard input ends.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

USER, PASSWORD, DATABASE = "root", "only-for-the-tests", "memos"


def main(folder: str, http_port: str, bolt_port: str) -> None:
    os.chdir(folder)  # it writes its logs where it is
    import arcadedb_embedded

    config = {
        "host": "127.0.0.1",
        "http_port": int(http_port),
        "bolt_port": int(bolt_port),
        "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
    }
    server = arcadedb_embedded.ArcadeDBServer(folder, PASSWORD, config, {"heap_size": "512m"})
    server.start()
    if not (Path(folder) / "databases" / DATABASE).exists():
        server.create_database(DATABASE)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
