"""A process that writes to a shard with several threads until it is killed: python -m tests.integration.journal_child.

Arguments: the shard's folder, a label that makes ids unique, the number of writing threads. Prints one line
per acknowledged memory, `REF VERSION CUBE`, flushed before the next write of that thread.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from pathlib import Path

from actors.memory.commands import add
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event
from actors.memory.requests import Added, AddMemories, NewMemory
from actors.writer import ShardWriter
from tests.contracts.journal_contract import KEY
from tests.contracts.shard_folder import ShardFolder

BATCH = 3
"""Memories an add: all of them become visible, or none."""

COMPACT_AFTER = 5


class SystemClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000


def main(folder: str, label: str, threads: int) -> None:
    journal = ShardFolder(Path(folder)).open(appends=COMPACT_AFTER)
    cubes: dict[str, CubeState] = {}
    for event in journal.read():
        cubes.setdefault(event.cube_id, CubeState(event.cube_id)).apply(event)
    sealer = Sealer(KEY, secrets.token_bytes)

    def apply(events: list[Event]) -> None:
        for event in events:
            cubes[event.cube_id].apply(event)

    def open_draft(cube_id: str) -> CubeDraft:
        return CubeDraft(cubes.setdefault(cube_id, CubeState(cube_id)), sealer)

    writer = ShardWriter(journal, clock=SystemClock(), open_draft=open_draft, apply=apply, queue_limit=1000)
    printing = threading.Lock()

    def write(number: int) -> None:
        cube_id = f"cube-{number % 3}"
        for turn in range(1 << 30):
            ref = f"{label}-{number}-{turn}"
            memories = tuple(NewMemory(f"text {ref}", ref=f"{ref}/{part}") for part in range(BATCH))

            def decide(draft: CubeDraft, memories: tuple[NewMemory, ...] = memories) -> Added:
                return add(
                    draft, Origin("child", "req", time.time_ns() // 1000), AddMemories(memories), secrets.token_bytes
                )

            version = writer.submit(cube_id, decide).result().version
            with printing:
                sys.stdout.write(f"{ref} {version} {cube_id}\n")
                sys.stdout.flush()

    for number in range(threads):
        threading.Thread(target=write, args=(number,)).start()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
