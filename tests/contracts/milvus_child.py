"""Starts a Milvus server and ends it with its own standard input: `python -m tests.contracts.milvus_child FOLDER PORT`.

A process of its own, because the package leaves sockets for the garbage collector to find. Writes the server's process
id, its port (the next one that is free) and that of its health page.
"""

from __future__ import annotations

import sys

import milvus


def main(folder: str, port: int) -> None:
    server = milvus.MilvusServer(wait_for_started=False)
    server.set_base_dir(folder)
    server.listen_port = port
    server.start()
    sys.stdout.write(f"{server.server_proc.pid} {server.listen_port} {server.webservice_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
