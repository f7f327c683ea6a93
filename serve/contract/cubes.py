"""Bodies and answers about cubes, grants, keys and principals."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, StrictBool, model_validator

from serve.contract import limits
from serve.contract.fields import Answer, Body, CubeId, Label, PrincipalId
from serve.contract.times import TimeUs

RoleName = Literal["reader", "writer", "curator", "owner"]


class CreateCubeBody(Body):
    id: CubeId | None = Field(default=None, description="Made up when it is left out.", examples=["caroline"])
    name: Label = ""
    policy: dict[str, Any] = Field(default_factory=dict)


class PatchCubeBody(Body):
    name: Label | None = None
    policy: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.name is None and self.policy is None:
            raise ValueError("nothing to change: give name, policy or both")
        return self


class GrantBody(Body):
    role: RoleName


class ForkPointOut(Answer):
    """The origin is told to those who have a role on it."""

    cube: str | None
    version: int


class RedactionOut(Answer):
    """What was found in the cube's memories as they are, by kind. `unscreened` memories are withheld from those whom
    the policy masks for, until `POST …/screen` has looked through them.
    """

    found: dict[str, int]
    unscreened: int


class CubeOut(Answer):
    """A cube's manifest. `counts` is {form: {state: number}}; `version` counts the cube's events."""

    id: str
    name: str
    owner: str
    version: int
    created_at: str
    counts: dict[str, dict[str, int]]
    policy: dict[str, dict[str, Any]]
    grants: dict[str, str]
    forked_from: ForkPointOut | None
    redaction: RedactionOut


class ScreenBody(Body):
    """How many memories to look through at most, the oldest first."""

    limit: int = Field(default=limits.SCREENED_AT_ONCE, ge=1, le=limits.SCREENED_AT_ONCE)


class ScreenedOut(Answer):
    """`remaining` memories are left to look through: ask again."""

    screened: int
    remaining: int
    redaction: dict[str, int]


class CubePage(Answer):
    items: list[CubeOut]
    next: str | None


class VerifyOut(Answer):
    """`problems` is empty when the chains of events and audit hold; its first entry names the first break."""

    cube: str
    ok: bool
    events: int
    audit_rows: int
    problems: list[str]


class CreateKeyBody(Body):
    principal: PrincipalId = Field(examples=["agent-7"])
    name: Label = ""
    governor: StrictBool = False
    default_cube: CubeId | None = Field(default=None, description="Used by a chat that names no cube.")
    expires_at: TimeUs | None = None


class KeyOut(Answer):
    id: str
    principal: str
    name: str
    governor: bool
    default_cube: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class IssuedKeyOut(KeyOut):
    """`key` is shown here and never again."""

    key: str


class KeyPage(Answer):
    items: list[KeyOut]
    next: str | None


class PrincipalOut(Answer):
    id: str
    governor: bool
    created_at: str


class PrincipalPage(Answer):
    items: list[PrincipalOut]
    next: str | None
