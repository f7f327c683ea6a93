"""The running system as a benchmark sees it: cubes made and filled through HTTP, its processes and their memory."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx
import orjson

from actors.errors import Unavailable
from jobs.bench.http_load import Answer, Client, Target
from jobs.bench.loads import Load, Request, each_once
from jobs.bench.processes import serving

CLIENTS = 8
"""That make and archive cubes."""

FILL_BATCH = 64
FILL_CLIENTS = 4
"""Few enough texts on their way that an add seldom outlasts its wait for the index: filling does not run far ahead."""

SETTLE_S = 300.0
"""How long indexes may take to catch up before a measurement is given up."""


@dataclass(frozen=True, slots=True)
class Served:
    """A system at an address; `control` is for what is not measured."""

    target: Target
    control: httpx.Client

    def add(self, cube: str, texts: Sequence[str], wait: str = "index") -> Request:
        """An add of these turns; it counts for as many items."""
        messages = [{"role": "user", "content": text} for text in texts]
        body = {"messages": messages, "wait": wait}
        return Request(self.target.request("POST", f"/v1/cubes/{cube}/memories", body), len(texts), "add")

    def search(self, cube: str, query: str, top_k: int = 10) -> Request:
        body = {"query": query, "cubes": [cube], "top_k": top_k}
        return Request(self.target.request("POST", "/v1/search", body), 1, "search")

    def create(self, cube: str) -> Request:
        return Request(self.target.request("POST", "/v1/cubes", {"id": cube}), 1, "create")

    def archive(self, cube: str) -> Request:
        path = f"/v1/cubes/{cube}?reason=benchmark+over"
        return Request(self.target.request("DELETE", path), 1, "archive")

    def read(self, cube: str) -> Request:
        """The first memory of a cube."""
        return Request(self.target.request("GET", f"/v1/cubes/{cube}/memories?limit=1"), 1, "read")

    @contextmanager
    def cubes(self, name: str, count: int) -> Iterator[list[str]]:
        """So many empty cubes, archived at the end, come what may."""
        made = [f"bench-{name}-{uuid.uuid4().hex[:8]}-{n}" for n in range(count)]
        try:
            demand(asyncio.run(each_once(self.target, [self.create(cube) for cube in made], CLIENTS)))
            yield made
        finally:
            asyncio.run(each_once(self.target, [self.archive(cube) for cube in made], CLIENTS))

    def fill(self, cubes: Sequence[str], count: int, texts: Iterator[str]) -> float:
        """Add `count` memories, spread over the cubes, until they are searchable; the seconds it took."""
        adds: list[Request] = []
        for start in range(0, count, FILL_BATCH):
            batch = list(islice(texts, min(FILL_BATCH, count - start)))
            adds.append(self.add(cubes[len(adds) % len(cubes)], batch))
        began = time.perf_counter()
        if adds:
            demand(asyncio.run(each_once(self.target, adds, FILL_CLIENTS)))
        self.settle(cubes)
        return time.perf_counter() - began

    def settle(self, cubes: Sequence[str]) -> None:
        """Return once a search of each cube misses nothing. Raises Unavailable when that does not come about."""
        asyncio.run(self._settle(cubes))

    async def _settle(self, cubes: Sequence[str]) -> None:
        deadline = time.monotonic() + SETTLE_S
        async with Client(self.target) as client:
            for cube in cubes:
                request = self.search(cube, "Is everything there?", top_k=1)
                while not _whole(await client.send(request.data)):
                    if time.monotonic() > deadline:
                        raise Unavailable(f"the indexes of {cube} do not catch up")

    def processes(self) -> dict[int, str]:
        """Pid and name of every process that serves. Raises Unavailable when they are on another machine."""
        return serving(self.status())

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.control.get("/v1/status").raise_for_status().json()
        return found


def _whole(answer: Answer) -> bool:
    if not answer.accepted and answer.status not in (429, 503):
        raise Unavailable(f"a search answers {answer.status}: {answer.body[:200].decode(errors='replace')}")
    return answer.accepted and not orjson.loads(answer.body)["degraded"]


def demand(load: Load) -> Load:
    """The load, if in the end every request of it was accepted. Raises Unavailable."""
    if not load.only_told_refusals:
        raise Unavailable(f"the system answered {load.statuses}")
    return load


@contextmanager
def served(url: str, key: str) -> Iterator[Served]:
    """The system at `url`. Raises InvalidRequest for an address that is none, httpx.HTTPError when nobody answers."""
    target = Target.of(url, key)
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as control:
        control.get("/readyz").raise_for_status()
        yield Served(target, control)
