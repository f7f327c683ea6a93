"""The Gateway: from a request to the hosts that answer it. Routes, fans out, retries what may be repeated.

Reads are repeated while a host restarts, and writes whose repetition changes nothing: an add carries an
idempotency key (made here when the caller gave none), grants and archiving are idempotent by themselves.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from actors.errors import CubeNotFound, MemosError, Unavailable
from actors.memory.governance import Caller, ClusterAccess, CubeAccess, Role
from actors.memory.item import Memory
from actors.memory.ports import Clock, JsonObject
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeHits,
    CubeSummary,
    CubeView,
    ExportCube,
    Hit,
    ImportCube,
    IssuedKey,
    JobView,
    KeyView,
    ListMemories,
    Moment,
    MoveMemory,
    NewCube,
    NewKey,
    Page,
    PrincipalView,
    SearchCube,
    Shortfall,
    VerifyReport,
)
from actors.memory.system import Identity
from cluster.archives import ArchiveCalls, Calls
from cluster.calling import RetryRule, repeated
from cluster.cube_calls import CubeCalls
from cluster.directory import EMBEDDER, SYSTEM, Directory, host_name
from cluster.identities import Identities
from cluster.jobs import JobRunner
from cluster.status_report import status_report
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


class Gateway:
    """One a replica; everything in it is safe to use from one event loop."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._identities = Identities(parts.clock)
        self._cubes = CubeCalls(parts.directory, self._owner)
        self._archives = ArchiveCalls(Calls(self._system, self._host, self._once))

    # keys and principals

    async def authenticate(self, secret: str, request_id: str) -> Identity:
        """Who the key speaks for. Raises Unauthenticated. A revoked key is refused by every host at once."""
        known = self._identities.find(secret, request_id)
        if known is None:
            known = await self._system("authenticate", secret, request_id)
            self._identities.keep(secret, known)
        return known

    async def create_key(self, caller: Caller, new: NewKey) -> IssuedKey:
        """A new key. Not repeated when the answer is lost: a second key might be left over."""
        issued: IssuedKey = await self._parts.directory.call(SYSTEM, "create_key", caller, new)
        if new.governor:
            await self._push_cluster()
        self._identities.forget_principal(new.principal)
        return issued

    async def list_keys(self, caller: Caller, limit: int, cursor: str | None) -> Page[KeyView]:
        page: Page[KeyView] = await self._system("list_keys", caller, limit, cursor)
        return page

    async def revoke_key(self, caller: Caller, key_id: str) -> KeyView:
        """Returns once every host refuses the key."""
        view: KeyView = await self._system("revoke_key", caller, key_id)
        self._identities.forget_key(key_id)
        await self._push_cluster()
        return view

    async def list_principals(self, caller: Caller, limit: int, cursor: str | None) -> Page[PrincipalView]:
        page: Page[PrincipalView] = await self._system("list_principals", caller, limit, cursor)
        return page

    # cubes

    async def create_cube(self, caller: Caller, new: NewCube) -> CubeView:
        """Registered first, then given its first event; a host heals one that got no further than the first."""
        access = await self._archives.registered(caller, new)
        await self._host(new.id, "set_access", access)
        view: CubeView = await self._host(new.id, "create_cube", caller, new.id)
        return view

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
        view = await self.read_cube(caller, cube_id)
        await self._push(cube_id, await self._system("archive_cube", caller, cube_id, reason))
        return view

    async def put_grant(self, caller: Caller, cube_id: str, principal: str, role: Role) -> CubeView:
        """In force when it returns."""
        await self._push(cube_id, await self._system("put_grant", caller, cube_id, principal, role))
        return await self.read_cube(caller, cube_id)

    async def remove_grant(self, caller: Caller, cube_id: str, principal: str) -> CubeView:
        """In force when it returns."""
        await self._push(cube_id, await self._system("remove_grant", caller, cube_id, principal))
        return await self.read_cube(caller, cube_id)

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

    async def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        memories: tuple[Memory, ...] = await self._host(cube_id, "history", caller, cube_id, memory_id)
        return memories

    async def verify(self, caller: Caller, cube_id: str) -> VerifyReport:
        report: VerifyReport = await self._host(cube_id, "verify", caller, cube_id)
        return report

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

    # jobs

    async def submit_job(self, caller: Caller, name: str, cube_id: str, args: Mapping[str, Any]) -> JobView:
        return await self._parts.jobs.submit(caller, name, cube_id, args)

    async def list_jobs(self, caller: Caller, limit: int, cursor: str | None) -> Page[JobView]:
        return await self._parts.jobs.list(caller, limit, cursor)

    async def read_job(self, caller: Caller, job_id: str) -> JobView:
        return await self._parts.jobs.read(caller, job_id)

    async def job_logs(self, caller: Caller, job_id: str) -> str:
        return await self._parts.jobs.logs(caller, job_id)

    async def stop_job(self, caller: Caller, job_id: str) -> JobView:
        return await self._parts.jobs.stop(caller, job_id)

    # running

    async def status(self) -> JsonObject:
        """What each part says of itself, as `status_report` orders it; none delays it beyond `status_within_s`."""
        names = [SYSTEM, EMBEDDER, *(host_name(h) for h in range(self._parts.topology.hosts))]
        nodes, *said = await asyncio.gather(
            self._in_time("nodes", self._parts.directory.nodes()),
            *(self._in_time(name, self._parts.directory.call(name, "status")) for name in names),
        )
        return status_report(self._parts.topology, nodes, dict(zip(names, said, strict=True)))

    async def ready(self) -> list[str]:
        """What is not ready yet; empty when system, hosts and embedder all answer."""
        names = [SYSTEM, EMBEDDER, *(host_name(h) for h in range(self._parts.topology.hosts))]
        answers = await asyncio.gather(
            *(self._in_time(name, self._parts.directory.call(name, "ready")) for name in names)
        )
        return [
            f"{name}: {reason}"
            for name, answer in zip(names, answers, strict=True)
            for reason in ([answer.detail] if isinstance(answer, MemosError) else answer)
        ]

    async def _in_time(self, name: str, answer: Awaitable[Any]) -> Any:
        """What a part answers about itself, or the error why it does not, soon."""
        within_s = self._parts.status_within_s
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            return Unavailable(f"{name} did not answer within {within_s:g} s", part=name)
        except MemosError as error:
            return error

    # inside

    def _owner(self, cube_id: str) -> str:
        return host_name(self._parts.topology.host_of(cube_id))

    async def _system(self, method: str, *args: Any) -> Any:
        return await repeated(self._parts.retry, lambda: self._parts.directory.call(SYSTEM, method, *args))

    async def _host(self, cube_id: str, method: str, *args: Any) -> Any:
        name = self._owner(cube_id)
        return await repeated(self._parts.retry, lambda: self._parts.directory.call(name, method, *args))

    async def _once(self, cube_id: str, method: str, *args: Any) -> Any:
        return await self._parts.directory.call(self._owner(cube_id), method, *args)

    async def _push(self, cube_id: str, access: CubeAccess) -> None:
        await self._host(cube_id, "set_access", access)

    async def _push_cluster(self) -> None:
        access: ClusterAccess = await self._system("cluster_access")

        def push(name: str) -> Any:
            return repeated(self._parts.retry, lambda: self._parts.directory.call(name, "set_cluster_access", access))

        await asyncio.gather(*(push(host_name(h)) for h in range(self._parts.topology.hosts)))
