"""What the audit costs searches: the same host with its audit and with one that drops every row, in turns.

    python -m jobs.bench.audit --seconds 4 --rounds 8 --json FILE

In one process, on files, without HTTP and without embedding the query, which together take several times what is
measured here: the share of a search as users see it is smaller. Each round runs one, then the other, the order
changing; the overheads are medians over the rounds. Passes when searches a second and processor time a search are
within `limit`.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from actors.audit import AuditLog
from actors.clock import SystemClock
from actors.host import CubeHost, HostSpec
from actors.memory.auditing import Note
from actors.memory.governance import Caller
from actors.memory.search_requests import SearchCube
from actors.shard_opening import open_audit, open_shard
from jobs.bench.contract import Arguments, Benchmark, Count, Progress, Seconds
from jobs.bench.open_cubes import CALLER, EveryCube, RandomEmbedder, fill, texts_of
from jobs.bench.report import Json, percentiles

CUBE = "cube"
QUERIES = 500


class AuditArguments(Arguments):
    memories: Count = Field(10_000, description="in the cube")
    threads: Count = Field(8, description="that search: as many as an HTTP replica lets in")
    seconds: Seconds = Field(3.0, description="of each turn")
    rounds: Count = Field(10, description="turns of each kind")
    top_k: Count = 10
    limit: Seconds = Field(1.05, description="without ÷ with the audit, at most")


class Unrecorded(AuditLog):
    """Records nothing."""

    def __init__(self) -> None:
        """Without a table and without a thread."""

    def check(self) -> None:
        return None

    @contextmanager
    def noted(self, caller: Caller, cube_id: str, note: Note, exists: Callable[[str], bool]) -> Iterator[None]:
        yield

    def conclude(
        self, caller: Caller, cube_id: str, note: Note, error: BaseException | None, exists: Callable[[str], bool]
    ) -> None:
        return None

    def close(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Turn:
    """What some seconds of searching came to; times in seconds."""

    per_s: float
    processor_s: float
    took_s: list[float]


def measure(args: AuditArguments, progress: Progress) -> Json:
    with tempfile.TemporaryDirectory(prefix="memos-bench-audit-") as folder:
        embedder = RandomEmbedder()
        asked = [
            SearchCube(text, embedder.embed([text])[0], embedder.model_id, args.top_k) for text in texts_of(99, QUERIES)
        ]
        hosts = {"with": _host(Path(folder) / "with", open_audit), "without": _host(Path(folder) / "without", None)}
        turns: dict[str, list[Turn]] = {name: [] for name in hosts}
        try:
            for host in hosts.values():
                fill(host, 0, CUBE, args.memories)
                _turn(host, asked, args.threads, 1.0)
            for number in range(args.rounds):
                for name in sorted(hosts, reverse=bool(number % 2)):
                    turns[name].append(_turn(hosts[name], asked, args.threads, args.seconds))
                progress((number + 1) / args.rounds)
            recorded = hosts["with"].status()["shards"]["0"]["audit"]
        finally:
            for host in hosts.values():
                host.close()
    return _compared(turns, args.limit) | {
        "recorded": {name: recorded[name] for name in ("rows", "commits", "slowest_ms")}
    }


def _compared(turns: dict[str, list[Turn]], limit: float) -> Json:
    found: Json = {}
    for name, of in turns.items():
        found[name] = {
            "searches_per_s": round(statistics.median(turn.per_s for turn in of), 1),
            "processor_ms": round(1000 * statistics.median(turn.processor_s for turn in of), 4),
            **percentiles([took for turn in of for took in turn.took_s]),
        }
    pairs = list(zip(turns["with"], turns["without"], strict=True))
    throughput = statistics.median(without.per_s / recorded.per_s for recorded, without in pairs)
    processor = statistics.median(recorded.processor_s / without.processor_s for recorded, without in pairs)
    return {
        **found,
        "throughput_overhead": round(throughput - 1, 4),
        "processor_overhead": round(processor - 1, 4),
        "passed": throughput <= limit and processor <= limit,
    }


def _host(folder: Path, audit: Callable[[HostSpec, int], AuditLog] | None) -> CubeHost:
    spec = HostSpec("host-0", str(folder), str(folder / "indexes"), (0,), 1, b"k" * 32)
    embedder = RandomEmbedder()
    return CubeHost(
        spec,
        lambda number, budget: open_shard(spec, number, embedder, budget),
        lambda number: Unrecorded() if audit is None else audit(spec, number),
        EveryCube(),
        SystemClock(),
    )


def _turn(host: CubeHost, asked: list[SearchCube], threads: int, seconds: float) -> Turn:
    took: list[list[float]] = [[] for _ in range(threads)]
    until = time.perf_counter() + seconds

    def search(number: int) -> None:
        at = number
        while (began := time.perf_counter()) < until:
            request = replace(CALLER, request_id=f"bench-{number}-{at}")
            host.search_many(CUBE, [(request, asked[at % len(asked)])])
            took[number].append(time.perf_counter() - began)
            at += threads

    workers = [threading.Thread(target=search, args=(number,)) for number in range(threads)]
    processor, began = time.process_time(), time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed_s, processor_s = time.perf_counter() - began, time.process_time() - processor
    flat = [one for of in took for one in of]
    return Turn(len(flat) / elapsed_s, processor_s / max(len(flat), 1), flat)


BENCHMARK = Benchmark("audit", __doc__, AuditArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
