"""What the HTTP interface needs of the system behind it: the gateway, seen from above."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from actors.listing_differences import DifferencePage
from actors.memory.auditing import AuditQuery, AuditRow
from actors.memory.consolidation import ConsolidateCube, Consolidated
from actors.memory.erasure import EraseMemories, Receipt
from actors.memory.governance import Caller, Role
from actors.memory.item import Memory
from actors.memory.merging import Split, SplitMemory
from actors.memory.ports import JsonObject
from actors.memory.provenance import Provenance, ReadProvenance
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeView,
    ExportCube,
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
    Screened,
    VerifyReport,
)
from actors.memory.retaining import Retained
from actors.memory.retention import Due
from actors.memory.search_requests import CubeHits, SearchCube
from actors.memory.time_requests import CompareVersions, ForkCube, RolledBack


class Identity(Protocol):
    """Who a key belongs to."""

    @property
    def caller(self) -> Caller: ...

    @property
    def governor(self) -> bool: ...

    @property
    def default_cube(self) -> str:
        """The cube of a chat that names none; empty when the key has none."""
        ...

    @property
    def expires_at_us(self) -> int | None: ...


class Access(Protocol):
    """Keys and principals."""

    async def authenticate(self, secret: str, request_id: str) -> Identity:
        """Raises Unauthenticated for a key that is unknown, expired or revoked; the empty one stands for none."""
        ...

    async def create_key(self, caller: Caller, new: NewKey) -> IssuedKey: ...

    async def list_keys(self, caller: Caller, limit: int, cursor: str | None) -> Page[KeyView]: ...

    async def revoke_key(self, caller: Caller, key_id: str) -> KeyView: ...

    async def list_principals(self, caller: Caller, limit: int, cursor: str | None) -> Page[PrincipalView]: ...


class Cubes(Protocol):
    """Cubes and who may do what on them. A cube without a role raises CubeNotFound, as a missing one does."""

    async def create_cube(self, caller: Caller, new: NewCube) -> CubeView: ...

    async def list_cubes(self, caller: Caller, limit: int, cursor: str | None) -> Page[CubeView]: ...

    async def read_cube(self, caller: Caller, cube_id: str) -> CubeView: ...

    async def change_cube(
        self, caller: Caller, cube_id: str, name: str | None, policy: Mapping[str, Any] | None
    ) -> CubeView: ...

    async def archive_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeView: ...

    async def revive_cube(self, caller: Caller, cube_id: str) -> CubeView: ...

    async def erase_cube(self, caller: Caller, cube_id: str, reason: str) -> Receipt: ...

    async def put_grant(self, caller: Caller, cube_id: str, principal: str, role: Role) -> CubeView: ...

    async def remove_grant(self, caller: Caller, cube_id: str, principal: str) -> CubeView: ...

    async def fork_cube(self, caller: Caller, cube_id: str, request: ForkCube) -> CubeView:
        """Raises AlreadyExists when the new cube's id is taken, VersionNotFound."""
        ...

    async def roll_back(self, caller: Caller, cube_id: str, to: Moment, reason: str) -> RolledBack:
        """Raises VersionNotFound for what the cube has not reached."""
        ...

    async def compare(self, caller: Caller, cube_id: str, request: CompareVersions) -> DifferencePage: ...

    async def export_cube(self, caller: Caller, cube_id: str, request: ExportCube) -> AsyncGenerator[bytes]:
        """The bytes of an archive; what may be refused was checked when this returns. Close the generator."""
        ...

    async def import_cube(self, caller: Caller, archive: AsyncIterator[bytes], request: ImportCube) -> CubeView:
        """The cube that an archive became, whole; none when this raises. Raises as soon as something is wrong with what
        has arrived.
        """
        ...

    async def verify(self, caller: Caller, cube_id: str) -> VerifyReport: ...

    async def audit(self, caller: Caller, cube_id: str, query: AuditQuery, cursor: str | None) -> Page[AuditRow]:
        """Newest first, those of every answer given before included; the cube "": of the system. Owners, governors."""

    async def screen(self, caller: Caller, cube_id: str, limit: int) -> Screened:
        """Look through older memories of a cube that masks; a repeat goes on. Raises ScreeningRefused."""
        ...


class Memories(Protocol):
    """Memories of cubes."""

    async def add(self, caller: Caller, cube_id: str, request: AddMemories) -> Added: ...

    async def list_memories(self, caller: Caller, cube_id: str, request: ListMemories) -> Page[Memory]: ...

    async def read_memory(self, caller: Caller, cube_id: str, memory_id: str, as_of: Moment | None) -> Memory: ...

    async def change_memory(self, caller: Caller, cube_id: str, request: ChangeMemory) -> Memory: ...

    async def move_memory(self, caller: Caller, cube_id: str, request: MoveMemory) -> Memory: ...

    async def erase_memories(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        """Gone for good, with what was derived from it; a repeat answers the first receipt."""
        ...

    async def due(self, caller: Caller, cube_id: str) -> Sequence[Due]: ...

    async def apply_retention(self, caller: Caller, cube_id: str) -> Retained:
        """A part of what is due; repeat it while it says that there is more."""
        ...

    async def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]: ...

    async def split(self, caller: Caller, cube_id: str, request: SplitMemory) -> Split: ...

    async def consolidate(self, caller: Caller, cube_id: str, request: ConsolidateCube) -> Consolidated: ...

    async def provenance(self, caller: Caller, cube_id: str, request: ReadProvenance) -> Provenance: ...

    async def search(self, caller: Caller, cube_ids: Sequence[str], request: SearchCube) -> CubeHits:
        """The best `top_k` over all cubes; a host that does not answer becomes a Shortfall."""
        ...


class Jobs(Protocol):
    """Ray jobs that were asked for."""

    async def submit_job(self, caller: Caller, name: str, cube_id: str, args: Mapping[str, Any]) -> JobView: ...

    async def list_jobs(self, caller: Caller, limit: int, cursor: str | None) -> Page[JobView]: ...

    async def read_job(self, caller: Caller, job_id: str) -> JobView: ...

    async def job_logs(self, caller: Caller, job_id: str) -> str: ...

    async def stop_job(self, caller: Caller, job_id: str) -> JobView: ...


class Backend(Access, Cubes, Memories, Jobs, Protocol):
    """All of it; `cluster.gateway.Gateway` has this shape."""

    async def status(self) -> JsonObject:
        """What `serve.contract.status.StatusOut` shows of the parts behind the edge. Never waits long: who is silent is
        named.
        """
        ...

    async def ready(self) -> list[str]:
        """What is not ready yet; empty when all is."""
        ...
