"""Body and answer of a search."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from actors.memory.search_requests import Channel
from serve.contract import limits
from serve.contract.fields import Answer, Body, CubeId, Filter, not_blank, utf8_within
from serve.contract.times import AsOf

Query = Annotated[str, AfterValidator(not_blank), utf8_within(limits.QUERY_BYTES)]
CubeIds = Annotated[list[CubeId], Field(min_length=1, max_length=limits.CUBES_PER_REQUEST)]


class SearchBody(Body):
    query: Query = Field(examples=["When did Caroline go to the support group?"])
    cubes: CubeIds = Field(examples=[["caroline"]])
    top_k: int = Field(default=limits.TOP_K_DEFAULT, ge=1, le=limits.TOP_K)
    filter: Filter | None = Field(default=None, examples=[{"type": ["message", "fact"]}])
    as_of: AsOf | None = None
    channels: list[Channel] | None = Field(default=None, min_length=1, description="All when left out.")
    explain: StrictBool = False

    @model_validator(mode="after")
    def _version_of_one_cube(self) -> Self:
        if self.as_of is not None and self.as_of.version is not None and len(set(self.cubes)) > 1:
            raise ValueError("as_of over several cubes takes a time, not a version")
        return self


class ResultOut(Answer):
    cube: str
    id: str
    version: int
    text: str
    score: float
    ref: str
    type: str
    state: str
    role: str
    speaker: str
    session: str
    tags: list[str]
    occurred_at: str | None
    recorded_at: str
    valid_from: str | None
    valid_to: str | None
    metadata: dict[str, Any]
    sources: int
    contradicts: list[str]
    explain: dict[str, Any] | None = Field(
        default=None, description="With `explain`: the score of each channel, and `reason`."
    )


class TookOut(Answer):
    """Milliseconds: the query's embedding, the search, and all of it."""

    embed: float
    search: float
    total: float


class ShortfallOut(Answer):
    """A channel or cube that could not answer (in full), and why."""

    part: str
    reason: str


class SearchOut(Answer):
    results: list[ResultOut]
    took_ms: TookOut
    degraded: list[ShortfallOut]
