"""A host on files that is asked by several threads until it is killed: python -m tests.integration.audit_child.

Arguments: the state's folder, a label that makes request ids unique, the number of threads. Prints `answered REQUEST`
after each answer, and `kept COUNT` when so many rows are said to be on storage.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from actors.memory.governance import Caller
from tests.unit.hosts import Catalogue, HashEmbedder, file_host, query, texts

CUBES = ("a", "b", "c")


def main(folder: str, label: str, threads: int) -> None:
    catalogue, embedder = Catalogue(), HashEmbedder()
    for cube in CUBES:
        catalogue.register(cube)
    host = file_host(Path(folder), catalogue, embedder)
    printing = threading.Lock()

    def say(line: str) -> None:
        with printing:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def ask(number: int) -> None:
        for turn in range(1 << 30):
            request = f"{label}-{number}-{turn}"
            caller = Caller("olga", "key-o", request)
            cube = CUBES[(number + turn) % len(CUBES)]
            if turn % 4:
                host.search(caller, cube, query(f"text {turn - 1}", embedder))
            else:
                host.add(caller, cube, texts(f"text {turn} of {number}"))
            say(f"answered {request}")

    for number in range(threads):
        threading.Thread(target=ask, args=(number,), daemon=True).start()
    while True:
        statuses = [shard["audit"] for shard in host.status()["shards"].values()]
        say(f"kept {sum(status['rows'] - status['waiting'] for status in statuses)}")
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
