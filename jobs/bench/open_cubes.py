"""What opening a cold cube costs, in one host without Ray: `python -m jobs.bench.open_cubes --cubes 10000`.

Fills a state (or takes the one in `--state`), opens it anew, and searches cubes that are not in memory. The embedder is
a random one of 384 dimensions: embedding is no part of what is measured.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from actors.host import CubeHost, HostSpec
from actors.memory.governance import Action, Caller, ClusterAccess, CubeAccess
from actors.memory.ports import JsonObject, Vectors
from actors.memory.requests import AddMemories, NewMemory
from actors.memory.search_requests import SearchCube
from actors.shard import ShardLimits

SHARDS = 4
DIMENSION = 384
CALLER = Caller("owner", "key", "bench")
ADD_BATCH = 500
WORDS = (
    "the a to and we went at night with my sister about work painting hiking camping school adoption counseling "
    "pottery class kids family friends support group mental health career travel museum concert violin garden dinner "
    "beach really great amazing thanks glad happy proud love hope remember last week year trip lake sunset book story"
).split()


class RandomEmbedder:
    """Unit vectors that follow from the text alone."""

    model_id = "random@1"
    dimension = DIMENSION

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSION, dtype=np.float32)
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


class EveryCube:
    """An access source in which every cube belongs to the caller."""

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        return CubeAccess(cube_id, CALLER.principal, {}, name=cube_id, revision=1)

    def asked_access(self, caller: Caller, action: Action, cube_id: str) -> CubeAccess | None:
        return self.cube_access(cube_id)

    def cluster_access(self) -> ClusterAccess:
        return ClusterAccess(frozenset())


def texts_of(cube: int, count: int) -> list[str]:
    rng = random.Random(cube)
    return [" ".join(rng.choices(WORDS, k=rng.randint(8, 30))) for _ in range(count)]


def opened(state: Path, limits: ShardLimits) -> CubeHost:
    folder = str(state / "shards")
    spec = HostSpec("host-0", folder, folder, tuple(range(SHARDS)), SHARDS, b"k" * 32, limits=limits)
    return CubeHost.open(spec, RandomEmbedder(), EveryCube())


def fill(host: CubeHost, cube: int, name: str, memories: int) -> None:
    rng = random.Random(cube)
    texts = texts_of(cube, memories)
    for start in range(0, memories, ADD_BATCH):
        batch = tuple(
            NewMemory(text, speaker=rng.choice(("Caroline", "Melanie")), session=f"s{start}")
            for text in texts[start : start + ADD_BATCH]
        )
        host.add(CALLER, name, AddMemories(batch))


def measure(host: CubeHost, names: Sequence[str]) -> dict[str, float]:
    """Milliseconds of the first search of each cube; `cpu` is the mean of what the process computed for one."""
    query, embedder = "the garden with my sister", RandomEmbedder()
    request = SearchCube(query, embedder.embed([query])[0], embedder.model_id, 5)
    taken, cpu = [], time.process_time()
    for name in names:
        start = time.perf_counter()
        hits = host.search(CALLER, name, request).hits
        taken.append(1000 * (time.perf_counter() - start))
        if len(hits) < 5:
            raise SystemExit(f"{name} found {len(hits)} memories")
    return {
        "cpu": round(1000 * (time.process_time() - cpu) / len(names), 1),
        "first": round(taken[0], 1),
        "p50": round(float(np.percentile(taken, 50)), 1),
        "p95": round(float(np.percentile(taken, 95)), 1),
        "p99": round(float(np.percentile(taken, 99)), 1),
        "max": round(max(taken), 1),
    }


def rss_mb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20


def run(args: argparse.Namespace) -> JsonObject:
    with tempfile.TemporaryDirectory(prefix="open-cubes-") as temporary:
        state = Path(args.state or temporary)
        small = [f"small-{n:06d}" for n in range(args.cubes)]
        large = [f"large-{n}" for n in range(args.large)]
        if not (state / "shards").exists():
            host = opened(state, ShardLimits())
            start = time.perf_counter()
            with ThreadPoolExecutor(64) as pool:
                list(pool.map(lambda n: fill(host, n, small[n], 10), range(args.cubes)))
                list(pool.map(lambda n: fill(host, n, large[n], args.memories), range(args.large)))
            print(f"filled in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
            host.close()
            print(f"closed after {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        start = time.perf_counter()
        host = opened(state, ShardLimits())
        result: JsonObject = {"opening_host_s": round(time.perf_counter() - start, 2), "rss_mb": rss_mb()}
        chosen = random.Random(1).sample(small, min(args.opened, len(small)))
        result["small_ms"] = measure(host, chosen)
        result["rss_mb_after_small"] = rss_mb()
        if large:
            result["large_ms"] = measure(host, large)
            result["rss_mb_after_large"] = rss_mb()
        host.close()
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", help="keep the state here, or use the one that is here")
    parser.add_argument("--cubes", type=int, default=10_000, help="cubes of 10 memories")
    parser.add_argument("--opened", type=int, default=1000, help="of which so many are opened")
    parser.add_argument("--large", type=int, default=3, help="cubes of --memories")
    parser.add_argument("--memories", type=int, default=10_000)
    print(json.dumps(run(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
