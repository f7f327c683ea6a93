"""The catalogue of cubes: an entry, and what hosts know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.memory.governance import CubeAccess, Role
from actors.memory.requests import ForkPoint


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
    shard: int | None = None
    fork: ForkPoint | None = None
    erased: bool = False


def erased_record(said: Mapping[str, Any], version: int) -> CubeRecord:
    """What the catalogue keeps of an erased cube, so that its id stays taken."""
    at_us, order = said["created_at_us"], said["order"]
    return CubeRecord(said["id"], said["owner"], "", {}, at_us, "", order, version, archived=True, erased=True)


def access_of(cube: CubeRecord) -> CubeAccess:
    """A catalogue entry as hosts know it."""
    return CubeAccess(
        cube_id=cube.id,
        owner=cube.owner,
        grants=dict(cube.grants),
        archived=cube.archived,
        revision=cube.revision,
        name=cube.name,
        policy=cube.policy,
        shard=cube.shard,
        fork=cube.fork,
    )


def fork_point(stored: list[Any] | None) -> ForkPoint | None:
    return None if stored is None else ForkPoint(*stored)
