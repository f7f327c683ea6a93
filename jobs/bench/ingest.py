"""Ingest through HTTP: short turns, durable and searchable before they count, against the bare embedder.

    python -m jobs.bench.ingest --url URL --key KEY --sizes 100,100000 --json FILE

Clients add one message after the other, then 32 at a time, to cubes that hold so many memories already. The limit
is the bare embedder in batches of 32 on the same texts, alone on the machine, before and after, the better round.
`same_cores` names its threads that stand for the cores the system had: all of the machine's, unless told otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from pydantic import Field

from jobs.bench.bare import EmbedderLimit, default_limit
from jobs.bench.contract import Benchmark, Count, Counts, Progress, Seconds, ServerArguments
from jobs.bench.loads import Load, Request, closed_loop
from jobs.bench.report import Curve, Json, Point, percentiles, ratio
from jobs.bench.served import Served, demand, served
from jobs.bench.turns import turns


class IngestArguments(ServerArguments):
    sizes: Counts = Field((100, 100_000), description="memories that are there before a measurement")
    messages: Counts = Field((1, 32), description="messages of an add")
    clients: Counts = Field((1, 8, 32), description="concurrent clients")
    cubes: Count = Field(1, description="cubes that the adds are spread over")
    seconds: Seconds = Field(10.0, description="of each measurement")
    limit_seconds: Seconds = Field(4.0, description="of each measurement of the bare embedder")
    limit_threads: Annotated[int, Field(ge=0, description="of the bare embedder at most; 0: every core")] = 0
    seed: int = 0
    path: str = Field("", description="a file in LoCoMo's format; its turns instead of made-up ones")


def measure(args: IngestArguments, progress: Progress) -> Json:
    """Memories a second at every size, with the ratio to the bare embedder's texts a second."""
    texts = turns(args.seed, args.path)
    limit = default_limit(args.limit_threads)
    with served(args.url, args.key) as system:
        limit.measure(texts, args.limit_seconds)
        sizes = []
        for done, size in enumerate(args.sizes):
            sizes.append(_at(system, args, size, texts))
            progress((done + 1) / (len(args.sizes) + 1))
    limit.measure(texts, args.limit_seconds)
    for measured in sizes:
        for each in measured["adds"]:
            each["to_bare"] = _ratios(each["per_s"], limit)
    most = limit.threads[-1]
    return {
        "same_cores": most,
        "bare_embedder": limit.as_json(),
        "sizes": sizes,
        "best_to_bare": {str(m["memories"]): max(e["to_bare"][str(most)] or 0 for e in m["adds"]) for m in sizes},
        "curves": [curve.as_json() for measured in sizes for curve in _curves(measured)],
    }


def _at(system: Served, args: IngestArguments, size: int, texts: Iterator[str]) -> Json:
    """Every shape of add on cubes that held `size` memories before the first."""
    adds = []
    with system.cubes("ingest", args.cubes) as cubes:
        filled_s = system.fill(cubes, size, texts)
        for messages in args.messages:
            for clients in args.clients:
                adds.append(_adds(system, cubes, messages, clients, args.seconds, texts))
    return {"memories": size, "fill_s": round(filled_s, 1), "fill_per_s": round(size / filled_s, 1), "adds": adds}


def _adds(system: Served, cubes: list[str], messages: int, clients: int, seconds: float, texts: Iterator[str]) -> Json:
    """A rate counts until the last memory is searchable."""
    sent = 0

    def next_add() -> Request:
        nonlocal sent
        sent += 1
        return system.add(cubes[sent % len(cubes)], list(islice(texts, messages)))

    began = time.perf_counter()
    load = demand(asyncio.run(closed_loop(system.target, next_add, clients, seconds)))
    system.settle(cubes)
    return _told(load, messages, time.perf_counter() - began)


def _told(load: Load, messages: int, elapsed_s: float) -> Json:
    memories = sum(sample.request.items for sample in load.samples if sample.accepted)
    return {
        "messages": messages,
        **load.as_json(),
        "per_s": round(memories / elapsed_s, 1),
        "caught_up_after_s": round(elapsed_s - load.elapsed_s, 2),
        **percentiles(load.took_s()),
    }


def _ratios(per_s: float, limit: EmbedderLimit) -> dict[str, float | None]:
    return {str(threads): ratio(per_s, limit.per_s(threads)) for threads in limit.threads}


def _curves(measured: Json) -> Iterator[Curve]:
    for messages in dict.fromkeys(each["messages"] for each in measured["adds"]):
        points = tuple(
            Point(str(e["clients"]), e["per_s"], e["p50_ms"], e["p95_ms"], e["p99_ms"])
            for e in measured["adds"]
            if e["messages"] == messages
        )
        plural = "s" if messages > 1 else ""
        yield Curve(f"adds of {messages} message{plural}, {measured['memories']:,} there", "memories/s", points)


BENCHMARK = Benchmark("ingest", __doc__, IngestArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
