"""SystemHost: the system shard's owner. Authenticates keys, keeps the catalogue of cubes, grants and jobs. No Ray here.

Methods block and are safe to call from many threads; writes are durable when they return.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from actors.errors import CubeNotFound, Unauthenticated
from actors.memory import administration
from actors.memory.auditing import AuditAction, AuditQuery, AuditReport, AuditRow, Note, detail_text
from actors.memory.credentials import digest_secret, key_id_of, new_secret
from actors.memory.draft import Origin
from actors.memory.events import EventType
from actors.memory.governance import Action, Caller, ClusterAccess, CubeAccess, Role
from actors.memory.identity import new_id
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
from actors.memory.system_draft import SystemDraft
from actors.system_parts import FirstGovernor, SystemParts
from actors.system_shard import SystemShard

__all__ = ["FirstGovernor", "SystemHost", "SystemParts"]

__all__ = ["FirstGovernor", "SystemHost", "SystemParts"]

R = TypeVar("R")
log = logging.getLogger(__name__)

JOB_KEY_LIFE_US = 24 * 3600 * 1_000_000
"""How long the key that a job acts with is good for."""


class SystemHost(SystemShard):
    """One owner of the system shard. It is an AccessSource for the hosts of its process."""

    def bootstrap(self, first: FirstGovernor) -> None:
        """Record the first governor and its key; does nothing once there is a governor."""
        with self._guard:
            if any(principal.governor for principal in self._state.records.principals.values()):
                return
        caller = Caller(first.principal, first.key_id, "bootstrap")
        note = Note(AuditAction.CREATE, detail={"what": "first governor", "principal": first.principal})
        self._run(
            caller, note, lambda d, o: administration.bootstrap(d, o, first.principal, first.key_id, first.digest)
        )

    # keys

    def authenticate(self, secret: str, request_id: str) -> Identity:
        """Who the key speaks for. Raises Unauthenticated, in the same time whatever is wrong with it. An empty secret
        stands for a request without a key.
        """
        self._parts.audit.check()
        digest = digest_secret(self._parts.sealer.chain_key, secret)
        with self._guard:
            key = self._state.records.keys.get(key_id_of(secret) or "")
            matches = hmac.compare_digest(digest, key.digest if key else "0" * len(digest))
            if key is not None and matches and key.live(self._parts.clock.now_us()):
                governor = self._state.records.is_governor(key.principal)
                caller = Caller(key.principal, key.id, request_id, key.expires_at_us)
                return Identity(caller, governor, key.default_cube, key.expires_at_us)
        if key is not None and matches:
            why = "the key was revoked" if key.revoked_at_us is not None else "the key has expired"
            self._strangers.refused(Caller(key.principal, key.id, request_id), why)
        else:
            self._strangers.refused(Caller("", "", request_id), "the key is unknown" if secret else "no key")
        if not secret:
            raise Unauthenticated("send your API key as `Authorization: Bearer KEY`")
        raise Unauthenticated("this API key is unknown, expired or revoked")

    def create_key(self, caller: Caller, new: NewKey) -> IssuedKey:
        """A new key, and its principal when that is new. Governors only. The secret is never stored."""
        secret = new_secret(self._parts.sealer.random_bytes)
        digest = digest_secret(self._parts.sealer.chain_key, secret.text)
        note = Note(AuditAction.CREATE, detail={"what": "key", "key": secret.key_id, "principal": new.principal})
        view = self._run(caller, note, lambda d, o: administration.create_key(d, o, caller, new, secret.key_id, digest))
        return IssuedKey(secret.text, view)

    def list_keys(self, caller: Caller, limit: int, cursor: str | None) -> Page[KeyView]:
        with self._noted(caller, Note(AuditAction.READ, detail={"what": "keys"})), self._guard:
            self._check_governor(caller, "list keys")
            records = self._state.records
            found = [(key.order, records.key_view(key)) for key in records.keys.values()]
            return self._cursors.page("keys", caller.principal, found, limit, cursor)

    def revoke_key(self, caller: Caller, key_id: str) -> KeyView:
        note = Note(AuditAction.CHANGE, detail={"what": "key", "revoked": key_id[:64]})
        return self._run(caller, note, lambda d, o: administration.revoke_key(d, o, caller, key_id))

    def list_principals(self, caller: Caller, limit: int, cursor: str | None) -> Page[PrincipalView]:
        with self._noted(caller, Note(AuditAction.READ, detail={"what": "principals"})), self._guard:
            self._check_governor(caller, "list principals")
            return self._cursors.page("principals", caller.principal, self._state.principal_views(), limit, cursor)

    # cubes and grants

    def register_cube(self, caller: Caller, new: NewCube) -> CubeAccess:
        """Enter a new cube into the catalogue, owned by the caller. Raises AlreadyExists."""
        note = Note(AuditAction.CREATE, detail={"what": "cube"})
        decide = partial(administration.register_cube, caller=caller, new=new, entities=self._parts.entities)
        return access_of(self._run(caller, note, decide, new.id))

    def reserve_cube(self, caller: Caller, cube_id: str, importing: str) -> CubeAccess:
        """Take a cube id for an import. Raises AlreadyExists."""
        note = Note(AuditAction.CREATE, detail={"what": "cube for an import"})
        decide = partial(administration.reserve_cube, caller=caller, cube_id=cube_id, importing=importing)
        return access_of(self._run(caller, note, decide, cube_id))

    def settle_cube(self, cube_id: str, importing: str, type: EventType) -> CubeAccess:
        """Record what became of an import. For the gateway."""
        caller = Caller("system", "", importing)
        note = Note(AuditAction.CREATE, detail={"what": "end of an import", "as": type.value})
        decide = partial(administration.settle_cube, cube_id=cube_id, importing=importing, type=type)
        return access_of(self._run(caller, note, decide, cube_id))

    def archive_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeAccess:
        note = Note(AuditAction.TRANSITION, detail={"what": "cube", "to": "archived"})
        decide = partial(administration.archive_cube, caller=caller, cube_id=cube_id, reason=reason)
        return access_of(self._run(caller, note, decide, cube_id))

    def revive_cube(self, caller: Caller, cube_id: str) -> CubeAccess:
        note = Note(AuditAction.TRANSITION, detail={"what": "cube", "to": "activated"})
        decide = partial(administration.revive_cube, caller=caller, cube_id=cube_id)
        return access_of(self._run(caller, note, decide, cube_id))

    def erase_cube(self, caller: Caller, cube_id: str, reason: str) -> CubeAccess:
        note = Note(AuditAction.ERASE, detail={"what": "cube in the catalogue"})
        decide = partial(administration.erase_cube, caller=caller, cube_id=cube_id, reason=reason)
        return access_of(self._run(caller, note, decide, cube_id))

    def put_grant(self, caller: Caller, cube_id: str, principal: str, role: Role) -> CubeAccess:
        """Raises PrincipalNotFound for a principal that never had a key."""
        note = Note(AuditAction.GRANT, detail={"to": principal[:128], "role": role.label})
        decide = partial(administration.put_grant, caller=caller, cube_id=cube_id, principal=principal, role=role)
        return access_of(self._run(caller, note, decide, cube_id))

    def remove_grant(self, caller: Caller, cube_id: str, principal: str) -> CubeAccess:
        note = Note(AuditAction.GRANT, detail={"to": principal[:128], "role": None})
        decide = partial(administration.remove_grant, caller=caller, cube_id=cube_id, principal=principal)
        return access_of(self._run(caller, note, decide, cube_id))

    def list_cubes(self, caller: Caller, limit: int, cursor: str | None) -> Page[CubeSummary]:
        """The cubes that the caller has a role on, in order of creation; governors see all."""
        with self._noted(caller, Note(AuditAction.READ, detail={"what": "cubes"})), self._guard:
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

    def forks_of(self, cube_id: str) -> tuple[str, ...]:
        with self._guard:
            return self._state.forks_of(cube_id)

    def asked_access(self, caller: Caller, action: Action, cube_id: str) -> CubeAccess | None:
        """As `cube_access`; an attempt on a cube that does not exist is in this shard's audit, there being no other."""
        access = self.cube_access(cube_id)
        if access is None:
            tried = {"action": action.value, "why": CubeNotFound.slug}
            self._parts.audit.record(caller, AuditAction.DENIED, cube_id[:128], detail=detail_text(tried))
        return access

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

        note = Note(AuditAction.JOB, detail={"job": job.id, "name": name[:64], "status": job.status.value})
        return self._run(caller, note, decide, cube_id), secret.text

    def advance_job(
        self, job_id: str, status: JobStatus, reason: str = "", result: Mapping[str, Any] | None = None
    ) -> JobView:
        """Record a job's next status; one that has ended stays as it ended. For the job itself and its launcher."""
        caller = Caller("system", "", job_id)
        note = Note(AuditAction.JOB, detail={"job": job_id[:64], "status": status.value})
        decide = partial(administration.advance_job, job_id=job_id, status=status, reason=reason, result=result)
        known = self.job_record(job_id)
        job = self._run(caller, note, decide, known.cube_id if known else "")
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
        with self._noted(caller, Note(AuditAction.READ, detail={"what": "job", "job": job_id[:64]})), self._guard:
            self._check_live(caller)
            return self._shown(administration.visible_job(self._state.records, caller, job_id))

    def job_record(self, job_id: str) -> JobView | None:
        """The job as recorded, whoever asks: for the job itself and its launcher."""
        with self._guard:
            return self._state.records.jobs.get(job_id)

    def list_jobs(self, caller: Caller, limit: int, cursor: str | None) -> Page[JobView]:
        """The caller's jobs, or all for a governor; newest first."""
        with self._noted(caller, Note(AuditAction.READ, detail={"what": "jobs"})), self._guard:
            self._check_live(caller)
            governor = self._state.records.is_governor(caller.principal)
            found = [
                (-int(job.id.removeprefix("job_"), 16), self._shown(job))
                for job in self._state.records.jobs.values()
                if governor or job.principal == caller.principal
            ]
            return self._cursors.page("jobs", caller.principal, found, limit, cursor)

    # audit

    def audit(self, caller: Caller, cube_id: str, query: AuditQuery) -> tuple[AuditRow, ...]:
        """What this shard decided about a cube, newest first: for its owner, and governors; the cube's host records
        that it was read. With the cube "", all that this shard has of any: governors only.
        """
        if not cube_id:
            with self._noted(caller, Note(AuditAction.READ, detail={"what": "audit"})):
                with self._guard:
                    self._check_governor(caller, "read the audit of the system")
                return tuple(self._parts.audit.newest(None, query))
        with self._guard:
            self._check_live(caller)
            known = self._state.records.cubes.get(cube_id)
            administration.check_role(self._state.records, caller, Action.AUDIT, known, cube_id)
        return tuple(self._parts.audit.newest(cube_id, query))

    def verify_audit(self, caller: Caller, cube_id: str) -> AuditReport:
        """What is wrong with the rows that this shard has of a cube: for who may verify the cube."""
        with self._guard:
            self._check_live(caller)
            known = self._state.records.cubes.get(cube_id)
            administration.check_role(self._state.records, caller, Action.VERIFY, known, cube_id)
        return self._parts.audit.verify(cube_id)

    # inside

    def _shown(self, job: JobView) -> JobView:
        return replace(job, progress=self._progress.get(job.id, job.progress))
