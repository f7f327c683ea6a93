"""What others notice of slow clients and of a huge cube beside them.

    python -m jobs.bench.neighbours --url URL --key KEY --json FILE

Searches at an even pace over small cubes, alone; then beside clients that send or read byte by byte; then beside
clients that search a huge cube for as much as they may and add to it by the hundred. Each time beside a fresh
measurement alone, since the machine changes. A slow client costs the machine nothing, so others must not notice it. A
huge cube is work, and shares the cores: what is told is how much of it others feel.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import islice

from pydantic import Field

from jobs.bench.contract import Benchmark, Count, Progress, Seconds, ServerArguments
from jobs.bench.loads import Load, Request, closed_loop, paced
from jobs.bench.report import Json, percentiles, ratio
from jobs.bench.served import Served, served
from jobs.bench.slow_clients import SlowClients
from jobs.bench.turns import questions, turns

CONNECTIONS = 32
TOP_K = 200


class NeighboursArguments(ServerArguments):
    huge: Count = Field(20_000, description="memories of the huge cube")
    cubes: Count = Field(4, description="small cubes beside it")
    memories: Count = Field(400, description="in the small cubes together")
    per_s: Seconds = Field(30.0, description="searches a second on the small cubes")
    slow: Count = Field(64, description="slow clients")
    busy: Count = Field(2, description="clients of the huge cube")
    batch: Count = Field(200, description="messages of an add to the huge cube")
    seconds: Seconds = Field(15.0, description="of each load")
    seed: int = 0


def measure(args: NeighboursArguments, progress: Progress) -> Json:
    texts = turns(args.seed)
    asked = questions(time.time_ns())
    with served(args.url, args.key) as system, system.cubes("beside", args.cubes + 1) as (huge, *small):
        system.fill(small, args.memories, texts)
        system.fill([huge], args.huge, texts)
        progress(0.5)
        sent = 0

        def search() -> Request:
            nonlocal sent
            sent += 1
            return system.search(small[sent % len(small)], next(asked))

        def busy() -> Request:
            nonlocal sent
            sent += 1
            add = sent % 2 == 0
            return system.add(huge, list(islice(texts, args.batch))) if add else system.search(huge, next(asked), TOP_K)

        asyncio.run(_others(system, search, args))  # warms up
        alone = asyncio.run(_others(system, search, args))
        slow, outcomes = asyncio.run(
            _beside_slow(system, search, busy(), system.search(huge, next(asked), TOP_K), args)
        )
        progress(0.75)
        again = asyncio.run(_others(system, search, args))
        beside, theirs = asyncio.run(_beside_huge(system, search, busy, args))
    return {
        "slow_clients": {
            "alone": _told(alone),
            "beside": _told(slow),
            "p95_ratio": _p95(slow, alone),
            "they": outcomes,
        },
        "huge_cube": {
            "alone": _told(again),
            "beside": _told(beside),
            "p95_ratio": _p95(beside, again),
            "they": theirs.as_json(),
        },
    }


async def _others(system: Served, search: Callable[[], Request], args: NeighboursArguments) -> Load:
    return await paced(system.target, search, args.per_s, CONNECTIONS, args.seconds)


async def _beside_slow(
    system: Served, search: Callable[[], Request], add: Request, found: Request, args: NeighboursArguments
) -> tuple[Load, dict[str, int]]:
    clients = SlowClients(system.target)
    async with clients.running(args.slow, add.data, found.data):
        load = await _others(system, search, args)
    return load, dict(sorted(clients.outcomes.items()))


async def _beside_huge(
    system: Served, search: Callable[[], Request], busy: Callable[[], Request], args: NeighboursArguments
) -> tuple[Load, Load]:
    load, theirs = await asyncio.gather(
        _others(system, search, args), closed_loop(system.target, busy, args.busy, args.seconds)
    )
    return load, theirs


def _told(load: Load) -> Json:
    return {**load.as_json(), "statuses": load.statuses}


def _p95(beside: Load, alone: Load) -> float | None:
    return ratio(percentiles(beside.took_s())["p95_ms"], percentiles(alone.took_s())["p95_ms"])


BENCHMARK = Benchmark("neighbours", __doc__, NeighboursArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
