"""Who sees what: principals with random grants send requests of every kind, and nothing may tell of what is hidden.

    python -m jobs.bench.access --url URL --key KEY --json FILE

A third of the requests go to cubes with a role, a third to hidden ones, a third to cubes that do not exist. Passes
when every request is answered as the role says; no answer, count, error or cursor tells of a cube without a role, nor
does the time that a refusal takes (medians of hidden and missing within `limit`); and the audits, read afterwards,
hold each request once for every cube that it touched.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from pydantic import Field

from actors.errors import Unavailable
from jobs.bench.access_trial import ROLES, Deed, Judge, World, deeds
from jobs.bench.contract import Benchmark, Count, Progress, Seconds, ServerArguments
from jobs.bench.http_load import Client, Target
from jobs.bench.report import Json, percentiles, ratio

PAUSE_S = 0.05
"""How long a client rests after it was told to come back later."""

ENOUGH = 50
"""Refusals of a kind, hidden and missing each, above which their times are compared."""

SHOWN = 20
"""What is wrong, at most, that the report spells out."""


class AccessArguments(ServerArguments):
    principals: Count = 50
    cubes: Count = 50
    memories: Count = Field(20, description="in each cube, before")
    requests: Count = 20_000
    chats: Count = Field(20, description="chats among the requests: the model answers one at a time")
    clients: Count = Field(32, description="requests at once")
    limit: Seconds = Field(1.25, description="median of refusals for hidden ÷ missing cubes, or the inverse, at most")
    seed: int = 0


def measure(args: AccessArguments, progress: Progress) -> Json:
    world = World.of(uuid.uuid4().hex[:8], args.seed, args.principals, args.cubes)
    with httpx.Client(base_url=args.url, headers=_bearer(args.key), timeout=60, trust_env=False) as root:
        with _made(root, args.url, world, args.memories) as keys:
            progress(0.1)
            sent = {deed.request: deed for deed in deeds(world, args.seed + 1, args.requests, args.chats)}
            run = _Run(Target.of(args.url, args.key), keys, Judge(world))
            began = time.perf_counter()
            asyncio.run(run.all(list(sent.values()), args.clients))
            elapsed_s = time.perf_counter() - began
            progress(0.8)
            rows = list(_rows(root, world))
            run.judge.settle(rows, sent)
            verified = [cube for cube in world.cubes if not root.get(f"/v1/cubes/{cube}/verify").json()["ok"]]
        archived = len(_page(root, f"/v1/cubes/{world.cubes[0]}/audit?limit=1", None)["items"])
    classes = run.timing()
    wrong = [*run.judge.wrong, *(f"{cube} does not verify" for cube in verified)]
    alike = all(1 / args.limit <= kind["hidden_to_missing"] <= args.limit for kind in classes.values())
    return {
        "requests": len(sent),
        "requests_per_s": round(len(sent) / elapsed_s, 1),
        "told_to_come_back": run.refusals,
        "answers": dict(sorted(run.judge.answers.items())),
        "audit_rows": sum(row["request"] in sent for row in rows),
        "audit_rows_expected": run.judge.rows_expected,
        "audit_of_an_archived_cube": archived,
        "refusals": classes,
        "wrong": len(wrong),
        "wrong_first": wrong[:SHOWN],
        "passed": not wrong and alike and archived == 1,
    }


@dataclass(slots=True)
class _Run:
    """The clients' side: every request is sent until it is let in, and its answer judged."""

    target: Target
    keys: Mapping[str, str]
    judge: Judge
    refusals: int = 0
    took_s: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    async def all(self, todo: list[Deed], clients: int) -> None:
        left = iter(todo)

        async def work() -> None:
            async with Client(self.target) as client:
                for deed in left:
                    await self._one(client, deed)

        await asyncio.gather(*(work() for _ in range(clients)))

    async def _one(self, client: Client, deed: Deed) -> None:
        target = Target(self.target.host, self.target.port, self.keys[deed.principal])
        head, _, body = target.request(deed.method, deed.path, deed.body).partition(b"\r\n\r\n")
        data = head + f"\r\nX-Request-Id: {deed.request}\r\n\r\n".encode() + body
        while True:
            began = time.perf_counter()
            answer = await client.send(data)
            if answer.status not in (429, 503):
                break
            self.refusals += 1
            await asyncio.sleep(PAUSE_S)
        world = self.judge.world
        if len(deed.cubes) == 1 and not world.role(deed.principal, deed.cubes[0]):
            group = "hidden" if deed.cubes[0] in world.roles else "missing"
            self.took_s[deed.kind, group].append(time.perf_counter() - began)
        self.judge.answered(deed, answer.status, answer.body)

    def timing(self) -> dict[str, Any]:
        """How long refusals took, by kind: hidden against missing."""
        found: dict[str, Any] = {}
        for kind in sorted({kind for kind, _ in self.took_s}):
            hidden, missing = self.took_s[kind, "hidden"], self.took_s[kind, "missing"]
            if min(len(hidden), len(missing)) >= ENOUGH:
                apart = ratio(float(np.median(hidden)), float(np.median(missing)))
                told = {"hidden": percentiles(hidden), "missing": percentiles(missing)}
                found[kind] = {"count": [len(hidden), len(missing)], **told, "hidden_to_missing": apart}
        return found


@contextmanager
def _made(root: httpx.Client, url: str, world: World, memories: int) -> Iterator[dict[str, str]]:
    """The world's principals, cubes, memories and grants; the key of each principal. Gone at the end."""
    issued = {name: _sent(root, "POST", "/v1/keys", {"principal": name}) for name in world.principals}
    try:
        for cube, roles in world.roles.items():
            owner = {"headers": _bearer(issued[world.owner(cube)]["key"])}
            _sent(root, "POST", "/v1/cubes", {"id": cube}, **owner)
            texts = [{"text": f"{world.secret(cube)} number {n}"} for n in range(memories)]
            added = _sent(root, "POST", f"/v1/cubes/{cube}/memories", {"texts": texts}, **owner)
            world.memories[cube] = [memory["id"] for memory in added["memories"]]
            for name, role in roles.items():
                if role <= len(ROLES):
                    _sent(root, "PUT", f"/v1/cubes/{cube}/grants/{name}", {"role": ROLES[role - 1]}, **owner)
        yield {name: key["key"] for name, key in issued.items()}
    finally:
        for cube in world.cubes:
            root.delete(f"/v1/cubes/{cube}", params={"reason": "benchmark over"})
        for key in issued.values():
            root.delete(f"/v1/keys/{key['id']}")


def _sent(root: httpx.Client, method: str, path: str, body: Any, **options: Any) -> Any:
    answer = root.request(method, path, json=body, **options)
    if not answer.is_success:
        raise Unavailable(f"{method} {path} answers {answer.status_code}: {answer.text[:200]}")
    return answer.json()


def _rows(root: httpx.Client, world: World) -> Iterator[Mapping[str, Any]]:
    """Every audit row of the world's cubes, and of the system what concerns none of them."""
    mine, ghosts = set(world.cubes), set(world.ghosts)
    for place in (*(f"/v1/cubes/{cube}/audit?limit=200" for cube in world.cubes), "/v1/audit?limit=200"):
        cursor: str | None = None
        while True:
            page = _page(root, place, cursor)
            yield from (
                row
                for row in page["items"]
                if (
                    row["cube"] in mine
                    if place.startswith("/v1/cubes")
                    else row["cube"] is None or row["cube"] in ghosts
                )
            )
            cursor = page["next"]
            if cursor is None:
                break


def _page(root: httpx.Client, place: str, cursor: str | None) -> Any:
    answer = root.get(place + (f"&cursor={cursor}" if cursor else ""))
    if not answer.is_success:
        raise Unavailable(f"{place} answers {answer.status_code}: {answer.text[:200]}")
    return answer.json()


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


BENCHMARK = Benchmark("access", __doc__, AccessArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
