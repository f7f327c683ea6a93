"""Many small cubes and a big one: making and filling them, opening cold ones, the memory of every process.

    python -m jobs.bench.cubes --url URL --key KEY --cubes 10000 --memories 10 --big 100000 --json FILE

A cube is cold when it was not touched for so long that the host let go of it: the sample leaves out the newest,
as many as are open, and a fifth more. With `--prefix NAME` the cubes stay, and a second run with the same name opens
them again, after a restart, say. Every search has the same query, so that embedding it is no part of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Annotated

from pydantic import Field

from jobs.bench.contract import Benchmark, Count, Progress, ServerArguments
from jobs.bench.loads import Load, Request, each_once
from jobs.bench.processes import resident_mib
from jobs.bench.report import Json, percentiles, ratio
from jobs.bench.served import Served, demand, served
from jobs.bench.turns import turns

QUERY = "What happened at the harbour last Friday?"
BIG_SEARCHES = 50


class CubesArguments(ServerArguments):
    cubes: Count = Field(10_000, description="small cubes")
    memories: Count = Field(10, description="in each of them")
    big: Annotated[int, Field(ge=0, description="memories of one big cube beside; 0 for none")] = 100_000
    opened: Count = Field(300, description="cold cubes that are searched, and as many that are read")
    clients: Count = Field(16, description="concurrent clients that make and fill")
    prefix: str = Field("", description="name of cubes that stay for another run")
    seed: int = 0


def measure(args: CubesArguments, progress: Progress) -> Json:
    texts = turns(args.seed)
    with served(args.url, args.key) as system:
        made: Json = {"memory_mib": {"before": resident_mib(system.processes())}}
        with _big(system, args.big, texts) as big:
            if big:
                made["big"] = {"memories": args.big, **_filled_big(system, big, args.big, texts)}
                made["memory_mib"]["with_big"] = resident_mib(system.processes())
            progress(0.4)
            with _small(system, args, texts) as (cubes, making):
                made |= making
                made["memory_mib"]["with_cubes"] = resident_mib(system.processes())
                progress(0.9)
                made["opening"] = _opened(system, cubes, args)
                if big:
                    made["big"]["cold"] = _cold_and_warm(system, [system.search(big, QUERY)])
                made["memory_mib"]["after"] = resident_mib(system.processes())
    return made


@contextmanager
def _big(system: Served, memories: int, texts: Iterator[str]) -> Iterator[str]:
    if not memories:
        yield ""
        return
    with system.cubes("big", 1) as (cube,):
        yield cube


def _filled_big(system: Served, cube: str, memories: int, texts: Iterator[str]) -> Json:
    filled_s = system.fill([cube], memories, texts)
    searches = _one_by_one(system, [system.search(cube, QUERY)] * BIG_SEARCHES)
    return {
        "fill_s": round(filled_s, 1),
        "fill_per_s": round(memories / filled_s, 1),
        "warm_search": percentiles(searches.took_s()),
    }


@contextmanager
def _small(system: Served, args: CubesArguments, texts: Iterator[str]) -> Iterator[tuple[list[str], Json]]:
    """The small cubes and what making them took; those of a prefix are found again and stay."""
    if not args.prefix:
        with system.cubes("cubes", args.cubes) as cubes:
            yield cubes, {"filling": _filled(system, cubes, args, texts)}
        return
    cubes = [f"{args.prefix}-{n}" for n in range(args.cubes)]
    if system.control.get(f"/v1/cubes/{cubes[-1]}").status_code == 200:
        yield cubes, {}
        return
    creating = demand(asyncio.run(each_once(system.target, [system.create(cube) for cube in cubes], args.clients)))
    yield cubes, {"creating": creating.as_json(), "filling": _filled(system, cubes, args, texts)}


def _filled(system: Served, cubes: Sequence[str], args: CubesArguments, texts: Iterator[str]) -> Json:
    adds = [system.add(cube, list(islice(texts, args.memories))) for cube in cubes]
    load = demand(asyncio.run(each_once(system.target, adds, args.clients)))
    system.settle(cubes[-args.clients :])
    return load.as_json()


def _opened(system: Served, cubes: Sequence[str], args: CubesArguments) -> Json:
    """The first search and the first read of cold cubes, one at a time, and the same again."""
    held = sum(shard["open_cubes"] for host in system.status()["hosts"] for shard in host["shards"])
    cold = list(cubes[: max(0, len(cubes) - round(held * 1.2))])
    random.Random(args.seed).shuffle(cold)
    searched, read = cold[: args.opened], cold[args.opened : 2 * args.opened]
    return {
        "open_before": held,
        "cold_cubes": len(cold),
        "search": _cold_and_warm(system, [system.search(cube, QUERY) for cube in searched]),
        "read": _cold_and_warm(system, [system.read(cube) for cube in read]),
    }


def _cold_and_warm(system: Served, requests: Sequence[Request]) -> Json | None:
    """None when there is nothing to open: every cube is open."""
    if not requests:
        return None
    twice = _one_by_one(system, [request for one in requests for request in (one, one)]).took_s()
    cold, warm = percentiles(twice[::2]), percentiles(twice[1::2])
    return {
        "count": len(requests),
        "cold": cold,
        "warm": warm,
        "cold_to_warm_p50": ratio(cold["p50_ms"], warm["p50_ms"]),
    }


def _one_by_one(system: Served, requests: Sequence[Request]) -> Load:
    return demand(asyncio.run(each_once(system.target, list(requests), 1)))


BENCHMARK = Benchmark("cubes", __doc__, CubesArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
