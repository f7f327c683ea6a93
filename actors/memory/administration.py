"""Commands on the system shard: pure decisions about principals, keys, the cube catalogue, grants and jobs.

Each authorises first, on what the draft knows, so that commands of one commit see each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from actors.errors import (
    AlreadyExists,
    Conflict,
    CubeNotFound,
    Forbidden,
    InvalidRequest,
    JobNotFound,
    KeyNotFound,
    PrincipalNotFound,
    Unauthenticated,
)
from actors.memory.draft import Origin
from actors.memory.events import EventType
from actors.memory.governance import Action, Caller, Role, authorise
from actors.memory.identity import check_cube_id, check_principal_id
from actors.memory.job_records import job_to_fields
from actors.memory.policy import ENTITIES, merged_policy
from actors.memory.records import CubeRecord, access_of
from actors.memory.requests import JobStatus, JobView, KeyView, NewCube, NewKey
from actors.memory.system import Records, cluster_access_of
from actors.memory.system_draft import SystemDraft


def bootstrap(draft: SystemDraft, origin: Origin, principal: str, key_id: str, digest: str) -> None:
    """Record the first governor and its key; once there is a governor, do nothing."""
    if any(p.governor for p in draft.records.principals.values()):
        return
    draft.emit(origin, EventType.PRINCIPAL_CREATED, {"id": principal, "governor": True})
    draft.emit(origin, EventType.KEY_CREATED, _key_payload(NewKey(principal, "first governor"), key_id, digest))


def create_key(draft: SystemDraft, origin: Origin, caller: Caller, new: NewKey, key_id: str, digest: str) -> KeyView:
    """Record a key, and its principal when it is new. Governors only; `governor` makes the principal one."""
    check_live(draft.records, caller, origin.at_us)
    check_governor(draft.records, caller, "create keys")
    check_principal_id(new.principal)
    if new.default_cube:
        check_cube_id(new.default_cube)
    if new.expires_at_us is not None and new.expires_at_us <= origin.at_us:
        raise InvalidRequest("the key would have expired already; choose a later time")
    known = draft.records.principals.get(new.principal)
    if known is None or (new.governor and not known.governor):
        draft.emit(origin, EventType.PRINCIPAL_CREATED, {"id": new.principal, "governor": new.governor})
    draft.emit(origin, EventType.KEY_CREATED, _key_payload(new, key_id, digest))
    return draft.records.key_view(draft.records.keys[key_id])


def _key_payload(new: NewKey, key_id: str, digest: str) -> dict[str, Any]:
    return {
        "id": key_id,
        "principal": new.principal,
        "name": new.name,
        "default_cube": new.default_cube,
        "expires_at_us": new.expires_at_us,
        "digest": digest,
    }


def issue_job_key(draft: SystemDraft, origin: Origin, caller: Caller, new: NewKey, key_id: str, digest: str) -> None:
    """Record a key for a job that acts for the caller: it must expire and be the caller's own."""
    check_live(draft.records, caller, origin.at_us)
    if new.principal != caller.principal or new.expires_at_us is None or new.governor:
        raise Forbidden("a job's key is the submitter's own and expires")
    draft.emit(origin, EventType.KEY_CREATED, _key_payload(new, key_id, digest))


def revoke_key(draft: SystemDraft, origin: Origin, caller: Caller, key_id: str) -> KeyView:
    """Record that a key no longer counts; a repeat changes nothing. Governors only."""
    check_live(draft.records, caller, origin.at_us)
    check_governor(draft.records, caller, "revoke keys")
    known = draft.records.keys.get(key_id)
    if known is None:
        raise KeyNotFound(f"no key {key_id[:64]!r}", key=key_id[:64])
    if known.revoked_at_us is None:
        _check_still_governed(draft.records, key_id, origin.at_us)
        draft.emit(origin, EventType.KEY_REVOKED, {"id": key_id})
    return draft.records.key_view(draft.records.keys[key_id])


def _check_still_governed(records: Records, leaving: str, now_us: int) -> None:
    others = (k for k in records.keys.values() if k.id != leaving)
    if not any(k.live(now_us) and k.expires_at_us is None and records.is_governor(k.principal) for k in others):
        if records.is_governor(records.keys[leaving].principal):
            raise Conflict(
                "this is the last key of a governor that does not expire: nobody could govern any more; "
                "create another governor's key first"
            )


def register_cube(
    draft: SystemDraft, origin: Origin, caller: Caller, new: NewCube, entities: Sequence[str] = ENTITIES
) -> CubeRecord:
    """Record a new cube, owned by the caller; a repeat of the same request changes nothing. A fork takes a role on its
    origin. `entities`: as in `merged_policy`.
    """
    check_live(draft.records, caller, origin.at_us)
    check_cube_id(new.id)
    policy = merged_policy({}, new.policy, entities)
    known = draft.records.cubes.get(new.id)
    if known is not None and not known.released:
        same = (known.owner, known.created_by, known.fork) == (caller.principal, origin.request_id, new.fork)
        if same and not known.hidden:
            return known
        raise AlreadyExists(f"the cube id {new.id!r} is taken; choose another", cube=new.id)
    payload: dict[str, Any] = {"id": new.id, "owner": caller.principal, "name": new.name, "policy": policy}
    if new.fork is not None:
        source = new.fork.cube_id
        check_role(draft.records, caller, Action.FORK, draft.records.cubes.get(source), source)
        payload |= {"shard": new.shard, "fork": [source, new.fork.version]}
    draft.emit(origin, EventType.CUBE_REGISTERED, payload)
    return draft.records.cubes[new.id]


def reserve_cube(draft: SystemDraft, origin: Origin, caller: Caller, cube_id: str, importing: str) -> CubeRecord:
    """Record a cube that an import is going to fill, owned by the caller: hidden, and its id taken. A repeat for the
    same import changes nothing.
    """
    check_live(draft.records, caller, origin.at_us)
    check_cube_id(cube_id)
    known = draft.records.cubes.get(cube_id)
    if known is not None and not known.released:
        if known.owner == caller.principal and known.importing == importing:
            return known
        raise AlreadyExists(f"the cube id {cube_id!r} is taken; choose another", cube=cube_id)
    payload = {"id": cube_id, "owner": caller.principal, "name": "", "policy": merged_policy({}, {})}
    draft.emit(origin, EventType.CUBE_REGISTERED, {**payload, "importing": importing})
    return draft.records.cubes[cube_id]


def settle_cube(draft: SystemDraft, origin: Origin, cube_id: str, importing: str, type: EventType) -> CubeRecord:
    """Record what became of an import: `cube.imported`, it is there, or `cube.released`, its id is free. Of an import
    that is settled already, nothing. For the gateway, which knows.
    """
    known = draft.records.cubes.get(cube_id)
    if known is None:
        raise CubeNotFound(f"no cube {cube_id!r}", cube=cube_id)
    if known.importing == importing:
        draft.emit(origin, type, {"id": cube_id, "importing": importing})
    return draft.records.cubes[cube_id]


def archive_cube(draft: SystemDraft, origin: Origin, caller: Caller, cube_id: str, reason: str) -> CubeRecord:
    """Record that a cube is archived: from then on it is hidden. Owners only."""
    check_live(draft.records, caller, origin.at_us)
    known = draft.records.cubes.get(cube_id)
    if known is not None and known.archived and known.archived_by == origin.request_id:
        check_role(draft.records, caller, Action.CONFIGURE, replace(known, archived=False), cube_id)
        return known
    check_role(draft.records, caller, Action.CONFIGURE, known, cube_id)
    draft.emit(origin, EventType.CUBE_ARCHIVED, {"id": cube_id, "reason": reason})
    return draft.records.cubes[cube_id]


def revive_cube(draft: SystemDraft, origin: Origin, caller: Caller, cube_id: str) -> CubeRecord:
    """Record that an archived cube is there again, with the roles that it had; of another one, nothing. Owners only."""
    check_live(draft.records, caller, origin.at_us)
    cube = check_role(draft.records, caller, Action.REVIVE_CUBE, draft.records.cubes.get(cube_id), cube_id)
    if cube.archived:
        draft.emit(origin, EventType.CUBE_REVIVED, {"id": cube_id})
    return draft.records.cubes[cube_id]


def erase_cube(draft: SystemDraft, origin: Origin, caller: Caller, cube_id: str, reason: str) -> CubeRecord:
    """Record the tombstone of a cube: hidden from then on, and nothing of it kept but its id. Owners only."""
    check_live(draft.records, caller, origin.at_us)
    known = draft.records.cubes.get(cube_id)
    if known is not None and known.erased and draft.records.is_governor(caller.principal):
        return known
    cube = check_role(draft.records, caller, Action.ERASE_CUBE, known, cube_id)
    payload = {
        "id": cube_id,
        "owner": cube.owner,
        "reason": reason,
        "created_at_us": cube.created_at_us,
        "order": cube.order,
    }
    draft.emit(origin, EventType.CUBE_ERASED, payload)
    return draft.records.cubes[cube_id]


def put_grant(
    draft: SystemDraft, origin: Origin, caller: Caller, cube_id: str, principal: str, role: Role
) -> CubeRecord:
    """Record a principal's role on a cube; the same one again changes nothing. Owners only."""
    cube = _grantable(draft, origin, caller, cube_id, principal)
    if principal not in draft.records.principals:
        raise PrincipalNotFound(
            f"no principal {principal!r}; a governor creates one by creating its first key "
            f"(POST /v1/keys, or: memos key create {principal})",
            principal=principal,
        )
    if cube.grants.get(principal) is not role:
        payload = {"id": cube_id, "principal": principal, "role": role.label}
        draft.emit(origin, EventType.GRANT_PUT, payload)
    return draft.records.cubes[cube_id]


def remove_grant(draft: SystemDraft, origin: Origin, caller: Caller, cube_id: str, principal: str) -> CubeRecord:
    """Record that a principal has no role on a cube any more; without one nothing changes. Owners only."""
    cube = _grantable(draft, origin, caller, cube_id, principal)
    if principal in cube.grants:
        draft.emit(origin, EventType.GRANT_REMOVED, {"id": cube_id, "principal": principal})
    return draft.records.cubes[cube_id]


def _grantable(draft: SystemDraft, origin: Origin, caller: Caller, cube_id: str, principal: str) -> CubeRecord:
    check_live(draft.records, caller, origin.at_us)
    cube = check_role(draft.records, caller, Action.GRANT, draft.records.cubes.get(cube_id), cube_id)
    check_principal_id(principal)
    if principal == cube.owner:
        raise InvalidRequest(f"{principal!r} owns the cube; the owner's role cannot be changed")
    return cube


def record_job(draft: SystemDraft, origin: Origin, caller: Caller, job: JobView) -> JobView:
    """Record a new job of the caller's; with a cube, the caller must have the owner's role on it."""
    check_live(draft.records, caller, origin.at_us)
    if job.cube_id:
        check_role(draft.records, caller, Action.CONFIGURE, draft.records.cubes.get(job.cube_id), job.cube_id)
    elif not draft.records.is_governor(caller.principal):
        raise Forbidden("a job that names no cube needs a governor's key")
    draft.emit(origin, EventType.JOB_RECORDED, job_to_fields(job))
    return draft.records.jobs[job.id]


def advance_job(
    draft: SystemDraft,
    origin: Origin,
    job_id: str,
    status: JobStatus,
    reason: str = "",
    result: Mapping[str, Any] | None = None,
) -> JobView:
    """Record a job's next status. A job that has ended stays as it ended."""
    job = draft.records.jobs.get(job_id)
    if job is None:
        raise _no_job(job_id)
    if job.status.ended or (job.status is status and not reason and result is None):
        return job
    started = job.started_at_us or (origin.at_us if status is JobStatus.RUNNING else None)
    after = replace(
        job,
        status=status,
        reason=reason,
        result=result,
        started_at_us=started,
        ended_at_us=origin.at_us if status.ended else None,
    )
    draft.emit(origin, EventType.JOB_RECORDED, job_to_fields(after))
    return draft.records.jobs[job_id]


def visible_job(records: Records, caller: Caller, job_id: str) -> JobView:
    """A job that the caller may see: its own, or any for a governor. Raises JobNotFound."""
    job = records.jobs.get(job_id)
    if job is None or not (job.principal == caller.principal or records.is_governor(caller.principal)):
        raise _no_job(job_id)
    return job


def check_live(records: Records, caller: Caller, now_us: int) -> None:
    """Raise Unauthenticated when the caller's key was revoked or has expired since it was checked."""
    key = records.keys.get(caller.key_id)
    if key is None or not key.live(now_us) or key.principal != caller.principal:
        raise Unauthenticated("this API key is unknown, expired or revoked")


def check_governor(records: Records, caller: Caller, what: str) -> None:
    if not records.is_governor(caller.principal):
        raise Forbidden(f"only a governor can {what}")


def check_role(records: Records, caller: Caller, action: Action, cube: CubeRecord | None, cube_id: str) -> CubeRecord:
    """The cube when the caller may do the action on it; else CubeNotFound or Forbidden."""
    access = None if cube is None else access_of(cube)
    authorise(caller, action, cube_id, cluster_access_of(records), access)
    if cube is None:
        raise CubeNotFound(f"no cube {cube_id!r}", cube=cube_id)
    return cube


def _no_job(job_id: str) -> JobNotFound:
    return JobNotFound(f"no job {job_id[:64]!r}", job=job_id[:64])
