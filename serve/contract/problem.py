"""The documented shape of an error: RFC 9457."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_MEDIA_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    field: str
    problem: str


class ProblemOut(BaseModel):
    """A problem document. `type` is stable: `urn:memos:problem:` and a slug. Other members may be present."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "urn:memos:problem:invalid-request",
                "title": "The request is not valid",
                "status": 422,
                "detail": "top_k: Input should be less than or equal to 200",
                "instance": "urn:memos:request:5f0c1b6de1f94d0c",
                "errors": [{"field": "top_k", "problem": "Input should be less than or equal to 200"}],
            }
        },
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="Names this request in the logs.")
    errors: list[FieldProblem] | None = None
