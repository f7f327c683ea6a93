"""SystemActor: SystemHost as a Ray actor, and the ports over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ray

from actors.errors import StorageError
from actors.instance_claim import InstanceClaim
from actors.memory.auditing import AuditQuery, AuditReport, AuditRow
from actors.memory.events import EventType
from actors.memory.governance import Action, Caller, ClusterAccess, CubeAccess, Role
from actors.memory.ports import JsonObject
from actors.memory.requests import (
    CubeSummary,
    IssuedKey,
    JobStatus,
    JobView,
    KeyView,
    NewCube,
    NewKey,
    Page,
    PrincipalView,
)
from actors.memory.system import Identity
from actors.remote_actor import HEALTH, ActorAddress, RemoteCalls, leave, must_reopen, node_id, opened
from actors.system_opening import SystemSpec, open_system

R = TypeVar("R")


class SystemActor:
    """The system shard's owner in the cluster. Methods are SystemHost's."""

    def __init__(self, spec: SystemSpec, claim: InstanceClaim) -> None:
        self._host = opened("the system host", claim, lambda: open_system(spec))

    def authenticate(self, secret: str, request_id: str) -> Identity:
        return self._host.authenticate(secret, request_id)

    def create_key(self, caller: Caller, new: NewKey) -> IssuedKey:
        return self._write(lambda: self._host.create_key(caller, new))

    def list_keys(self, caller: Caller, limit: int, cursor: str | None) -> Page[KeyView]:
        return self._host.list_keys(caller, limit, cursor)

    def revoke_key(self, caller: Caller, key_id: str) -> KeyView:
        return self._write(lambda: self._host.revoke_key(caller, key_id))

    def list_principals(self, caller: Caller, limit: int, cursor: str | None) -> Page[PrincipalView]:
        return self._host.list_principals(caller, limit, cursor)

    def register_cube(self, caller: Caller, new: NewCube) -> CubeAccess:
        return self._write(lambda: self._host.register_cube(caller, new))

    def reserve_cube(self, caller: Caller, cube_id: str, importing: str) -> CubeAccess:
        return self._write(lambda: self._host.reserve_cube(caller, cube_id, importing))

    def settle_cube(self, cube_id: str, importing: str, type: EventType) -> CubeAccess:
        return self._write(lambda: self._host.settle_cube(cube_id, importing, type))

    def archive_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeAccess:
        return self._write(lambda: self._host.archive_cube(caller, cube_id, reason))

    def revive_cube(self, caller: Caller, cube_id: str) -> CubeAccess:
        return self._write(lambda: self._host.revive_cube(caller, cube_id))

    def erase_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeAccess:
        return self._write(lambda: self._host.erase_cube(caller, cube_id, reason))

    def put_grant(self, caller: Caller, cube_id: str, principal: str, role: Role) -> CubeAccess:
        return self._write(lambda: self._host.put_grant(caller, cube_id, principal, role))

    def remove_grant(self, caller: Caller, cube_id: str, principal: str) -> CubeAccess:
        return self._write(lambda: self._host.remove_grant(caller, cube_id, principal))

    def list_cubes(self, caller: Caller, limit: int, cursor: str | None) -> Page[CubeSummary]:
        return self._host.list_cubes(caller, limit, cursor)

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        return self._host.cube_access(cube_id)

    def forks_of(self, cube_id: str) -> tuple[str, ...]:
        return self._host.forks_of(cube_id)

    def asked_access(self, caller: Caller, action: Action, cube_id: str) -> CubeAccess | None:
        return self._host.asked_access(caller, action, cube_id)

    def cluster_access(self) -> ClusterAccess:
        return self._host.cluster_access()

    def create_job(self, caller: Caller, name: str, cube_id: str, args: Mapping[str, Any]) -> tuple[JobView, str]:
        return self._write(lambda: self._host.create_job(caller, name, cube_id, args))

    def advance_job(
        self, job_id: str, status: JobStatus, reason: str = "", result: Mapping[str, Any] | None = None
    ) -> JobView:
        return self._write(lambda: self._host.advance_job(job_id, status, reason, result))

    def report_progress(self, job_id: str, progress: float) -> None:
        self._host.report_progress(job_id, progress)

    def read_job(self, caller: Caller, job_id: str) -> JobView:
        return self._host.read_job(caller, job_id)

    def job_record(self, job_id: str) -> JobView | None:
        return self._host.job_record(job_id)

    def list_jobs(self, caller: Caller, limit: int, cursor: str | None) -> Page[JobView]:
        return self._host.list_jobs(caller, limit, cursor)

    @ray.method(concurrency_group=HEALTH)
    def status(self) -> JsonObject:
        return {"node": node_id(), **self._host.status()}

    @ray.method(concurrency_group=HEALTH)
    def ready(self) -> list[str]:
        return self._host.ready()

    def audit(self, caller: Caller, cube_id: str, query: AuditQuery) -> tuple[AuditRow, ...]:
        return self._host.audit(caller, cube_id, query)

    def verify_audit(self, caller: Caller, cube_id: str) -> AuditReport:
        return self._host.verify_audit(caller, cube_id)

    def verify(self) -> list[str]:
        return self._host.verify()

    def close(self) -> None:
        self._host.close()

    def _write(self, call: Callable[[], R]) -> R:
        try:
            return call()
        except StorageError as error:
            if must_reopen(error):
                leave("the system host", error, self._host.close)
            raise


class RemoteAccess:
    """The AccessSource of a host in another process."""

    def __init__(self, address: ActorAddress, timeout_s: float = 10.0) -> None:
        self._calls = RemoteCalls(address, timeout_s)

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        """Raises Unavailable when the system host does not answer."""
        access: CubeAccess | None = self._calls.call("cube_access", cube_id)
        return access

    def asked_access(self, caller: Caller, action: Action, cube_id: str) -> CubeAccess | None:
        """Raises Unavailable when the system host does not answer."""
        access: CubeAccess | None = self._calls.call("asked_access", caller, action, cube_id)
        return access

    def cluster_access(self) -> ClusterAccess:
        access: ClusterAccess = self._calls.call("cluster_access")
        return access
