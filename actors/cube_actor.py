"""CubeActor: CubeHost as a Ray actor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import ray

from actors.embedder_actor import RemoteEmbedder
from actors.errors import Fenced, MemosError
from actors.host import CubeHost, HostSpec
from actors.instance_claim import InstanceClaim
from actors.listing_differences import DifferencePage
from actors.memory.auditing import AuditQuery, AuditRow
from actors.memory.consolidation import ConsolidateCube, Consolidated
from actors.memory.erasure import EraseMemories, Name, Receipt
from actors.memory.governance import Caller, ClusterAccess, CubeAccess
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
    ImportedCube,
    ListMemories,
    Moment,
    MoveMemory,
    NewCube,
    Page,
    Screened,
    VerifyReport,
)
from actors.memory.retention import Due
from actors.memory.search_requests import CubeHits, SearchCube
from actors.memory.time_requests import CompareVersions, ForkCube, RolledBack
from actors.redactor_actor import RecognizerPlace, RemoteRecognizer
from actors.remote_actor import HEALTH, ActorAddress, leave, node_id, opened
from actors.system_actor import RemoteAccess

R = TypeVar("R")


class CubeActor:
    """An owner of shards in the cluster. Methods are CubeHost's."""

    def __init__(
        self,
        spec: HostSpec,
        claim: InstanceClaim,
        embedder: ActorAddress,
        system: ActorAddress,
        recognizer: RecognizerPlace,
    ) -> None:
        here = spec.on_node(ray.get_runtime_context().get_node_id(), _living_nodes) if spec.node_cache else spec
        self._host = opened(
            spec.name,
            claim,
            lambda: CubeHost.open(here, RemoteEmbedder(embedder), RemoteAccess(system), RemoteRecognizer(recognizer)),
        )

    def create_cube(self, caller: Caller, cube_id: str) -> CubeView:
        return self._call(lambda: self._host.create_cube(caller, cube_id))

    def read_cube(self, caller: Caller, cube_id: str) -> CubeView:
        return self._call(lambda: self._host.read_cube(caller, cube_id))

    def shown_cube(self, caller: Caller, cube_id: str) -> CubeView:
        return self._call(lambda: self._host.shown_cube(caller, cube_id))

    def change_cube(self, caller: Caller, cube_id: str, name: str | None, policy: Mapping[str, Any] | None) -> CubeView:
        return self._call(lambda: self._host.change_cube(caller, cube_id, name, policy))

    def add_many(self, cube_id: str, asked: Sequence[tuple[Caller, AddMemories]]) -> list[Added | MemosError]:
        return self._call(lambda: self._host.add_many(cube_id, asked))

    def list_memories(self, caller: Caller, cube_id: str, request: ListMemories) -> Page[Memory]:
        return self._call(lambda: self._host.list_memories(caller, cube_id, request))

    def read_memory(self, caller: Caller, cube_id: str, memory_id: str, as_of: Moment | None) -> Memory:
        return self._call(lambda: self._host.read_memory(caller, cube_id, memory_id, as_of))

    def change_memory(self, caller: Caller, cube_id: str, request: ChangeMemory) -> Memory:
        return self._call(lambda: self._host.change_memory(caller, cube_id, request))

    def move_memory(self, caller: Caller, cube_id: str, request: MoveMemory) -> Memory:
        return self._call(lambda: self._host.move_memory(caller, cube_id, request))

    def plan_erasure(self, caller: Caller, cube_id: str, request: EraseMemories) -> list[Name]:
        return self._call(lambda: self._host.plan_erasure(caller, cube_id, request))

    def erase(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        return self._call(lambda: self._host.erase(caller, cube_id, request))

    def inherited(self, cube_id: str, memory_ids: Sequence[str]) -> list[Name]:
        return self._call(lambda: self._host.inherited(cube_id, memory_ids))

    def plan_derived_erasure(self, caller: Caller, cube_id: str, request: EraseMemories) -> list[Name]:
        return self._call(lambda: self._host.plan_derived_erasure(caller, cube_id, request))

    def erase_derived(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        return self._call(lambda: self._host.erase_derived(caller, cube_id, request))

    def derived(self, origins: Sequence[Name]) -> list[Name]:
        return self._call(lambda: self._host.derived(origins))

    def plan_cube_erasure(self, caller: Caller, cube_id: str, reason: str) -> list[Name]:
        return self._call(lambda: self._host.plan_cube_erasure(caller, cube_id, reason))

    def erase_cube(self, caller: Caller, cube_id: str, reason: str, elsewhere: Sequence[Name]) -> Receipt:
        return self._call(lambda: self._host.erase_cube(caller, cube_id, reason, elsewhere))

    def due(self, caller: Caller, cube_id: str) -> Sequence[Due]:
        return self._call(lambda: self._host.due(caller, cube_id))

    def archive_due(self, caller: Caller, cube_id: str, limit: int) -> Sequence[Due]:
        return self._call(lambda: self._host.archive_due(caller, cube_id, limit))

    def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        return self._call(lambda: self._host.history(caller, cube_id, memory_id))

    def split(self, caller: Caller, cube_id: str, request: SplitMemory) -> Split:
        return self._call(lambda: self._host.lineage.split(caller, cube_id, request))

    def consolidate(self, caller: Caller, cube_id: str, request: ConsolidateCube) -> Consolidated:
        return self._call(lambda: self._host.lineage.consolidate(caller, cube_id, request))

    def provenance(self, caller: Caller, cube_id: str, request: ReadProvenance) -> Provenance:
        return self._call(lambda: self._host.lineage.provenance(caller, cube_id, request))

    def roll_back(self, caller: Caller, cube_id: str, to: Moment, reason: str) -> RolledBack:
        return self._call(lambda: self._host.roll_back(caller, cube_id, to, reason))

    def compare(self, caller: Caller, cube_id: str, request: CompareVersions) -> DifferencePage:
        return self._call(lambda: self._host.compare(caller, cube_id, request))

    def plan_fork(self, caller: Caller, cube_id: str, request: ForkCube) -> NewCube:
        return self._call(lambda: self._host.plan_fork(caller, cube_id, request))

    def search_many(self, cube_id: str, asked: Sequence[tuple[Caller, SearchCube]]) -> list[CubeHits | MemosError]:
        return self._call(lambda: self._host.search_many(cube_id, asked))

    def verify(self, caller: Caller, cube_id: str) -> VerifyReport:
        return self._call(lambda: self._host.verify(caller, cube_id))

    def audit(self, caller: Caller, cube_id: str, query: AuditQuery) -> tuple[AuditRow, ...]:
        return self._call(lambda: self._host.audit(caller, cube_id, query))

    def screen(self, caller: Caller, cube_id: str, limit: int) -> Screened:
        return self._call(lambda: self._host.screen(caller, cube_id, limit))

    def begin_export(self, caller: Caller, cube_id: str, request: ExportCube) -> str:
        return self._call(lambda: self._host.begin_export(caller, cube_id, request))

    def export_chunk(self, caller: Caller, name: str, number: int) -> bytes:
        return self._call(lambda: self._host.export_chunk(caller, name, number))

    def end_export(self, name: str) -> None:
        self._host.end_export(name)

    def begin_import(self, caller: Caller, access: CubeAccess, cube_name: str | None) -> None:
        self._call(lambda: self._host.begin_import(caller, access, cube_name))

    def import_chunk(self, caller: Caller, name: str, offset: int, data: bytes) -> None:
        self._call(lambda: self._host.import_chunk(caller, name, offset, data))

    def finish_import(self, caller: Caller, name: str) -> None:
        self._call(lambda: self._host.finish_import(caller, name))

    def import_outcome(self, caller: Caller, name: str, wait_s: float) -> ImportedCube | None:
        return self._call(lambda: self._host.import_outcome(caller, name, wait_s))

    def end_import(self, name: str) -> None:
        self._host.end_import(name)

    def settle_import(self, access: CubeAccess) -> bool:
        return self._call(lambda: self._host.settle_import(access))

    def set_access(self, access: CubeAccess) -> None:
        self._host.set_access(access)

    def set_cluster_access(self, access: ClusterAccess) -> None:
        self._host.set_cluster_access(access)

    @ray.method(concurrency_group=HEALTH)
    def status(self) -> JsonObject:
        return {"node": node_id(), **self._host.status()}

    @ray.method(concurrency_group=HEALTH)
    def ready(self) -> list[str]:
        return self._host.ready()

    def close(self) -> None:
        self._host.close()

    def _call(self, call: Callable[[], R]) -> R:
        # Reads may write too: a registered cube gets its first event when it is first touched.
        try:
            return call()
        except Fenced as error:
            leave("a cube host", error, self._host.close)
            raise


def _living_nodes() -> frozenset[str]:
    return frozenset(node["NodeID"] for node in ray.nodes() if node["Alive"])
