"""Loads on a server: clients that send one request after the other, and arrivals at a given pace."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.bench.http_load import Broken, Client, Target
from jobs.bench.report import Json, percentiles

PAUSE_S = 0.05
"""How long a closed-loop client rests after a refusal, so that refusals do not become the load."""

LATE_S = 0.01
"""A paced request that leaves this long after its time is late: its client was still waiting."""


@dataclass(frozen=True, slots=True)
class Request:
    """`items` is what an accepted one counts for: the memories of an add."""

    data: bytes
    items: int = 1
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One exchange; times in seconds of time.perf_counter. `status` 0: the connection broke."""

    sent: float
    took_s: float
    status: int
    request: Request
    late_s: float = 0.0
    told_when: bool = True

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(slots=True)
class Load:
    """What came of a load of `elapsed_s`, during which the clients themselves used `client_s` of processor."""

    clients: int
    samples: list[Sample] = field(default_factory=list)
    elapsed_s: float = 0.0
    client_s: float = 0.0

    def took_s(self, kind: str | None = None) -> list[float]:
        """Latencies of the accepted requests."""
        return [s.took_s for s in self.samples if s.accepted and kind in (None, s.request.kind)]

    @property
    def per_s(self) -> float:
        """Accepted items a second."""
        return sum(s.request.items for s in self.samples if s.accepted) / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def statuses(self) -> dict[str, int]:
        counted = Counter("broken" if s.status == 0 else str(s.status) for s in self.samples)
        return dict(sorted(counted.items()))

    @property
    def refusals_without_retry_after(self) -> int:
        return sum(not s.told_when for s in self.samples)

    @property
    def only_told_refusals(self) -> bool:
        """Whether every answer is a success, or a 429 or 503 that says when to come again."""
        return all(s.accepted or (s.status in (429, 503) and s.told_when) for s in self.samples)

    def as_json(self) -> Json:
        """Rate and latency of what was accepted, statuses when there was more than success, the client's own share."""
        told: Json = {"clients": self.clients, "per_s": round(self.per_s, 1), **percentiles(self.took_s())}
        if not all(s.accepted for s in self.samples):
            told |= {"statuses": self.statuses, "refusals_without_retry_after": self.refusals_without_retry_after}
        share = self.client_s / self.elapsed_s if self.elapsed_s else 0.0
        return {**told, "client_cpu": round(share, 3)}


async def closed_loop(target: Target, requests: Callable[[], Request], clients: int, seconds: float) -> Load:
    """`clients` connections, each with one request at a time, until `seconds` are over; then the last answers."""
    load = Load(clients)
    lines = [Client(target) for _ in range(clients)]
    await asyncio.gather(*(line.connect() for line in lines))
    deadline = time.perf_counter() + seconds

    async def work(line: Client) -> None:
        while not load.samples or time.perf_counter() < deadline:
            sample = await _exchange(line, requests(), due=time.perf_counter())
            load.samples.append(sample)
            if not sample.accepted:
                await asyncio.sleep(PAUSE_S)

    await _measured(load, [work(line) for line in lines], lines)
    return load


async def each_once(target: Target, requests: list[Request], clients: int) -> Load:
    """Every request once, over `clients` connections; a refused one is sent again after a pause."""
    load = Load(clients)
    lines = [Client(target) for _ in range(min(clients, len(requests)))]
    waiting = iter(requests)

    async def work(line: Client) -> None:
        for request in waiting:
            sample = await _exchange(line, request, due=time.perf_counter())
            load.samples.append(sample)
            while sample.status in (429, 503):
                await asyncio.sleep(PAUSE_S)
                sample = await _exchange(line, request, due=time.perf_counter())
                load.samples.append(sample)

    await _measured(load, [work(line) for line in lines], lines)
    return load


async def paced(
    target: Target, requests: Callable[[], Request], per_s: float, connections: int, seconds: float
) -> Load:
    """`per_s` arrivals a second, evenly over the connections, whatever the answers do.

    A connection that still waits when its next arrival is due sends it late, at once after the answer; an arrival
    that is later than the end is left out.
    """
    load = Load(connections)
    lines = [Client(target) for _ in range(connections)]
    await asyncio.gather(*(line.connect() for line in lines))
    began = time.perf_counter()

    async def work(line: Client, offsets: list[float]) -> None:
        for offset in offsets:
            due = began + offset
            now = time.perf_counter()
            if now >= began + seconds:
                return
            if now < due:
                await asyncio.sleep(due - now)
            load.samples.append(await _exchange(line, requests(), due))

    schedule = due_times(per_s, connections, seconds)
    await _measured(load, [work(line, due) for line, due in zip(lines, schedule, strict=True)], lines)
    return load


def due_times(per_s: float, connections: int, seconds: float) -> list[list[float]]:
    """When each connection sends, in seconds from the start: all arrivals together are evenly `1 / per_s` apart."""
    arrivals = [n / per_s for n in range(round(per_s * seconds))]
    return [arrivals[first::connections] for first in range(connections)]


async def _exchange(line: Client, request: Request, due: float) -> Sample:
    sent = time.perf_counter()
    try:
        answer = await line.send(request.data)
    except Broken:
        line.close()
        return Sample(sent, time.perf_counter() - sent, 0, request, sent - due)
    told_when = answer.status not in (429, 503) or answer.retry_after.isdigit()
    return Sample(sent, time.perf_counter() - sent, answer.status, request, sent - due, told_when)


async def _measured(load: Load, works: Sequence[Coroutine[Any, Any, None]], lines: Sequence[Client]) -> None:
    began, used = time.perf_counter(), time.process_time()
    try:
        await asyncio.gather(*works)
    finally:
        load.elapsed_s = time.perf_counter() - began
        load.client_s = time.process_time() - used
        for line in lines:
            line.close()
