"""Kill hosts under load and count: `python -m jobs.bench.kills --url URL --key KEY --rounds 20 --json FILE`.

Eight clients add small batches through HTTP while a host is ended with SIGKILL, again and again. Then
every acknowledged memory must be there once, every unacknowledged batch whole or not at all, and every
chain must hold. Runs on the machine that the hosts run on, with the right to end them.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import Field

from jobs.bench.contract import Benchmark, Count, Progress, ServerArguments
from jobs.bench.report import Json


class KillsArguments(ServerArguments):
    rounds: Count = Field(20, description="how often a host is ended")
    clients: Count = Field(8, description="that write meanwhile")
    seed: int = 0


@dataclass(slots=True)
class Ledger:
    """What the clients sent and what was acknowledged. A batch is known by the refs of its messages."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    acknowledged: list[list[str]] = field(default_factory=list)
    unacknowledged: list[list[str]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    def note(self, refs: list[str], answer: str | None) -> None:
        with self.guard:
            if answer is None:
                self.acknowledged.append(refs)
            else:
                self.unacknowledged.append(refs)
                self.refusals[answer] += 1


def _write(client: httpx.Client, cube: str, ledger: Ledger, stop: threading.Event, seed: int) -> None:
    rng = random.Random(seed)
    while not stop.is_set():
        refs = [uuid.uuid4().hex for _ in range(rng.randint(1, 3))]
        messages = [{"role": "user", "content": f"note {ref} by writer {seed}", "ref": ref} for ref in refs]
        try:
            answer = client.post(f"/v1/cubes/{cube}/memories", json={"messages": messages})
        except httpx.HTTPError as error:
            ledger.note(refs, type(error).__name__)
            continue
        ledger.note(refs, None if answer.status_code == 201 else str(answer.status_code))


def _host_pids(client: httpx.Client) -> list[int]:
    status = client.get("/v1/status").raise_for_status().json()
    return [host["process"]["pid"] for host in status["hosts"]]


def _answers_again(client: httpx.Client, cubes: list[str], started: float) -> float:
    """Seconds from `started` until a fresh add and a search succeed on every cube."""
    waiting = list(cubes)
    while waiting and time.monotonic() - started < 120:
        try:
            cube = waiting[0]
            body = {"messages": [{"role": "user", "content": "are you there", "ref": f"probe-{uuid.uuid4().hex}"}]}
            added = client.post(f"/v1/cubes/{cube}/memories", json=body, timeout=20)
            found = client.post("/v1/search", json={"query": "are you there", "cubes": [cube]}, timeout=20)
            if added.status_code == 201 and found.status_code == 200:
                waiting.pop(0)
        except httpx.HTTPError:
            time.sleep(0.05)
    return time.monotonic() - started


def _stored_refs(client: httpx.Client, cube: str) -> Counter[str]:
    refs: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        params = {"limit": 200} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"/v1/cubes/{cube}/memories", params=params).raise_for_status().json()
        refs.update(item["ref"] for item in page["items"])
        cursor = page["next"]
        if cursor is None:
            return refs


def _judge(client: httpx.Client, cubes: list[str], ledger: Ledger) -> dict[str, Any]:
    stored: Counter[str] = Counter()
    broken = []
    for cube in cubes:
        stored.update(_stored_refs(client, cube))
        report = client.get(f"/v1/cubes/{cube}/verify", timeout=120).raise_for_status().json()
        if not report["ok"]:
            broken.append(report)
    lost = [ref for batch in ledger.acknowledged for ref in batch if stored[ref] == 0]
    doubled = [ref for ref, count in stored.items() if count > 1]
    torn = [batch for batch in ledger.unacknowledged if len({stored[ref] for ref in batch}) > 1]
    return {
        "acknowledged_batches": len(ledger.acknowledged),
        "unacknowledged_batches": len(ledger.unacknowledged),
        "refusals": dict(ledger.refusals),
        "lost": len(lost),
        "doubled": len(doubled),
        "torn": len(torn),
        "broken_chains": broken,
    }


def measure(args: KillsArguments, progress: Progress) -> Json:
    """Raises nothing for a bad outcome: read `passed`."""
    headers = {"Authorization": f"Bearer {args.key}"}
    with httpx.Client(base_url=args.url, headers=headers, timeout=60, trust_env=False) as client:
        return _kill_and_judge(client, args, progress)


def _kill_and_judge(client: httpx.Client, args: KillsArguments, progress: Progress) -> Json:
    rng = random.Random(args.seed)
    cubes = [f"kills-{uuid.uuid4().hex[:8]}-{n}" for n in range(4)]
    for cube in cubes:
        client.post("/v1/cubes", json={"id": cube}).raise_for_status()
    ledger, stop = Ledger(), threading.Event()
    writers = [
        threading.Thread(target=_write, args=(client, cubes[n % len(cubes)], ledger, stop, n))
        for n in range(args.clients)
    ]
    for writer in writers:
        writer.start()
    recovery_s = []
    for number in range(args.rounds):
        time.sleep(rng.uniform(1.0, 4.0))
        victim = rng.choice(_host_pids(client))
        started = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        recovery_s.append(_answers_again(client, cubes, started))
        progress((number + 1) / (args.rounds + 1))
    stop.set()
    for writer in writers:
        writer.join()
    verdict = _judge(client, cubes, ledger)
    clean = not (verdict["lost"] or verdict["doubled"] or verdict["torn"] or verdict["broken_chains"])
    return {
        "rounds": len(recovery_s),
        "recovery_s": {"max": max(recovery_s), "median": statistics.median(recovery_s)},
        **verdict,
        "passed": clean and max(recovery_s) < 15,
    }


BENCHMARK = Benchmark("kills", __doc__, KillsArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
