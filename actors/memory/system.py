"""The system shard's state: who there is, what may be done by whom, which cubes and jobs exist.

It is the fold of one chain of events, as a cube is. Records are frozen and replaced, never changed in
place, so that a draft can lay its own over them.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

from actors.memory.events import GENESIS, Event, EventType
from actors.memory.governance import Caller, ClusterAccess, CubeAccess, Role
from actors.memory.identity import SYSTEM_CUBE_ID
from actors.memory.job_records import fields_of, job_from_fields, job_to_fields
from actors.memory.records import CubeRecord, KeyRecord, PrincipalRecord, access_of, erased_record, fork_point
from actors.memory.requests import JobView, KeyView, PrincipalView


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a key speaks for. Times are microseconds since the epoch, UTC; None: it never expires."""

    caller: Caller
    governor: bool
    default_cube: str
    expires_at_us: int | None


@dataclass(slots=True)
class Records:
    """Everything that is recorded, by id. Both the state and a draft's overlay have this shape."""

    principals: MutableMapping[str, PrincipalRecord] = field(default_factory=dict)
    keys: MutableMapping[str, KeyRecord] = field(default_factory=dict)
    cubes: MutableMapping[str, CubeRecord] = field(default_factory=dict)
    jobs: MutableMapping[str, JobView] = field(default_factory=dict)

    def fold(self, event: Event) -> None:
        """Take one event in; one whose content was erased says nothing, its cube's tombstone comes later."""
        if event.content is None:
            return
        payload = event.payload()
        match event.type:
            case EventType.PRINCIPAL_CREATED:
                self._principal(event, payload)
            case EventType.KEY_CREATED | EventType.KEY_REVOKED:
                self._key(event, payload)
            case EventType.CUBE_ERASED:
                self.cubes[payload["id"]] = erased_record(payload, event.version)
            case EventType.CUBE_REGISTERED | EventType.CUBE_ARCHIVED:
                self._cube(event, payload)
            case EventType.CUBE_REVIVED:
                cube = self.cubes[payload["id"]]
                self.cubes[cube.id] = replace(cube, archived=False, archived_by="", revision=event.version)
            case EventType.CUBE_IMPORTED | EventType.CUBE_RELEASED:
                released = event.type is EventType.CUBE_RELEASED
                cube = self.cubes[payload["id"]]
                self.cubes[cube.id] = replace(cube, importing="", released=released, revision=event.version)
            case EventType.GRANT_PUT | EventType.GRANT_REMOVED:
                self._grant(event, payload)
            case EventType.JOB_RECORDED:
                self.jobs[payload["id"]] = job_from_fields(payload)
            case _:
                raise ValueError(f"an event of type {event.type} does not belong to the system shard")

    def _principal(self, event: Event, payload: dict[str, Any]) -> None:
        known = self.principals.get(payload["id"])
        if known is None:
            known = PrincipalRecord(payload["id"], False, event.recorded_at_us, event.version)
        self.principals[known.id] = replace(known, governor=known.governor or payload["governor"])

    def _key(self, event: Event, payload: dict[str, Any]) -> None:
        key_id = payload["id"]
        if event.type is EventType.KEY_REVOKED:
            self.keys[key_id] = replace(self.keys[key_id], revoked_at_us=event.recorded_at_us)
            return
        self.keys[key_id] = KeyRecord(
            id=key_id,
            principal=payload["principal"],
            name=payload["name"],
            default_cube=payload["default_cube"],
            digest=payload["digest"],
            created_at_us=event.recorded_at_us,
            expires_at_us=payload["expires_at_us"],
            revoked_at_us=None,
            order=event.version,
        )

    def _cube(self, event: Event, payload: dict[str, Any]) -> None:
        cube_id = payload["id"]
        if event.type is EventType.CUBE_ARCHIVED:
            self.cubes[cube_id] = replace(
                self.cubes[cube_id], archived=True, archived_by=event.request_id, revision=event.version
            )
            return
        self.cubes[cube_id] = CubeRecord(
            id=cube_id,
            owner=payload["owner"],
            name=payload["name"],
            policy=payload["policy"],
            created_at_us=event.recorded_at_us,
            created_by=event.request_id,
            order=event.version,
            revision=event.version,
            shard=payload.get("shard"),
            fork=fork_point(payload.get("fork")),
            importing=payload.get("importing", ""),
        )

    def _grant(self, event: Event, payload: dict[str, Any]) -> None:
        cube = self.cubes.get(payload["id"])
        if cube is None:  # it was erased: what registered it is empty
            return
        grants = {who: role for who, role in cube.grants.items() if who != payload["principal"]}
        if event.type is EventType.GRANT_PUT:
            grants[payload["principal"]] = Role.from_label(payload["role"])
        self.cubes[cube.id] = replace(cube, grants=grants, revision=event.version)

    def is_governor(self, principal: str) -> bool:
        record = self.principals.get(principal)
        return record is not None and record.governor

    def key_view(self, record: KeyRecord) -> KeyView:
        """What may be shown of a key; a key governs when its principal does."""
        return KeyView(
            id=record.id,
            principal=record.principal,
            name=record.name,
            governor=self.is_governor(record.principal),
            default_cube=record.default_cube,
            created_at_us=record.created_at_us,
            expires_at_us=record.expires_at_us,
            revoked_at_us=record.revoked_at_us,
        )


@dataclass(slots=True)
class SystemState:
    """The fold of the system shard's events. Not thread-safe: its owner guards it."""

    cube_id: str = SYSTEM_CUBE_ID
    version: int = 0
    head: bytes = GENESIS
    last_at_us: int = 0
    cluster_revision: int = 0
    """Version of the last event about governors or revoked keys."""
    records: Records = field(default_factory=Records)
    cubes_of: dict[str, set[str]] = field(default_factory=dict)
    """By principal, the cubes that it has a role on; archived ones left out."""

    def apply(self, event: Event) -> None:
        """Fold the next event in. Events must come in order of version, each once."""
        if event.version != self.version + 1:
            raise ValueError(f"the system shard is at version {self.version}, got event {event.version}")
        self.records.fold(event)
        self.version, self.head, self.last_at_us = event.version, event.hash, event.recorded_at_us
        if event.type in (EventType.PRINCIPAL_CREATED, EventType.KEY_REVOKED):
            self.cluster_revision = event.version
        if event.type in _ABOUT_CUBES and event.content is not None:
            self._index(event.payload())

    def _index(self, payload: dict[str, Any]) -> None:
        cube = self.records.cubes.get(payload["id"])
        if cube is None:
            return
        touched = {cube.owner, *cube.grants, payload.get("principal", cube.owner)}
        for principal in touched:
            role = cube.owner == principal or principal in cube.grants
            if role and not cube.hidden:
                self.cubes_of.setdefault(principal, set()).add(cube.id)
            else:
                self.cubes_of.get(principal, set()).discard(cube.id)

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        """Who may do what on a cube, None when it was never registered."""
        cube = self.records.cubes.get(cube_id)
        return None if cube is None else access_of(cube)

    def forks_of(self, cube_id: str) -> tuple[str, ...]:
        """The cubes that were forked from a cube, from its forks, and so on, archived ones too; oldest first."""
        family = {cube_id}
        found = []
        for cube in self.records.cubes.values():  # a fork is registered after its origin
            if not cube.erased and cube.fork is not None and cube.fork.cube_id in family:
                family.add(cube.id)
                found.append(cube.id)
        return tuple(found)

    def cluster_access(self) -> ClusterAccess:
        return cluster_access_of(self.records, self.cluster_revision)

    def principal_views(self) -> list[tuple[int, PrincipalView]]:
        """(order, view) of every principal, oldest first."""
        found = sorted(self.records.principals.values(), key=lambda p: p.order)
        return [(p.order, PrincipalView(p.id, p.governor, p.created_at_us)) for p in found]

    def to_snapshot(self) -> dict[str, Any]:
        """The whole state as JSON values; `from_snapshot` is the inverse."""
        records = self.records
        return {
            "format": 1,
            "version": self.version,
            "head": self.head.hex(),
            "last_at_us": self.last_at_us,
            "cluster_revision": self.cluster_revision,
            "principals": [fields_of(p) for p in records.principals.values()],
            "keys": [fields_of(k) for k in records.keys.values()],
            "cubes": [
                {
                    **fields_of(c),
                    "grants": {who: role.label for who, role in c.grants.items()},
                    "fork": None if c.fork is None else [c.fork.cube_id, c.fork.version],
                }
                for c in records.cubes.values()
            ],
            "jobs": [job_to_fields(j) for j in records.jobs.values()],
        }

    @classmethod
    def from_snapshot(cls, data: dict[str, Any]) -> SystemState:
        cubes = {}
        for fields in data["cubes"]:
            grants = {who: Role.from_label(label) for who, label in fields["grants"].items()}
            fork = fork_point(fields.get("fork"))
            cubes[fields["id"]] = CubeRecord(**{**fields, "grants": grants, "fork": fork})
        state = cls(
            version=data["version"],
            head=bytes.fromhex(data["head"]),
            last_at_us=data["last_at_us"],
            cluster_revision=data["cluster_revision"],
            records=Records(
                principals={p["id"]: PrincipalRecord(**p) for p in data["principals"]},
                keys={k["id"]: KeyRecord(**k) for k in data["keys"]},
                cubes=cubes,
                jobs={j["id"]: job_from_fields(j) for j in data["jobs"]},
            ),
        )
        for cube_id in cubes:
            state._index({"id": cube_id})
        return state


_ABOUT_CUBES = frozenset(
    {
        EventType.CUBE_REGISTERED,
        EventType.CUBE_ARCHIVED,
        EventType.CUBE_REVIVED,
        EventType.CUBE_ERASED,
        EventType.CUBE_IMPORTED,
        EventType.CUBE_RELEASED,
        EventType.GRANT_PUT,
        EventType.GRANT_REMOVED,
    }
)


def cluster_access_of(records: Records, revision: int = 0) -> ClusterAccess:
    """Governors and revoked keys, as hosts know them."""
    governors = frozenset(p.id for p in records.principals.values() if p.governor)
    revoked = frozenset(k.id for k in records.keys.values() if k.revoked_at_us is not None)
    return ClusterAccess(governors, revoked, revision)
