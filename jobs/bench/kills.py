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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import Field

from jobs.bench.contract import Benchmark, Count, Progress, ServerArguments
from jobs.bench.report import Json, percentiles


class KillsArguments(ServerArguments):
    rounds: Count = Field(20, description="how often a host is ended")
    clients: Count = Field(8, description="that write meanwhile")
    seed: int = 0


GIVE_UP_S = 120.0
LIMIT_S = 15.0
"""The longest that the service may take to answer again."""


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


def host_pids(client: httpx.Client) -> dict[int, list[int]]:
    """Each host's pid -> the shards that it owns."""
    status = client.get("/v1/status").raise_for_status().json()
    return {host["process"]["pid"]: [shard["shard"] for shard in host["shards"]] for host in status["hosts"]}


def first_answers(client: httpx.Client, cubes: list[str], started: float) -> list[float]:
    """For each cube, seconds from `started` until a fresh add and a search succeeded on it; asked side by side."""
    with ThreadPoolExecutor(max_workers=max(1, len(cubes))) as pool:
        return list(pool.map(lambda cube: _first_answer(client, cube, started), cubes))


def _first_answer(client: httpx.Client, cube: str, started: float) -> float:
    while time.monotonic() - started < GIVE_UP_S:
        body = {"messages": [{"role": "user", "content": "are you there", "ref": f"probe-{uuid.uuid4().hex}"}]}
        try:
            added = client.post(f"/v1/cubes/{cube}/memories", json={**body, "wait": "journal"}, timeout=20)
            found = client.post("/v1/search", json={"query": "are you there", "cubes": [cube]}, timeout=20)
            if added.status_code == 201 and found.status_code == 200:
                break
        except httpx.HTTPError:
            pass
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
    with client_of(args.url, args.key) as client:

        def end_a_host(rng: random.Random, cubes: list[str]) -> tuple[float, list[str]]:
            victim = rng.choice(list(host_pids(client)))
            started = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            return started, cubes

        rounds = Rounds(args.rounds, args.clients, args.seed)
        result = kill_and_judge(client, rounds, end_a_host, progress)
    return {**result, "passed": result["clean"] and result["recovery_s"]["max"] < LIMIT_S}


def client_of(url: str, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)


Kill = Callable[[random.Random, list[str]], tuple[float, list[str]]]
"""Ends something: when it did, and which of the cubes have to come back for that."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often something is ended, while how many clients write to how many cubes."""

    rounds: int
    clients: int = 8
    seed: int = 0
    cubes: int = 4


def kill_and_judge(client: httpx.Client, wanted: Rounds, kill: Kill, progress: Progress = lambda part: None) -> Json:
    """Rounds of `kill` under load. `recovery_s`: a round's last first answer; `clean`: nothing lost, doubled, torn."""
    rng = random.Random(wanted.seed)
    cubes = [f"kills-{uuid.uuid4().hex[:8]}-{n}" for n in range(wanted.cubes)]
    for cube in cubes:
        client.post("/v1/cubes", json={"id": cube}).raise_for_status()
    ledger, stop = Ledger(), threading.Event()
    writers = [
        threading.Thread(target=_write, args=(client, cubes[n % len(cubes)], ledger, stop, n))
        for n in range(wanted.clients)
    ]
    for writer in writers:
        writer.start()
    first_s: list[list[float]] = []
    try:
        for number in range(wanted.rounds):
            time.sleep(rng.uniform(1.0, 4.0))
            started, gone = kill(rng, cubes)
            first_s.append(first_answers(client, gone, started))
            progress((number + 1) / (wanted.rounds + 1))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    verdict = _judge(client, cubes, ledger)
    clean = not (verdict["lost"] or verdict["doubled"] or verdict["torn"] or verdict["broken_chains"])
    recovery_s = [max(answers) for answers in first_s]
    return {
        "rounds": len(recovery_s),
        "recovery_s": {"max": max(recovery_s), "median": statistics.median(recovery_s)},
        "first_answer": percentiles([answer for answers in first_s for answer in answers]),
        **verdict,
        "clean": clean,
    }


BENCHMARK = Benchmark("kills", __doc__, KillsArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
