"""Requests and answers of the time machine, as they travel between the edge, the gateway and the hosts."""

from __future__ import annotations

from dataclasses import dataclass

from actors.memory.requests import Moment


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback to version `to` did. `version` is the cube's version after it, `changed` the number of memories
    that it changed, `frozen` those that it would have changed were they not frozen.
    """

    version: int
    to: int
    changed: int
    frozen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompareVersions:
    """A page of what is different between two moments of a cube."""

    first: Moment
    second: Moment
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ForkCube:
    """A new cube that begins as another one was at `as_of`, None for now."""

    id: str
    as_of: Moment | None = None
    name: str | None = None
