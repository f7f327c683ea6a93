"""Durable adds a second at the journal: 64 writers of short texts on a ShardWriter and a DeltaJournal.

Run as `python -m jobs.bench.journal --json FILE`. Beside it, in the same run and folder, the raw limits: the
same bytes appended to a file and synced, and the same rows appended to a Delta table as delta-rs does it.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import deltalake
import numpy as np
from pydantic import Field

from actors.memory.commands import add
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event
from actors.memory.requests import Added, AddMemories, NewMemory
from actors.stores.journal import DeltaJournal, StorageSpec
from actors.stores.journal.datafiles import encode
from actors.stores.journal.schema import COLUMNS, to_table
from actors.writer import ShardWriter
from jobs.bench.contract import Arguments, Benchmark, Count, Progress, Seconds
from jobs.bench.report import Json, percentiles, ratio


class JournalArguments(Arguments):
    writers: Count = Field(64, description="threads that add, one short text after the other")
    seconds: Seconds = Field(8.0, description="of each measurement")
    events: Count = Field(100_000, description="how many are there before the second measurement")
    fill_batch: Count = Field(250, description="memories of an add while filling")
    folder: str = Field("", description="a folder on the disk to measure; empty for a temporary one")


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
        took_s = [value for each in latencies for value in each]
        return {
            "adds": len(took_s),
            "adds_per_s": round(len(took_s) / elapsed, 1),
            **percentiles(took_s),
            "max_ms": round(max(took_s, default=0.0) * 1000, 1),
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


def measure(args: JournalArguments, progress: Progress) -> Json:
    """Adds a second when the journal is empty and when it is filled, and their ratio to the raw limits."""
    with tempfile.TemporaryDirectory(dir=args.folder or None) as name:
        folder = Path(name)
        bench = Bench(folder)
        empty = bench.measure(args.writers, args.seconds)
        progress(0.3)
        filling_s = bench.fill(args.events, args.fill_batch)
        progress(0.6)
        held = bench.journal.position
        filled = bench.measure(args.writers, args.seconds)
        sample = [event for event, _ in zip(bench.journal.read(held), range(round(filled["mean_batch"])), strict=False)]
        raw = raw_limits(folder, sample, args.seconds / 4)
        bench.writer.close()
        began = time.perf_counter()
        problems = bench.journal.verify()
        verify_s, began = time.perf_counter() - began, time.perf_counter()
        position = bench.open_journal().position
        reopen_s = time.perf_counter() - began
    return {
        "empty": empty,
        "filled": {"events_before": held, **filled},
        "fill_events_per_s": round((held - empty["adds"]) / filling_s, 1),
        "raw": raw,
        "ratio_to_fsynced_append": ratio(filled["adds_per_s"], raw["fsynced_append_rows_per_s"]),
        "ratio_to_delta_append": ratio(filled["adds_per_s"], raw["delta_append_rows_per_s"]),
        "verify": {"events": position, "seconds": round(verify_s, 2), "problems": problems},
        "reopen_ms": round(reopen_s * 1000, 1),
    }


BENCHMARK = Benchmark("journal", __doc__, JournalArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
