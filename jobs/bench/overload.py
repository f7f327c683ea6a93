"""Twice what the system can take: what it answers, how fast, what it costs in memory, and how it is afterwards.

    python -m jobs.bench.overload --url URL --key KEY --json FILE

The capacity is what a few clients get in a closed loop. Then arrivals come at a pace of their own over many
connections, at half of it and at twice it, whatever the answers are; then the closed loop again, at once. Searches
first, then a mix of searches and adds of one message that wait for the index. Passes when every answer is a success
or a 429 or 503 with Retry-After, when those accepted at twice the capacity take at most `limit` times as long at p95
as at half of it, and when the closed loop afterwards is as fast as before.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import Field

from jobs.bench.contract import Benchmark, Count, Progress, Seconds, ServerArguments
from jobs.bench.loads import LATE_S, Load, Request, closed_loop, paced
from jobs.bench.processes import MemoryWatch
from jobs.bench.report import Curve, Json, Point, percentiles, ratio
from jobs.bench.served import Served, served
from jobs.bench.turns import questions, turns

AGAIN = 0.9
"""The part of the capacity that a closed loop right after the overload must reach: runs differ by as much."""

Share = Annotated[float, Field(ge=0, le=1)]


class OverloadArguments(ServerArguments):
    clients: Count = Field(256, description="connections of the paced loads")
    capacity_clients: Count = Field(16, description="clients of the closed loops")
    capacity_seconds: Seconds = Field(10.0, description="of each closed loop")
    half_seconds: Seconds = Field(20.0, description="at half of the capacity")
    seconds: Seconds = Field(60.0, description="at twice the capacity")
    cubes: Count = 4
    memories: Count = Field(2_000, description="in all cubes together, before")
    adds: Share = Field(0.2, description="part of the mix that are adds")
    limit: Seconds = Field(3.0, description="p95 at twice the capacity ÷ p95 at half of it, at most")
    seed: int = 0


def measure(args: OverloadArguments, progress: Progress) -> Json:
    texts = turns(args.seed)
    with served(args.url, args.key) as system, system.cubes("overload", args.cubes) as cubes:
        system.fill(cubes, args.memories, texts)
        progress(0.1)
        searches = _overloaded(system, _mix(system, cubes, texts, 0.0, args.seed), args)
        progress(0.5)
        mixed = _overloaded(system, _mix(system, cubes, texts, args.adds, args.seed), args)
    parts = {"searches": searches, "mixed": mixed}
    return {
        **parts,
        "curves": [_curve(name, part) for name, part in parts.items()],
        "passed": all(part["passed"] for part in parts.values()),
    }


def _mix(system: Served, cubes: list[str], texts: Iterator[str], adds: float, seed: int) -> Callable[[], Request]:
    """The next request: an add with probability `adds`, else a search with a query that was not asked before."""
    rng, asked = random.Random(seed), questions(time.time_ns())

    def next_request() -> Request:
        cube = rng.choice(cubes)
        return system.add(cube, [next(texts)]) if rng.random() < adds else system.search(cube, next(asked))

    return next_request


def _overloaded(system: Served, requests: Callable[[], Request], args: OverloadArguments) -> Json:
    def closed() -> Load:
        return asyncio.run(closed_loop(system.target, requests, args.capacity_clients, args.capacity_seconds))

    def at(times: float, seconds: float) -> Load:
        return asyncio.run(paced(system.target, requests, times * capacity.per_s, args.clients, seconds))

    closed()  # warms up
    capacity = closed()
    processes = system.processes()
    half = at(0.5, args.half_seconds)
    with MemoryWatch(processes) as memory:
        twice = at(2.0, args.seconds)
    again = closed()
    slower = {kind: _slower(half, twice, kind) for kind in sorted({s.request.kind for s in half.samples})}
    told = all(load.only_told_refusals for load in (capacity, half, twice, again))
    quick = all(times is not None and times <= args.limit for times in slower.values())
    recovered = ratio(again.per_s, capacity.per_s) or 0.0
    return {
        "capacity": capacity.as_json(),
        "half": _told(half, 0.5 * capacity.per_s),
        "twice": _told(twice, 2 * capacity.per_s),
        "again": again.as_json(),
        "accepted_to_capacity": ratio(twice.per_s, capacity.per_s),
        "again_to_capacity": recovered,
        "p95_twice_to_half": slower,
        "memory": memory.as_json(),
        "same_processes": system.processes() == processes,
        "only_429_and_503_that_say_when": told,
        "passed": told and quick and recovered >= AGAIN,
    }


def _told(load: Load, offered_per_s: float) -> Json:
    """The load, each kind by itself, and how far the clients kept the pace."""
    kinds = sorted({sample.request.kind for sample in load.samples})
    late = sum(sample.late_s > LATE_S for sample in load.samples)
    return {
        **load.as_json(),
        "statuses": load.statuses,
        "wanted_per_s": round(offered_per_s, 1),
        "sent_per_s": round(len(load.samples) / load.elapsed_s, 1),
        "sent_late": ratio(late, len(load.samples)),
        "kinds": {kind: percentiles(load.took_s(kind)) for kind in kinds},
        "refusals": percentiles([s.took_s for s in load.samples if s.status in (429, 503)]),
    }


def _slower(half: Load, twice: Load, kind: str) -> float | None:
    """p95 of what was accepted, at twice the capacity ÷ at half; None when one of them accepted nothing."""
    theirs, ours = half.took_s(kind), twice.took_s(kind)
    return ratio(percentiles(ours)["p95_ms"], percentiles(theirs)["p95_ms"]) if ours and theirs else None


def _curve(name: str, part: Json) -> Json:
    loads = (("half", part["half"]), ("twice", part["twice"]))
    points = tuple(
        Point(label, load["sent_per_s"], load["p50_ms"], load["p95_ms"], load["p99_ms"]) for label, load in loads
    )
    return Curve(name, "requests sent/s", points).as_json()


BENCHMARK = Benchmark("overload", __doc__, OverloadArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
