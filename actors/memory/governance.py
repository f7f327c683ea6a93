"""Who may do what: roles on cubes, the actions they allow, and what a caller is known by.

A principal without a role on a cube gets the same answer as for a cube that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Protocol

from actors.errors import CubeNotFound, Forbidden, Unauthenticated
from actors.memory.requests import ForkPoint


class Role(IntEnum):
    """Roles on a cube; a larger one may do all that a smaller one may."""

    READER = 1
    WRITER = 2
    CURATOR = 3
    OWNER = 4

    @property
    def label(self) -> str:
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> Role:
        return cls[label.upper()]


class Action(StrEnum):
    READ = "read"
    SEARCH = "search"
    ADD = "add"
    CHANGE = "change"
    ARCHIVE = "archive"
    TRANSITION = "transition"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    ERASE = "erase"
    ERASE_FROZEN = "erase_frozen"
    ERASE_CUBE = "erase_cube"
    REVIVE_CUBE = "revive_cube"
    CONFIGURE = "configure"
    FORK = "fork"
    ROLL_BACK = "rollback"
    VERIFY = "verify"
    GRANT = "grant"
    AUDIT = "audit"
    EXPORT = "export"


NEEDED: dict[Action, Role] = {
    Action.READ: Role.READER,
    Action.SEARCH: Role.READER,
    Action.VERIFY: Role.READER,
    Action.FORK: Role.READER,
    Action.ADD: Role.WRITER,
    Action.CHANGE: Role.WRITER,
    Action.ARCHIVE: Role.WRITER,
    Action.TRANSITION: Role.CURATOR,
    Action.FREEZE: Role.CURATOR,
    Action.ERASE: Role.CURATOR,
    Action.ROLL_BACK: Role.CURATOR,
    Action.EXPORT: Role.CURATOR,
    Action.CONFIGURE: Role.OWNER,
    Action.ERASE_CUBE: Role.OWNER,
    Action.REVIVE_CUBE: Role.OWNER,
    Action.GRANT: Role.OWNER,
    Action.AUDIT: Role.OWNER,
}
"""The smallest role for an action; those of `_GOVERNORS_ONLY` are missing."""

_GOVERNORS_ONLY: dict[Action, str] = {
    Action.UNFREEZE: "unfreeze a memory",
    Action.ERASE_FROZEN: "erase a frozen memory, or one that a frozen one was derived from",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a principal, known by the key it showed, and the request it asks in. `expires_at_us`: when the key
    stops to count, None for never.
    """

    principal: str
    key_id: str
    request_id: str
    expires_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class CubeAccess:
    """Who has which role on one cube, as the system shard records it at `revision`."""

    cube_id: str
    owner: str
    grants: Mapping[str, Role] = field(default_factory=dict)
    archived: bool = False
    kept: bool = False
    """It is archived, and all of it is there: its owner can revive or erase it."""
    importing: str = ""
    """The import that is to fill the cube; until it is done the cube is hidden, and its id taken."""
    revision: int = 0
    name: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Name and policy that the cube was registered with: what its first event is made of."""
    shard: int | None = None
    """Where the cube lives when that is not where its hash says: a fork lives with its origin."""
    fork: ForkPoint | None = None

    def role_of(self, principal: str) -> Role | None:
        return Role.OWNER if principal == self.owner else self.grants.get(principal)


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """What holds for every cube: who governs, and which keys no longer count."""

    governors: frozenset[str] = frozenset()
    revoked_keys: frozenset[str] = frozenset()
    revision: int = 0


class AccessSource(Protocol):
    """Where a host learns who may do what. Both calls answer from the system shard's committed state."""

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        """None when the cube was never registered. Raises Unavailable when the system shard does not answer."""
        ...

    def asked_access(self, caller: Caller, action: Action, cube_id: str) -> CubeAccess | None:
        """As `cube_access`, for a caller who wants to do `action`: the attempt is recorded if there is no such cube."""
        ...

    def cluster_access(self) -> ClusterAccess: ...


def role_on(caller: Caller, cluster: ClusterAccess, cube: CubeAccess | None) -> Role | None:
    """The caller's role on the cube; governors own every cube. None hides the cube."""
    if cube is None or cube.archived or cube.importing:
        return None
    return Role.OWNER if caller.principal in cluster.governors else cube.role_of(caller.principal)


def authorise(caller: Caller, action: Action, cube_id: str, cluster: ClusterAccess, cube: CubeAccess | None) -> Role:
    """The caller's role when it allows `action`; else Unauthenticated, CubeNotFound or Forbidden."""
    check_key(caller, cluster)
    role = role_on(caller, cluster, cube)
    if role is None and cube is not None and _reaches(caller, action, cluster, cube):
        role = Role.OWNER
    if role is None:
        raise CubeNotFound(f"no cube {cube_id!r}", cube=cube_id)
    if action in _GOVERNORS_ONLY:
        if caller.principal not in cluster.governors:
            raise Forbidden(f"only a governor can {_GOVERNORS_ONLY[action]}", cube=cube_id, action=action.value)
        return role
    if role < NEEDED[action]:
        raise Forbidden(
            f"{action} on cube {cube_id!r} needs the role {NEEDED[action].label}, you are {role.label}; "
            "its owner can grant it",
            cube=cube_id,
            action=action.value,
            role=role.label,
            needed=NEEDED[action].label,
        )
    return role


_OF_ARCHIVED = frozenset({Action.REVIVE_CUBE, Action.ERASE_CUBE, Action.ERASE, Action.ERASE_FROZEN})
"""What an owner can do of a cube that is archived: have it again, or have nothing of it left."""


def _reaches(caller: Caller, action: Action, cluster: ClusterAccess, cube: CubeAccess) -> bool:
    """Whether an action goes beyond the archiving of a cube. What was done to it can be asked by governors, too."""
    governs = caller.principal in cluster.governors
    if action is Action.AUDIT:
        return governs
    owns = governs or cube.role_of(caller.principal) is Role.OWNER
    return cube.kept and owns and action in _OF_ARCHIVED


def check_expiry(caller: Caller, now_us: int) -> None:
    """Raise Unauthenticated when the caller's key has expired since it was checked at the edge."""
    if caller.expires_at_us is not None and now_us >= caller.expires_at_us:
        raise Unauthenticated("this API key has expired")


def check_key(caller: Caller, cluster: ClusterAccess) -> None:
    """Raise Unauthenticated when the caller's key was revoked after it was checked at the edge."""
    if caller.key_id in cluster.revoked_keys:
        raise Unauthenticated("this API key was revoked")
