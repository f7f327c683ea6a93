"""Durable adds a second at the journal: 64 writers of short texts on a ShardWriter and a DeltaJournal.

Run as `python -m jobs.bench.journal --json FILE`. Beside it, in the same run and folder, the raw limits: the
same bytes appended to a file and synced, and the same rows appended to a Delta table as delta-rs does it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import numpy as np

from actors.memory.commands import CubeDraft, add
from actors.memory.cube import CubeState
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event
from actors.memory.requests import Added, AddMemories, NewMemory
from actors.stores.journal import DeltaJournal, StorageSpec
from actors.stores.journal.datafiles import encode
from actors.stores.journal.schema import COLUMNS, to_table
from actors.writer import ShardWriter

DEFAULTS: dict[str, Any] = {"writers": 64, "seconds": 8.0, "events": 100_000, "fill_batch": 250, "folder": None}
"""`events`: how many are there before the second measurement. `folder`: where, None for a temporary one."""

TEXT = "Caroline went to the support group on {} and said that it helped her more than she had expected."


class SystemClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000


class Bench:
    """One shard in a folder, its cubes in memory."""

    def __init__(self, folder: Path) -> None:
        self._key = secrets.token_bytes(32)
        self._sealer = Sealer(self._key, secrets.token_bytes)
        self._folder = folder
        self._cubes: dict[str, CubeState] = {}
        self.batches: list[int] = []
        self.journal = self.open_journal()
        self.writer: ShardWriter[CubeDraft] = ShardWriter(
            self.journal,
            clock=SystemClock(),
            open_draft=lambda cube_id: CubeDraft(self._cubes.setdefault(cube_id, CubeState(cube_id)), self._sealer),
            apply=self._apply,
            queue_limit=10_000,
        )

    def open_journal(self) -> DeltaJournal:
        """The shard, taken over by a new owner."""
        table, anchors = (StorageSpec(str(self._folder / name)) for name in ("journal", "anchors"))
        return DeltaJournal(table, anchors, self._key)

    def add(self, writer: int, turn: int) -> None:
        """One durable add of a short text; returns once it is acknowledged."""
        request = AddMemories((NewMemory(TEXT.format(turn), ref=f"{writer}:{turn}"),))

        def decide(draft: CubeDraft) -> Added:
            return add(draft, Origin("bench", "req", time.time_ns() // 1000), request, secrets.token_bytes)

        self.writer.submit(f"cube-{writer}", decide).result()

    def fill(self, target: int, batch: int) -> float:
        """Add events in batches until the journal holds `target`; the seconds it took."""
        began = time.perf_counter()
        turn = 0
        while self.journal.position < target:
            turn += 1
            memories = tuple(NewMemory(TEXT.format(i)) for i in range(batch))

            def decide(draft: CubeDraft, memories: tuple[NewMemory, ...] = memories) -> Added:
                origin = Origin("bench", "req", time.time_ns() // 1000)
                return add(draft, origin, AddMemories(memories), secrets.token_bytes)

            self.writer.submit(f"filled-{turn % 97}", decide).result()
        return time.perf_counter() - began

    def measure(self, writers: int, seconds: float) -> dict[str, float]:
        """Let `writers` threads add one after the other for `seconds`: rate, and latency in milliseconds."""
        self.batches.clear()
        latencies: list[list[float]] = [[] for _ in range(writers)]
        deadline = time.perf_counter() + seconds

        def run(number: int) -> None:
            turn = 0
            while (began := time.perf_counter()) < deadline:
                self.add(number, turn)
                latencies[number].append(time.perf_counter() - began)
                turn += 1

        began = time.perf_counter()
        threads = [threading.Thread(target=run, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - began
        took_ms = np.array([value for each in latencies for value in each]) * 1000
        return {
            "adds": len(took_ms),
            "adds_per_s": round(len(took_ms) / elapsed, 1),
            "p50_ms": round(float(np.percentile(took_ms, 50)), 1),
            "p99_ms": round(float(np.percentile(took_ms, 99)), 1),
            "max_ms": round(float(took_ms.max()), 1),
            "mean_batch": round(float(np.mean(self.batches)), 1),
        }

    def _apply(self, events: list[Event]) -> None:
        self.batches.append(len(events))
        for event in events:
            self._cubes[event.cube_id].apply(event)


def raw_limits(folder: Path, events: list[Event], seconds: float) -> dict[str, float]:
    """Rows a second of bare appends of `events`, one batch after the other, by the same thread."""
    data = encode(to_table(events))
    with open(folder / "raw.log", "ab", buffering=0) as file:

        def append_and_sync() -> None:
            file.write(data)
            os.fsync(file.fileno())

        synced = _rate(append_and_sync, len(events), seconds)
    table = deltalake.DeltaTable.create(str(folder / "raw"), COLUMNS)
    rows = to_table(events)
    plain = _rate(lambda: deltalake.write_deltalake(table, rows, mode="append"), len(events), seconds)
    return {"batch": len(events), "fsynced_append_rows_per_s": synced, "delta_append_rows_per_s": plain}


def _rate(append: Callable[[], None], rows: int, seconds: float) -> float:
    began, times = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < seconds:
        append()
        times += 1
    return round(rows * times / elapsed, 1)


def run(args: dict[str, Any]) -> dict[str, Any]:
    """Measure with DEFAULTS overridden by `args`; the report, JSON values only."""
    settings = {**DEFAULTS, **args}
    with tempfile.TemporaryDirectory(dir=settings["folder"]) as name:
        folder = Path(name)
        bench = Bench(folder)
        empty = bench.measure(settings["writers"], settings["seconds"])
        filling_s = bench.fill(settings["events"], settings["fill_batch"])
        held = bench.journal.position
        filled = bench.measure(settings["writers"], settings["seconds"])
        sample = [event for event, _ in zip(bench.journal.read(held), range(round(filled["mean_batch"])), strict=False)]
        raw = raw_limits(folder, sample, settings["seconds"] / 4)
        bench.writer.close()
        began = time.perf_counter()
        problems = bench.journal.verify()
        verify_s, began = time.perf_counter() - began, time.perf_counter()
        position = bench.open_journal().position
        reopen_s = time.perf_counter() - began
    return {
        "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()},
        "writers": settings["writers"],
        "empty": empty,
        "filled": {"events_before": held, **filled},
        "fill_events_per_s": round((held - empty["adds"]) / filling_s, 1),
        "raw": raw,
        "ratio_to_fsynced_append": round(filled["adds_per_s"] / raw["fsynced_append_rows_per_s"], 3),
        "ratio_to_delta_append": round(filled["adds_per_s"] / raw["delta_append_rows_per_s"], 3),
        "verify": {"events": position, "seconds": round(verify_s, 2), "problems": problems},
        "reopen_ms": round(reopen_s * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("writers", "events", "fill_batch"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=DEFAULTS[name])
    parser.add_argument("--seconds", type=float, default=DEFAULTS["seconds"], help="of each measurement")
    parser.add_argument("--folder", help="a folder on the disk to measure; default: the temporary folder")
    parser.add_argument("--json", type=Path, help="write the report here, too")
    chosen = vars(parser.parse_args())
    target = chosen.pop("json")
    report = json.dumps(run(chosen), indent=2)
    if target is not None:
        target.write_text(report + "\n")
    print(report)


if __name__ == "__main__":
    main()
