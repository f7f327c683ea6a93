"""Bodies and answers of the time machine: rolling back, forking, comparing versions."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from serve.contract.fields import Answer, Body, CubeId, Label, Reason
from serve.contract.memories import MemoryOut
from serve.contract.times import InstantIn


class RollbackBody(Body):
    to: InstantIn
    reason: Reason = ""


class RollbackOut(Answer):
    """`to` is the version gone back to, `version` the cube's version now, `changed` the number of memories changed,
    and `frozen` the ids of those that stayed as they are because they are frozen.
    """

    version: int
    to: int
    changed: int
    frozen: list[str]


class ForkBody(Body):
    as_of: InstantIn | None = Field(default=None, description="The fork begins as the cube was then; now by default.")
    id: CubeId | None = Field(default=None, description="Made up when it is left out.", examples=["what-if"])
    name: Label | None = Field(default=None, description="The origin's name when it is left out.")


class DifferenceOut(Answer):
    """A memory that differs: `before` at `from`, `after` at `to`; null where it is not there. `fields` names what
    differs in one that is there at both.
    """

    change: Literal["added", "changed", "moved", "removed"]
    id: str
    fields: list[str]
    before: MemoryOut | None
    after: MemoryOut | None


class DiffOut(Answer):
    """A page of differences between two versions; `counts` are of all pages."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True)

    from_: int = Field(alias="from")
    to: int
    counts: dict[str, int]
    items: list[DifferenceOut]
    next: str | None
