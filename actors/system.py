"""SystemHost: the system shard's owner. Authenticates keys, keeps the catalogue of cubes, grants and jobs. No Ray here.

Methods block and are safe to call from many threads; writes are durable when they return.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from actors.errors import StorageError, Unauthenticated
from actors.footprint import footprint
from actors.memory import administration
from actors.memory.administration import SystemDraft
from actors.memory.credentials import CursorSigner, digest_secret, key_id_of, new_secret
from actors.memory.draft import Origin
from actors.memory.events import Event, EventType
from actors.memory.governance import Caller, ClusterAccess, CubeAccess, Role
from actors.memory.identity import SYSTEM_CUBE_ID, new_id
from actors.memory.ports import JsonObject
from actors.memory.records import access_of
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
from actors.system_parts import FirstGovernor, SystemParts
from actors.system_recovery import recovered
from actors.writer import ShardWriter

__all__ = ["FirstGovernor", "SystemHost", "SystemParts"]

R = TypeVar("R")
log = logging.getLogger(__name__)

JOB_KEY_LIFE_US = 24 * 3600 * 1_000_000
"""How long the key that a job acts with is good for."""


class SystemHost:
    """One owner of the system shard. It is an AccessSource for the hosts of its process."""

    def __init__(self, parts: SystemParts) -> None:
        self._parts = parts
        self._guard = threading.Lock()
        self._cursors = CursorSigner(parts.sealer.chain_key)
        self._progress: dict[str, float] = {}
        self._state = recovered(parts.journal, parts.snapshots)
        self._snapshot_at = parts.snapshots.position
        self._writer: ShardWriter[SystemDraft] = ShardWriter(
            parts.journal,
            clock=parts.clock,
            open_draft=lambda _: SystemDraft(self._state, parts.sealer),
            apply=self._apply,
            queue_limit=parts.queue_limit,
        )

    def bootstrap(self, first: FirstGovernor) -> None:
        """Record the first governor and its key; does nothing once there is a governor."""
        caller = Caller(first.principal, first.key_id, "bootstrap")
        self._run(caller, lambda d, o: administration.bootstrap(d, o, first.principal, first.key_id, first.digest))

    # keys

    def authenticate(self, secret: str, request_id: str) -> Identity:
        """Who the key speaks for. Raises Unauthenticated, in the same time whatever is wrong with it."""
        digest = digest_secret(self._parts.sealer.chain_key, secret)
        with self._guard:
            key = self._state.records.keys.get(key_id_of(secret) or "")
            matches = hmac.compare_digest(digest, key.digest if key else "0" * len(digest))
            if key is None or not matches or not key.live(self._parts.clock.now_us()):
                raise Unauthenticated("this API key is unknown, expired or revoked")
            governor = self._state.records.is_governor(key.principal)
            return Identity(Caller(key.principal, key.id, request_id), governor, key.default_cube, key.expires_at_us)

    def create_key(self, caller: Caller, new: NewKey) -> IssuedKey:
        """A new key, and its principal when that is new. Governors only. The secret is never stored."""
        secret = new_secret(self._parts.sealer.random_bytes)
        digest = digest_secret(self._parts.sealer.chain_key, secret.text)
        view = self._run(caller, lambda d, o: administration.create_key(d, o, caller, new, secret.key_id, digest))
        return IssuedKey(secret.text, view)

    def list_keys(self, caller: Caller, limit: int, cursor: str | None) -> Page[KeyView]:
        with self._guard:
            self._check_governor(caller, "list keys")
            records = self._state.records
            found = [(key.order, records.key_view(key)) for key in records.keys.values()]
            return self._cursors.page("keys", caller.principal, found, limit, cursor)

    def revoke_key(self, caller: Caller, key_id: str) -> KeyView:
        return self._run(caller, lambda d, o: administration.revoke_key(d, o, caller, key_id))

    def list_principals(self, caller: Caller, limit: int, cursor: str | None) -> Page[PrincipalView]:
        with self._guard:
            self._check_governor(caller, "list principals")
            return self._cursors.page("principals", caller.principal, self._state.principal_views(), limit, cursor)

    # cubes and grants

    def register_cube(self, caller: Caller, new: NewCube) -> CubeAccess:
        """Enter a new cube into the catalogue, owned by the caller. Raises AlreadyExists."""
        return access_of(self._run(caller, lambda d, o: administration.register_cube(d, o, caller, new)))

    def reserve_cube(self, caller: Caller, cube_id: str, importing: str) -> CubeAccess:
        """Take a cube id for an import. Raises AlreadyExists."""
        return access_of(self._run(caller, lambda d, o: administration.reserve_cube(d, o, caller, cube_id, importing)))

    def settle_cube(self, cube_id: str, importing: str, type: EventType) -> CubeAccess:
        """Record what became of an import. For the gateway."""
        caller = Caller("system", "", importing)
        return access_of(self._run(caller, lambda d, o: administration.settle_cube(d, o, cube_id, importing, type)))

    def archive_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeAccess:
        return access_of(self._run(caller, lambda d, o: administration.archive_cube(d, o, caller, cube_id, reason)))

    def put_grant(self, caller: Caller, cube_id: str, principal: str, role: Role) -> CubeAccess:
        """Raises PrincipalNotFound for a principal that never had a key."""
        return access_of(
            self._run(caller, lambda d, o: administration.put_grant(d, o, caller, cube_id, principal, role))
        )

    def remove_grant(self, caller: Caller, cube_id: str, principal: str) -> CubeAccess:
        return access_of(self._run(caller, lambda d, o: administration.remove_grant(d, o, caller, cube_id, principal)))

    def list_cubes(self, caller: Caller, limit: int, cursor: str | None) -> Page[CubeSummary]:
        """The cubes that the caller has a role on, in order of creation; governors see all."""
        with self._guard:
            self._check_live(caller)
            records = self._state.records
            governor = records.is_governor(caller.principal)
            ids: Iterable[str] = records.cubes if governor else self._state.cubes_of.get(caller.principal, ())
            found = []
            for cube in (records.cubes[cube_id] for cube_id in ids):
                role = Role.OWNER if governor or cube.owner == caller.principal else cube.grants[caller.principal]
                if not cube.hidden:
                    found.append((cube.order, CubeSummary(cube.id, cube.owner, role.label)))
            return self._cursors.page("cubes", caller.principal, found, limit, cursor)

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        with self._guard:
            return self._state.cube_access(cube_id)

    def cluster_access(self) -> ClusterAccess:
        with self._guard:
            return self._state.cluster_access()

    # jobs

    def create_job(self, caller: Caller, name: str, cube_id: str, args: Mapping[str, Any]) -> tuple[JobView, str]:
        """Record a queued job: (the job, the secret of a key of the caller's that it may act with)."""
        now_us = self._parts.clock.now_us()
        secret = new_secret(self._parts.sealer.random_bytes)
        digest = digest_secret(self._parts.sealer.chain_key, secret.text)
        job = JobView(
            id=new_id("job", now_us, self._parts.sealer.random_bytes),
            name=name,
            cube_id=cube_id,
            principal=caller.principal,
            status=JobStatus.QUEUED,
            args=dict(args),
            created_at_us=now_us,
        )
        key = NewKey(caller.principal, f"job {job.id}", expires_at_us=now_us + JOB_KEY_LIFE_US)

        def decide(draft: SystemDraft, origin: Origin) -> JobView:
            recorded = administration.record_job(draft, origin, caller, job)
            administration.issue_job_key(draft, origin, caller, key, secret.key_id, digest)
            return recorded

        return self._run(caller, decide), secret.text

    def advance_job(
        self, job_id: str, status: JobStatus, reason: str = "", result: Mapping[str, Any] | None = None
    ) -> JobView:
        """Record a job's next status; one that has ended stays as it ended. For the job itself and its launcher."""
        caller = Caller("system", "", job_id)
        job = self._run(caller, lambda d, o: administration.advance_job(d, o, job_id, status, reason, result))
        if job.status.ended:
            with self._guard:
                self._progress.pop(job_id, None)
        return job

    def report_progress(self, job_id: str, progress: float) -> None:
        """Note how far a running job is, 0 to 1. Kept in memory: a restart forgets it."""
        with self._guard:
            job = self._state.records.jobs.get(job_id)
            if job is not None and not job.status.ended:
                self._progress[job_id] = min(max(progress, 0.0), 1.0)

    def read_job(self, caller: Caller, job_id: str) -> JobView:
        with self._guard:
            self._check_live(caller)
            return self._shown(administration.visible_job(self._state.records, caller, job_id))

    def job_record(self, job_id: str) -> JobView | None:
        """The job as recorded, whoever asks: for the job itself and its launcher."""
        with self._guard:
            return self._state.records.jobs.get(job_id)

    def list_jobs(self, caller: Caller, limit: int, cursor: str | None) -> Page[JobView]:
        """The caller's jobs, or all for a governor; newest first."""
        with self._guard:
            self._check_live(caller)
            governor = self._state.records.is_governor(caller.principal)
            found = [
                (-int(job.id.removeprefix("job_"), 16), self._shown(job))
                for job in self._state.records.jobs.values()
                if governor or job.principal == caller.principal
            ]
            return self._cursors.page("jobs", caller.principal, found, limit, cursor)

    # running

    def status(self) -> JsonObject:
        with self._guard:
            records = self._state.records
            return {
                **footprint(),
                "failure": None if self._writer.failure is None else str(self._writer.failure),
                "queued": self._writer.counters.queued,
                "epoch": self._parts.journal.epoch,
                "position": self._parts.journal.position,
                "principals": len(records.principals),
                "cubes": sum(not cube.hidden for cube in records.cubes.values()),
                "jobs": len(records.jobs),
            }

    def ready(self) -> list[str]:
        """What is not ready; empty while the shard is ours."""
        failure = self._writer.failure
        return [] if failure is None else [failure.detail]

    def verify(self) -> list[str]:
        """What is wrong with the system shard's chain and journal; empty when all holds."""
        return self._writer.run_exclusive(lambda: self._parts.journal.verify(SYSTEM_CUBE_ID)).result()

    def close(self) -> None:
        """Drain the writer, write a snapshot, and leave everything on storage."""
        if self._writer.failure is None:
            self._writer.run_exclusive(self._write_snapshot).result()
        self._writer.close()
        self._parts.journal.close()

    # inside

    def _run(self, caller: Caller, decide: Callable[[SystemDraft, Origin], R]) -> R:
        origin = Origin(caller.principal, caller.request_id, self._parts.clock.now_us())
        return self._writer.submit(SYSTEM_CUBE_ID, lambda draft: decide(draft, origin)).result()

    def _apply(self, events: list[Event]) -> None:
        with self._guard:
            for event in events:
                self._state.apply(event)
        if self._parts.journal.position - self._snapshot_at >= self._parts.snapshot_events:
            self._write_snapshot()

    def _write_snapshot(self) -> None:
        position = self._parts.journal.position
        if position == self._snapshot_at:
            return
        self._snapshot_at = position  # also when it fails: the next one covers it
        try:
            self._parts.snapshots.write(position, [(SYSTEM_CUBE_ID, json.dumps(self._state.to_snapshot()).encode())])
        except StorageError as error:
            log.error("the system shard's snapshot failed, the journal still holds everything: %s", error)

    def _check_live(self, caller: Caller) -> None:
        administration.check_live(self._state.records, caller, self._parts.clock.now_us())

    def _check_governor(self, caller: Caller, what: str) -> None:
        self._check_live(caller)
        administration.check_governor(self._state.records, caller, what)

    def _shown(self, job: JobView) -> JobView:
        return replace(job, progress=self._progress.get(job.id, job.progress))
