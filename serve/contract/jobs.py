"""Bodies and answers about jobs."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from actors.memory.requests import JobStatus
from serve.contract.fields import Answer, Body, CubeId, Metadata, Word


class SubmitJobBody(Body):
    name: Word = Field(examples=["bench_locomo"])
    cube: CubeId | None = None
    args: Metadata = Field(default_factory=dict)


class JobOut(Answer):
    """`progress` runs from 0 to 1; `result` is the job's own report, once it has one."""

    id: str
    name: str
    cube: str | None
    principal: str
    status: JobStatus
    args: dict[str, Any]
    reason: str | None
    progress: float
    result: dict[str, Any] | None
    created_at: str
    started_at: str | None
    ended_at: str | None


class JobPage(Answer):
    items: list[JobOut]
    next: str | None
