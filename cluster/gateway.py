"""The Gateway: from a request to the hosts that answer it. Routes, fans out, retries what may be repeated.

Reads are repeated while a host restarts, and writes whose repetition changes nothing: an add carries an
idempotency key (made here when the caller gave none), grants and archiving are idempotent by themselves.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from actors.errors import Conflict, CubeNotFound, Unavailable
from actors.listing_differences import DifferencePage
from actors.memory.auditing import AuditQuery, AuditRow
from actors.memory.erasure import EraseMemories, Receipt
from actors.memory.governance import Caller, CubeAccess, Role
from actors.memory.item import Memory
from actors.memory.ports import Clock, JsonObject
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeSummary,
    CubeView,
    ExportCube,
    ImportCube,
    ListMemories,
    Moment,
    MoveMemory,
    NewCube,
    Page,
    Screened,
    VerifyReport,
)
from actors.memory.search_requests import CubeHits, Hit, SearchCube, Shortfall
from actors.memory.time_requests import CompareVersions, ForkCube, RolledBack
from cluster.archives import ArchiveCalls, Calls
from cluster.calling import RetryRule, repeated
from cluster.cube_audit import CubeAudit
from cluster.cube_calls import CubeCalls
from cluster.cube_places import CubePlaces
from cluster.directory import SYSTEM, Directory, host_name
from cluster.erasing import ClusterErasure
from cluster.health import Health
from cluster.jobs import JobRunner
from cluster.key_calls import KeyCalls
from cluster.lineage_calls import LineageCalls
from cluster.retention import ClusterRetention
from cluster.topology import Topology

MANIFESTS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What a gateway stands on. `jobs` starts and stops the processes of jobs; `status_within_s` is how long a part may
    take to say how it is.
    """

    directory: Directory
    topology: Topology
    jobs: JobRunner
    clock: Clock
    retry: RetryRule = field(default_factory=RetryRule)
    status_within_s: float = 2.0


class Gateway(LineageCalls):
    """One a replica; everything in it is safe to use from one event loop."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._places = CubePlaces(parts.directory, parts.topology)
        self._cubes = CubeCalls(parts.directory, self._places)
        self._health = Health(parts.directory, parts.topology, parts.status_within_s)
        keys = KeyCalls(parts.directory, self._system, self._hosts, parts.clock)
        self.authenticate, self.list_principals = keys.authenticate, keys.list_principals
        self.create_key, self.list_keys, self.revoke_key = keys.create_key, keys.list_keys, keys.revoke_key
        self._audits = CubeAudit(self._host, self._system)
        self._archives = ArchiveCalls(Calls(self._system, self._host, self._once))
        self._erasure = ClusterErasure(self._host, self._hosts, self._forks_of)
        jobs, retention = parts.jobs, ClusterRetention(self._host, self._erasure)
        self.due, self.apply_retention = retention.due, retention.apply
        self.submit_job, self.list_jobs, self.read_job = jobs.submit, jobs.list, jobs.read
        self.job_logs, self.stop_job = jobs.logs, jobs.stop

    # cubes

    async def create_cube(self, caller: Caller, new: NewCube) -> CubeView:
        """Registered first, then given its first event; a host heals one that got no further than the first."""
        await self._push(new.id, await self._archives.registered(caller, new))
        view: CubeView = await self._host(new.id, "create_cube", caller, new.id)
        return view

    async def fork_cube(self, caller: Caller, cube_id: str, request: ForkCube) -> CubeView:
        """A cube that begins as another was. Made like any: registered first, with its fork point."""
        return await self.create_cube(caller, await self._host(cube_id, "plan_fork", caller, cube_id, request))

    async def roll_back(self, caller: Caller, cube_id: str, to: Moment, reason: str) -> RolledBack:
        """Not repeated: what others did since a first try that took effect would be undone too."""
        done: RolledBack = await self._once(cube_id, "roll_back", caller, cube_id, to, reason)
        return done

    async def compare(self, caller: Caller, cube_id: str, request: CompareVersions) -> DifferencePage:
        page: DifferencePage = await self._host(cube_id, "compare", caller, cube_id, request)
        return page

    async def export_cube(self, caller: Caller, cube_id: str, request: ExportCube) -> AsyncGenerator[bytes]:
        return await self._archives.export_cube(caller, cube_id, request)

    async def import_cube(self, caller: Caller, archive: AsyncIterator[bytes], request: ImportCube) -> CubeView:
        return await self.read_cube(caller, await self._archives.import_cube(caller, archive, request))

    async def list_cubes(self, caller: Caller, limit: int, cursor: str | None) -> Page[CubeView]:
        """A page of the cubes that the caller has a role on, each with its manifest."""
        page: Page[CubeSummary] = await self._system("list_cubes", caller, limit, cursor)
        slots = asyncio.Semaphore(MANIFESTS_AT_ONCE)

        async def manifest(summary: CubeSummary) -> CubeView | None:
            async with slots:
                try:
                    return await self.read_cube(caller, summary.id)
                except CubeNotFound:  # archived, or the role taken away, since the list was made
                    return None

        found = await asyncio.gather(*(manifest(summary) for summary in page.items))
        return Page(tuple(view for view in found if view is not None), page.next)

    async def read_cube(self, caller: Caller, cube_id: str) -> CubeView:
        view: CubeView = await self._host(cube_id, "read_cube", caller, cube_id)
        return view

    async def change_cube(
        self, caller: Caller, cube_id: str, name: str | None, policy: Mapping[str, Any] | None
    ) -> CubeView:
        """Idempotent, so repeated while the host restarts."""
        view: CubeView = await self._host(cube_id, "change_cube", caller, cube_id, name, policy)
        return view

    async def archive_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeView:
        """The cube as it was; when it returns, the cube is hidden from everyone."""
        view = await self._shown(caller, cube_id)
        await self._push(cube_id, await self._system("archive_cube", caller, cube_id, reason))
        return view

    async def revive_cube(self, caller: Caller, cube_id: str) -> CubeView:
        """An archived cube, there again as it was when it returns."""
        await self._push(cube_id, await self._system("revive_cube", caller, cube_id))
        return await self._shown(caller, cube_id)

    async def erase_cube(self, caller: Caller, cube_id: str, reason: str) -> Receipt:
        """Nothing of the cube, archived or not, is left when it returns, but that its id stays taken. Raises Conflict
        while there are forks of it: they begin with what it holds.
        """
        if await self._forks_of(cube_id):
            await self._host(cube_id, "plan_cube_erasure", caller, cube_id, reason)
            raise Conflict(f"cube {cube_id!r} has forks, which hold what it holds: erase them first", cube=cube_id)
        receipt = await self._erasure.erase_cube(caller, cube_id, reason)
        # The reason is in the cube's own chain, where its policy was asked about it.
        await self._push(cube_id, await self._system("erase_cube", caller, cube_id, ""))
        return receipt

    async def put_grant(self, caller: Caller, cube_id: str, principal: str, role: Role) -> CubeView:
        """In force when it returns."""
        await self._push(cube_id, await self._system("put_grant", caller, cube_id, principal, role))
        return await self._shown(caller, cube_id)

    async def remove_grant(self, caller: Caller, cube_id: str, principal: str) -> CubeView:
        """In force when it returns. Who takes its own role away sees the cube for the last time."""
        before = await self._shown(caller, cube_id) if principal == caller.principal else None
        access = await self._system("remove_grant", caller, cube_id, principal)
        await self._push(cube_id, access)
        if before is None:
            return await self._shown(caller, cube_id)
        return replace(before, grants={name: role for name, role in before.grants.items() if name != principal})

    # memories

    async def add(self, caller: Caller, cube_id: str, request: AddMemories) -> Added:
        """Durable when it returns, and there once even when a host died meanwhile."""
        if not request.idempotency_key:
            request = replace(request, idempotency_key=f"gateway-{secrets.token_hex(16)}")
        return await repeated(self._parts.retry, lambda: self._cubes.add(caller, cube_id, request))

    async def list_memories(self, caller: Caller, cube_id: str, request: ListMemories) -> Page[Memory]:
        page: Page[Memory] = await self._host(cube_id, "list_memories", caller, cube_id, request)
        return page

    async def read_memory(self, caller: Caller, cube_id: str, memory_id: str, as_of: Moment | None) -> Memory:
        memory: Memory = await self._host(cube_id, "read_memory", caller, cube_id, memory_id, as_of)
        return memory

    async def change_memory(self, caller: Caller, cube_id: str, request: ChangeMemory) -> Memory:
        """Not repeated: with `if_version`, a repeat of one that took effect would be refused as stale."""
        memory: Memory = await self._once(cube_id, "change_memory", caller, cube_id, request)
        return memory

    async def move_memory(self, caller: Caller, cube_id: str, request: MoveMemory) -> Memory:
        """Not repeated: a repeat of one that took effect would be refused."""
        memory: Memory = await self._once(cube_id, "move_memory", caller, cube_id, request)
        return memory

    async def erase_memories(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        """Content and all that was derived from it is gone when it returns. Idempotent: the first receipt again."""
        return await self._erasure.erase(caller, cube_id, request)

    async def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        memories: tuple[Memory, ...] = await self._host(cube_id, "history", caller, cube_id, memory_id)
        return memories

    async def verify(self, caller: Caller, cube_id: str) -> VerifyReport:
        return await self._audits.verified(caller, cube_id)

    async def audit(self, caller: Caller, cube_id: str, query: AuditQuery, cursor: str | None) -> Page[AuditRow]:
        return await self._audits.page(caller, cube_id, query, cursor)

    async def screen(self, caller: Caller, cube_id: str, limit: int) -> Screened:
        """A repeat goes on where the last call ended, so it is repeated."""
        done: Screened = await self._host(cube_id, "screen", caller, cube_id, limit)
        return done

    async def search(self, caller: Caller, cube_ids: Sequence[str], request: SearchCube) -> CubeHits:
        """The best `top_k` over the cubes. A cube whose host does not answer becomes a Shortfall; any other
        error of one cube is the whole search's.
        """
        asked = list(dict.fromkeys(cube_ids))
        searches = (self._cubes.search(caller, cube_id, request) for cube_id in asked)
        answers = await asyncio.gather(*searches, return_exceptions=True)
        hits: list[Hit] = []
        degraded: list[Shortfall] = []
        for cube_id, answer in zip(asked, answers, strict=True):
            if isinstance(answer, Unavailable):
                degraded.append(Shortfall(f"cube:{cube_id}", answer.detail))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                hits += answer.hits
                degraded += answer.degraded
        hits.sort(key=lambda hit: -hit.score)
        return CubeHits(tuple(hits[: request.top_k]), tuple(dict.fromkeys(degraded)))

    # running

    async def status(self) -> JsonObject:
        return await self._health.status()

    async def ready(self) -> list[str]:
        return await self._health.ready()

    # inside

    async def _forks_of(self, cube_id: str) -> Sequence[str]:
        found: Sequence[str] = await self._system("forks_of", cube_id)
        return found

    async def _shown(self, caller: Caller, cube_id: str) -> CubeView:
        view: CubeView = await self._host(cube_id, "shown_cube", caller, cube_id)
        return view

    async def _system(self, method: str, *args: Any) -> Any:
        return await repeated(self._parts.retry, lambda: self._parts.directory.call(SYSTEM, method, *args))

    async def _host(self, cube_id: str, method: str, *args: Any) -> Any:
        return await repeated(self._parts.retry, lambda: self._places.call(cube_id, method, *args))

    async def _hosts(self, method: str, *args: Any) -> list[Any]:
        """The same call of every host."""

        def call(name: str) -> Any:
            return repeated(self._parts.retry, lambda: self._parts.directory.call(name, method, *args))

        return await asyncio.gather(*(call(host_name(h)) for h in range(self._parts.topology.hosts)))

    async def _once(self, cube_id: str, method: str, *args: Any) -> Any:
        return await self._places.call(cube_id, method, *args)

    async def _push(self, cube_id: str, access: CubeAccess) -> None:
        if access.shard is not None:
            self._places.learn(cube_id, access.shard)
        await self._host(cube_id, "set_access", access)
