"""Search through HTTP against bare query embedding and bare exact search, and how many searches a second.

    python -m jobs.bench.search --url URL --key KEY --memories 10000 --json FILE

The limit is measured in this process over the vectors of the same texts, with as many threads, one query at a time,
in turns with one client's searches: what else runs on the machine slows both. No query is asked twice, save in the
loads named "cached".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice

from pydantic import Field

from jobs.bench.bare import BareSearch
from jobs.bench.contract import Benchmark, Count, Counts, Progress, Seconds, ServerArguments
from jobs.bench.loads import Load, Request, closed_loop, each_once
from jobs.bench.report import Curve, Json, Point, percentiles, ratio
from jobs.bench.served import Served, demand, served
from jobs.bench.turns import questions, turns

CACHED_QUERIES = 200


class SearchArguments(ServerArguments):
    memories: Count = Field(10_000, description="in the cube")
    clients: Counts = Field((1, 2, 4, 8, 16, 32), description="concurrent clients")
    seconds: Seconds = Field(5.0, description="of each load")
    top_k: Count = 10
    threads: Count = Field(1, description="of the bare embedder and index: what the system gives a query")
    rounds: Count = Field(5, description="rounds in turns with the limit")
    queries: Count = Field(40, description="queries of a round")
    seed: int = 0
    path: str = Field("", description="a file in LoCoMo's format; its turns instead of made-up ones")


def measure(args: SearchArguments, progress: Progress) -> Json:
    """Latency of one client against the limit, then searches a second of many, fresh and cached."""
    texts = list(islice(turns(args.seed, args.path), args.memories))
    asked = questions(time.time_ns())
    with served(args.url, args.key) as system, system.cubes("search", 1) as (cube,):
        bare = BareSearch(texts, args.threads)
        progress(0.2)
        filled_s = system.fill([cube], args.memories, iter(texts))
        progress(0.4)

        def fresh() -> Request:
            return system.search(cube, next(asked), args.top_k)

        one = _against_bare(system, fresh, bare, asked, args)
        loads = _loads(system, args, fresh)
        progress(0.7)
        repeated = cycle([fresh() for _ in range(CACHED_QUERIES)])
        demand(asyncio.run(closed_loop(system.target, lambda: next(repeated), 8, 2.0)))
        cached = _loads(system, args, lambda: next(repeated))
    curves = (_curve("fresh queries", loads), _curve("cached query embeddings", cached))
    return {
        "fill_s": round(filled_s, 1),
        "one_client": one,
        "fresh": [load.as_json() for load in loads],
        "cached": [load.as_json() for load in cached],
        "curves": [curve.as_json() for curve in curves],
    }


def _against_bare(
    system: Served, fresh: Callable[[], Request], bare: BareSearch, asked: Iterator[str], args: SearchArguments
) -> Json:
    """HTTP and the limit in turns; the first round warms both up and does not count."""
    http_s: list[float] = []
    embed_s: list[float] = []
    index_s: list[float] = []
    for number in range(args.rounds + 1):
        pairs = [bare.search(query, args.top_k) for query in islice(asked, args.queries)]
        took = asyncio.run(_one_after_the_other(system, [fresh() for _ in range(args.queries)]))
        if number:
            embed_s += [pair[0] for pair in pairs]
            index_s += [pair[1] for pair in pairs]
            http_s += took
    bare_s = [a + b for a, b in zip(embed_s, index_s, strict=True)]
    http, limit = percentiles(http_s), percentiles(bare_s)
    return {
        "http": http,
        "bare": limit,
        "bare_embed": percentiles(embed_s),
        "bare_index": percentiles(index_s),
        "p50_to_bare": ratio(http["p50_ms"], limit["p50_ms"]),
    }


async def _one_after_the_other(system: Served, requests: Sequence[Request]) -> list[float]:
    return demand(await each_once(system.target, list(requests), 1)).took_s()


def _loads(system: Served, args: SearchArguments, requests: Callable[[], Request]) -> list[Load]:
    return [
        demand(asyncio.run(closed_loop(system.target, requests, clients, args.seconds))) for clients in args.clients
    ]


def _curve(name: str, loads: Sequence[Load]) -> Curve:
    points = []
    for load in loads:
        told = percentiles(load.took_s())
        points.append(Point(str(load.clients), round(load.per_s, 1), **told))
    return Curve(name, "searches/s", tuple(points))


BENCHMARK = Benchmark("search", __doc__, SearchArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
