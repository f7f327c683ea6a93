"""Field types that several bodies share, with their limits."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from actors.errors import InvalidRequest
from actors.memory.identity import check_cube_id, check_principal_id
from serve.contract import limits


class Body(BaseModel):
    """What a caller sends: unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Answer(BaseModel):
    """What we send: the documented shape. Fields may be added to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def depth_of(value: Any, limit: int) -> int:
    """Nesting of arrays and objects in a JSON value (a scalar has 0); stops counting just beyond `limit`."""
    level = [value] if isinstance(value, (dict, list)) else []
    depth = 0
    while level and depth <= limit:
        depth += 1
        children = (child for node in level for child in (node.values() if isinstance(node, dict) else node))
        level = [child for child in children if isinstance(child, (dict, list))]
    return depth


def utf8_within(limit: int) -> AfterValidator:
    """Refuses text of more than `limit` bytes in UTF-8."""

    def check(text: str) -> str:
        if len(text) * 4 > limit and (size := len(text.encode())) > limit:
            raise ValueError(f"is {size} bytes long, over the limit of {limit}")
        return text

    return AfterValidator(check)


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _cube_id(text: str) -> str:
    try:
        return check_cube_id(text)
    except InvalidRequest as error:
        raise ValueError(error.detail) from None


def _principal_id(text: str) -> str:
    try:
        return check_principal_id(text)
    except InvalidRequest as error:
        raise ValueError(error.detail) from None


def _metadata(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    if depth_of(value, limits.METADATA_DEPTH) > limits.METADATA_DEPTH:
        raise ValueError(f"is nested deeper than {limits.METADATA_DEPTH}")
    if len(orjson.dumps(value)) > limits.METADATA_BYTES:
        raise ValueError(f"is over the limit of {limits.METADATA_BYTES} bytes")
    return value


def _filter(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    if len(orjson.dumps(value)) > limits.FILTER_BYTES:
        raise ValueError(f"is over the limit of {limits.FILTER_BYTES} bytes")
    return value


CubeId = Annotated[str, AfterValidator(_cube_id)]
PrincipalId = Annotated[str, AfterValidator(_principal_id)]
Label = Annotated[str, StringConstraints(max_length=limits.LABEL_CHARS)]
MemoryId = Annotated[str, StringConstraints(min_length=1, max_length=limits.ID_CHARS)]
MemoryIds = Annotated[list[MemoryId], Field(max_length=limits.MEMORIES_NAMED)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=limits.LABEL_CHARS), AfterValidator(not_blank)]
Reason = Annotated[str, StringConstraints(max_length=limits.REASON_CHARS)]
Text = Annotated[str, AfterValidator(not_blank), utf8_within(limits.TEXT_BYTES)]
Tags = Annotated[list[Word], Field(max_length=limits.TAGS)]
Metadata = Annotated[dict[str, Any], BeforeValidator(_metadata)]
Filter = Annotated[dict[str, Any], BeforeValidator(_filter)]
