"""Consolidates a cube: `memos job submit consolidate --cube CUBE`.

Every memory is compared with its nearest; those that say the same are merged, and what seems to contradict each other
is linked. It goes step by step and can be stopped and begun again at any time: what is done stays done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.errors import InvalidRequest, Unavailable


class ConsolidateArguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=1)
    key: str = Field(min_length=1, repr=False)
    cube: str = Field(min_length=1)
    rows: int = Field(256, ge=1, le=1000, description="rows of a step")


def run(args: Mapping[str, Any], progress: Callable[[float], None] = lambda part: None) -> dict[str, int]:
    """What was done in all. Raises InvalidRequest for a wrong argument or a cube that is not there, Unavailable."""
    try:
        checked = ConsolidateArguments.model_validate(dict(args))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors())
        raise InvalidRequest(f"consolidate: {wrong}") from error
    headers = {"Authorization": f"Bearer {checked.key}"}
    total = {"checked": 0, "merged": 0, "linked": 0}
    with httpx.Client(base_url=checked.url, headers=headers, timeout=120, trust_env=False) as client:
        start: int | None = 0
        while start is not None:
            step = _step(client, checked, start)
            for name in total:
                total[name] += step[name]
            start = step["next"]
            if start is not None:
                progress(start / step["total"])
    return total


def _step(client: httpx.Client, args: ConsolidateArguments, start: int) -> dict[str, Any]:
    try:
        answer = client.post(f"/v1/cubes/{args.cube}/consolidate", json={"start": start, "rows": args.rows})
    except httpx.HTTPError as error:
        raise Unavailable(f"the server does not answer: {error}", retry_after_s=5) from error
    if answer.status_code != 200:
        raise InvalidRequest(f"cube {args.cube}: {answer.json().get('detail', answer.reason_phrase)}")
    step: dict[str, Any] = answer.json()
    return step
