"""What the system shard records of principals, keys and cubes. Frozen: replaced, never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.memory.governance import CubeAccess, Role
from actors.memory.requests import ForkPoint


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """`order` is the version of the event that recorded it first: lists are sorted by it."""

    id: str
    governor: bool
    created_at_us: int
    order: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key. `digest` is a keyed hash of its secret; the secret itself is never recorded."""

    id: str
    principal: str
    name: str
    default_cube: str
    digest: str
    created_at_us: int
    expires_at_us: int | None
    revoked_at_us: int | None
    order: int

    def live(self, now_us: int) -> bool:
        """Whether the key still counts: neither revoked nor expired."""
        return self.revoked_at_us is None and (self.expires_at_us is None or now_us < self.expires_at_us)


@dataclass(frozen=True, slots=True)
class CubeRecord:
    """A catalogue entry. `revision` is the version of the last event about the cube.

    `created_by` and `archived_by` name the requests that did it, so that a repeat of one is known as such.
    """

    id: str
    owner: str
    name: str
    policy: dict[str, Any]
    created_at_us: int
    created_by: str
    order: int
    revision: int
    grants: dict[str, Role] = field(default_factory=dict)
    archived: bool = False
    archived_by: str = ""
    importing: str = ""
    """The import that is to fill it, empty when it is there. The id is taken meanwhile."""
    released: bool = False
    """Nothing came of its import: the id is free."""
    shard: int | None = None
    fork: ForkPoint | None = None
    erased: bool = False

    @property
    def hidden(self) -> bool:
        """Whether nobody sees it."""
        return self.archived or self.released or bool(self.importing)


def erased_record(said: Mapping[str, Any], version: int) -> CubeRecord:
    """What the catalogue keeps of an erased cube, so that its id stays taken."""
    at_us, order = said["created_at_us"], said["order"]
    return CubeRecord(said["id"], said["owner"], "", {}, at_us, "", order, version, archived=True, erased=True)


def fork_point(stored: list[Any] | None) -> ForkPoint | None:
    return None if stored is None else ForkPoint(*stored)


def access_of(cube: CubeRecord) -> CubeAccess:
    """A catalogue entry as hosts know it."""
    return CubeAccess(
        cube_id=cube.id,
        owner=cube.owner,
        grants=dict(cube.grants),
        archived=cube.archived or cube.released,
        kept=cube.archived and not cube.erased and not cube.released,
        importing=cube.importing,
        revision=cube.revision,
        name=cube.name,
        policy=cube.policy,
        shard=cube.shard,
        fork=cube.fork,
    )
