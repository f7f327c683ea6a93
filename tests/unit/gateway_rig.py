"""A Gateway over a LocalDirectory: the real system host and two real cube hosts, and calls that can be broken."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from actors.clock import SystemClock
from actors.errors import Unavailable
from actors.footprint import footprint
from actors.host import CubeHost, HostSpec
from actors.memory.draft import Sealer
from actors.memory.governance import Caller
from actors.memory.ports import JsonObject
from actors.memory.requests import JobStatus, NewKey
from actors.memory_budget import MemoryBudget
from actors.shard import Shard, ShardLimits
from actors.shard_parts import ShardParts
from actors.stores.audit import PlainAuditStorage
from actors.stores.journal import PlainJournal, PlainStorage
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.vectors.plain import PlainVectorIndex
from cluster.calling import RetryRule
from cluster.directory import EMBEDDER, SYSTEM, LocalDirectory, Node, host_name
from cluster.gateway import Gateway, GatewayParts
from cluster.jobs import JobRunner
from cluster.topology import Topology
from tests.unit.hosts import HashEmbedder, plain_audit, rig_folder
from tests.unit.opened import closed_with_the_test
from tests.unit.plain_recognizer import PlainRecognizer
from tests.unit.system_hosts import KEY, PlainSnapshots, SystemBench

SHARDS, HOSTS = 8, 2


class PlainProcesses:
    """Processes of jobs that only exist as records."""

    def __init__(self) -> None:
        self.started: dict[str, Mapping[str, str]] = {}
        self.states: dict[str, tuple[JobStatus, str] | None] = {}
        self.stopped: list[str] = []
        self.broken = False

    def start(self, job_id: str, environment: Mapping[str, str]) -> None:
        if self.broken:
            raise Unavailable("Ray's job interface does not answer")
        self.started[job_id] = environment
        self.states[job_id] = (JobStatus.RUNNING, "")

    def stop(self, job_id: str) -> None:
        self.stopped.append(job_id)

    def state(self, job_id: str) -> tuple[JobStatus, str] | None:
        return self.states.get(job_id)

    def logs(self, job_id: str) -> str:
        return f"log of {job_id}"


class FlakyDirectory:
    """A LocalDirectory whose calls fail as told: `lost` answers vanish after the call took effect, `down` parts
    are not reached at all, `mute` ones never answer.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._inner = LocalDirectory(parts)
        self.down: set[str] = set()
        self.mute: set[str] = set()
        self.lose: dict[str, int] = {}
        self.calls: list[tuple[str, str]] = []

    async def call(self, name: str, method: str, *args: Any) -> Any:
        self.calls.append((name, method))
        if name in self.down:
            raise Unavailable(f"{name} is down", part=name)
        if name in self.mute:
            await asyncio.Event().wait()
        answer = await self._inner.call(name, method, *args)
        if self.lose.get(method, 0) > 0:
            self.lose[method] -= 1
            raise Unavailable(f"{name} died before it answered", part=name)
        return answer

    async def nodes(self) -> tuple[Node, ...]:
        if "nodes" in self.mute:
            await asyncio.Event().wait()
        return await self._inner.nodes()


class Embedding:
    def ready(self) -> list[str]:
        return []

    def status(self) -> JsonObject:
        return {**footprint(), "model": "hash@1", "dimension": 64, "waiting": 0, "embedded": 0}


class GatewayRig:
    """`restart(host)` is what Ray does after a host died."""

    def __init__(self, limits: ShardLimits | None = None) -> None:
        self.limits = limits or ShardLimits(index_wait_s=2.0)
        self.system = SystemBench()
        self.storage = {n: PlainStorage() for n in range(SHARDS)}
        self.snapshots = {n: PlainSnapshots() for n in range(SHARDS)}
        self.audited = {n: PlainAuditStorage() for n in range(SHARDS)}
        self.embedder = HashEmbedder()
        self.recognizer = PlainRecognizer()
        self.topology = Topology(SHARDS, HOSTS)
        self.parts: dict[str, Any] = {SYSTEM: self.system.host, EMBEDDER: Embedding()}
        for number in range(HOSTS):
            self.restart(number)
        self.directory = FlakyDirectory(self.parts)
        self.processes = PlainProcesses()
        retry = RetryRule(within_s=0.6, first_s=0.01, longest_s=0.05)
        clock = self.system.clock
        jobs = JobRunner(self.directory, self.processes, clock, "http://127.0.0.1:8000", retry)
        self.gateway = Gateway(GatewayParts(self.directory, self.topology, jobs, clock, retry, status_within_s=1.0))
        self.root = self.system.root

    def restart(self, number: int) -> None:
        spec = HostSpec(host_name(number), "plain", rig_folder(), self.topology.shards_of(number), SHARDS, KEY)
        host = CubeHost(
            spec,
            self._open_shard,
            lambda n: plain_audit(self.audited[n]),
            self.system.host,
            SystemClock(),
            self.recognizer,
        )
        self.parts[host_name(number)] = closed_with_the_test(host)

    def restart_all(self) -> None:
        """The system host too: the whole instance, on the storage that it left."""
        self.system.crash()
        self.parts[SYSTEM] = self.system.host
        for number in range(HOSTS):
            self.restart(number)

    def _open_shard(self, number: int, budget: MemoryBudget) -> Shard:
        parts = ShardParts(
            journal=PlainJournal(self.storage[number], KEY),
            snapshots=self.snapshots[number],
            vectors=PlainVectorIndex(),
            lexical=PlainLexicalIndex(),
            embedder=self.embedder,
            clock=SystemClock(),
            sealer=Sealer(KEY, secrets.token_bytes),
        )
        return Shard(number, parts, self.limits)

    def owner(self, cube_id: str) -> str:
        return host_name(self.topology.host_of(cube_id))

    def cubes_of_each_host(self) -> tuple[str, str]:
        """Names of two cubes that live on different hosts."""
        names = [f"cube-{n}" for n in range(50)]
        return tuple(next(n for n in names if self.owner(n) == host_name(h)) for h in range(HOSTS))  # type: ignore[return-value]

    async def principal(self, name: str) -> Caller:
        issued = await self.gateway.create_key(self.root, NewKey(name))
        return (await self.gateway.authenticate(issued.secret, f"req-{name}")).caller


async def _awaited(outcome: Awaitable[None]) -> None:
    await outcome


def runs(test: Callable[[GatewayRig], Awaitable[None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(_awaited(test(GatewayRig())))

    del run.__wrapped__  # pytest would ask for the rig as a fixture
    return run
