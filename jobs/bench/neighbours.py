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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Requests:
    """What is asked of the small cubes, and of the huge one."""

    system: Served
    small: Sequence[str]
    huge: str
    batch: int
    texts: Iterator[str]
    asked: Iterator[str] = field(default_factory=lambda: questions(time.time_ns()))
    sent: int = 0

    def search(self) -> Request:
        self.sent += 1
        return self.system.search(self.small[self.sent % len(self.small)], next(self.asked))

    def add(self) -> Request:
        return self.system.add(self.huge, list(islice(self.texts, self.batch)))

    def much(self) -> Request:
        return self.system.search(self.huge, next(self.asked), TOP_K)

    def busy(self) -> Request:
        self.sent += 1
        return self.add() if self.sent % 2 else self.much()


def measure(args: NeighboursArguments, progress: Progress) -> Json:
    texts = turns(args.seed)
    with served(args.url, args.key) as system, system.cubes("beside", args.cubes + 1) as (huge, *small):
        requests = _Requests(system, small, huge, args.batch, texts)
        system.fill(small, args.memories, texts)
        system.fill([huge], args.huge, texts)
        progress(0.5)
        asyncio.run(_others(requests, args))  # warms up
        alone = asyncio.run(_others(requests, args))
        slow, outcomes = asyncio.run(_beside_slow(requests, args))
        progress(0.75)
        again = asyncio.run(_others(requests, args))
        beside, theirs = asyncio.run(_beside_huge(requests, args))
    return {
        "slow_clients": {**_compared(alone, slow), "they": outcomes},
        "huge_cube": {**_compared(again, beside), "they": theirs.as_json()},
    }


async def _others(requests: _Requests, args: NeighboursArguments) -> Load:
    return await paced(requests.system.target, requests.search, args.per_s, CONNECTIONS, args.seconds)


async def _beside_slow(requests: _Requests, args: NeighboursArguments) -> tuple[Load, dict[str, int]]:
    clients = SlowClients(requests.system.target)
    async with clients.running(args.slow, requests.add().data, requests.much().data):
        load = await _others(requests, args)
    return load, dict(sorted(clients.outcomes.items()))


async def _beside_huge(requests: _Requests, args: NeighboursArguments) -> tuple[Load, Load]:
    target = requests.system.target
    load, theirs = await asyncio.gather(
        _others(requests, args), closed_loop(target, requests.busy, args.busy, args.seconds)
    )
    return load, theirs


def _compared(alone: Load, beside: Load) -> Json:
    slower = percentiles(beside.took_s())["p95_ms"], percentiles(alone.took_s())["p95_ms"]
    return {"alone": _told(alone), "beside": _told(beside), "p95_ratio": ratio(*slower)}


def _told(load: Load) -> Json:
    return {**load.as_json(), "statuses": load.statuses}


BENCHMARK = Benchmark("neighbours", __doc__, NeighboursArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
