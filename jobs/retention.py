"""The job `retention`: does what is due in one cube, or in every cube of whoever submits it.

`memos job submit retention [--cube C]`. It acts as the principal that submitted it, through HTTP, so it does what that
principal may: a cube on which it is no curator is named in the result and left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.errors import InvalidRequest, Unavailable
from jobs.bench.contract import Progress

TIMEOUT_S = 300.0
PAGE = 100


class RetentionArguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=1)
    key: str = Field(min_length=1, repr=False)
    cube: str = ""


def run(args: Mapping[str, Any], progress: Progress = lambda part: None) -> dict[str, Any]:
    """How many memories were archived, erased and held, by cube; ids and reasons of those that were held.

    Raises InvalidRequest for a wrong argument, Unavailable when the system does not answer.
    """
    try:
        checked = RetentionArguments.model_validate(dict(args))
    except ValidationError as error:
        raise InvalidRequest(f"retention: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error
    headers = {"Authorization": f"Bearer {checked.key}"}
    done: dict[str, Any] = {}
    try:
        with httpx.Client(base_url=checked.url, headers=headers, timeout=TIMEOUT_S) as client:
            cubes = [checked.cube] if checked.cube else list(_cubes(client))
            for number, cube in enumerate(cubes, start=1):
                done[cube] = _retain(client, cube)
                progress(number / len(cubes))
    except httpx.HTTPError as error:
        raise Unavailable(f"the system did not answer: {type(error).__name__}") from error
    if checked.cube and "refused" in done[checked.cube]:
        raise InvalidRequest(f"retention of {checked.cube}: {done[checked.cube]['refused']}")
    return {"cubes": done}


def _cubes(client: httpx.Client) -> Iterator[str]:
    cursor: str | None = None
    while True:
        query = {"limit": PAGE} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/cubes", params=query).raise_for_status().json()
        yield from (cube["id"] for cube in page["items"])
        cursor = page["next"]
        if cursor is None:
            return


def _retain(client: httpx.Client, cube: str) -> dict[str, Any]:
    counts: Counter[str] = Counter(archived=0, erased=0, derived=0)
    while True:
        answer = client.post(f"/v1/cubes/{cube}/retention")
        if answer.status_code in (403, 404):
            return {**counts, "refused": answer.json()["detail"]}
        part = answer.raise_for_status().json()
        for kind in ("archived", "erased", "derived"):
            counts[kind] += len(part[kind])
        if not part["more"]:
            return {**counts, "held": part["held"]}
