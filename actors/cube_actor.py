"""CubeActor: CubeHost as a Ray actor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import ray

from actors.embedder_actor import RemoteEmbedder
from actors.errors import Fenced, MemosError
from actors.host import CubeHost, HostSpec
from actors.instance_claim import InstanceClaim
from actors.interpreter import take_short_turns
from actors.memory.auditing import AuditQuery, AuditRow
from actors.memory.governance import Caller, ClusterAccess, CubeAccess
from actors.memory.item import Memory
from actors.memory.ports import JsonObject
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeHits,
    CubeView,
    ListMemories,
    Moment,
    MoveMemory,
    Page,
    SearchCube,
    VerifyReport,
)
from actors.remote_actor import HEALTH, ActorAddress, leave, node_id, opened
from actors.system_actor import RemoteAccess

R = TypeVar("R")


class CubeActor:
    """An owner of shards in the cluster. Methods are CubeHost's."""

    def __init__(self, spec: HostSpec, claim: InstanceClaim, embedder: ActorAddress, system: ActorAddress) -> None:
        take_short_turns()
        here = spec.on_node(ray.get_runtime_context().get_node_id(), _living_nodes) if spec.node_cache else spec
        self._host = opened(
            spec.name, claim, lambda: CubeHost.open(here, RemoteEmbedder(embedder), RemoteAccess(system))
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

    def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        return self._call(lambda: self._host.history(caller, cube_id, memory_id))

    def search_many(self, cube_id: str, asked: Sequence[tuple[Caller, SearchCube]]) -> list[CubeHits | MemosError]:
        return self._call(lambda: self._host.search_many(cube_id, asked))

    def verify(self, caller: Caller, cube_id: str) -> VerifyReport:
        return self._call(lambda: self._host.verify(caller, cube_id))

    def audit(self, caller: Caller, cube_id: str, query: AuditQuery) -> tuple[AuditRow, ...]:
        return self._call(lambda: self._host.audit(caller, cube_id, query))

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
