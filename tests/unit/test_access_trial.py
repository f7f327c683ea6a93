"""Random grants, requests of every kind through HTTP: nothing tells of a cube without a role, all is in the audit.

The benchmark `access` does the same with 50 principals, 50 cubes and 20,000 concurrent requests against an instance.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from actors.memory.governance import Role
from actors.memory.requests import NewCube, NewKey
from jobs.bench.access_trial import NEEDS, Deed, Judge, World, deeds
from serve.http import ApiSettings, build_api
from tests.unit.gateway_rig import GatewayRig
from tests.unit.hosts import texts
from tests.unit.plain_models import PlainChat, PlainEmbedder

AT_ONCE = 8


class Trial:
    """A small world behind the real gateway, hosts and HTTP interface."""

    def __init__(self, seed: int) -> None:
        self.rig = GatewayRig()
        self.world = World.of("ab", seed, principals=6, cubes=6, density=0.3)
        self.keys: dict[str, str] = {}
        self.api = build_api(self.rig.gateway, PlainChat(), PlainEmbedder(), self.rig.system.clock, ApiSettings())

    async def fill(self) -> None:
        gateway, callers = self.rig.gateway, {}
        for name in self.world.principals:
            self.keys[name] = (await gateway.create_key(self.rig.root, NewKey(name))).secret
            callers[name] = (await gateway.authenticate(self.keys[name], "fill")).caller
        for cube, roles in self.world.roles.items():
            owner = callers[self.world.owner(cube)]
            await gateway.create_cube(owner, NewCube(cube))
            added = await gateway.add(owner, cube, texts(*(f"{self.world.secret(cube)} {n}" for n in range(3))))
            self.world.memories[cube] = [memory.id for memory in added.memories]
            for name, role in roles.items():
                if role < 5:
                    await gateway.put_grant(owner, cube, name, Role(role))

    async def send(self, client: httpx.AsyncClient, deed: Deed) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[deed.principal]}", "X-Request-Id": deed.request}
        return await client.request(deed.method, deed.path, json=deed.body, headers=headers)

    async def rows(self, client: httpx.AsyncClient) -> list[dict[str, Any]]:
        """All audit rows: of each cube, and of the system what concerns none of them."""
        found: list[dict[str, Any]] = []
        for place in (*(f"/v1/cubes/{cube}/audit" for cube in self.world.cubes), "/v1/audit"):
            cursor: str | None = ""
            while cursor is not None:
                query = {"limit": 50, **({"cursor": cursor} if cursor else {})}
                headers = {"Authorization": f"Bearer {self.rig.system.secret.text}"}
                page = (await client.get(place, params=query, headers=headers)).raise_for_status().json()
                cubes = {None, *self.world.ghosts} if place == "/v1/audit" else {*self.world.cubes}
                found += [row for row in page["items"] if row["cube"] in cubes]
                cursor = page["next"]
        return found

    async def run(self, count: int) -> Judge:
        await self.fill()
        judge, sent = Judge(self.world), {deed.request: deed for deed in deeds(self.world, 7, count, chats=6)}
        left = iter(sent.values())

        async def work(client: httpx.AsyncClient) -> None:
            for deed in left:
                answer = await self.send(client, deed)
                judge.answered(deed, answer.status_code, answer.content)

        transport = httpx.ASGITransport(app=self.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://memos.test") as client:
            await asyncio.gather(*(work(client) for _ in range(AT_ONCE)))
            judge.settle(await self.rows(client), sent)
        return judge


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_tells_of_a_cube_without_a_role_and_all_is_in_the_audit(seed: int) -> None:
    judge = asyncio.run(Trial(seed).run(700))
    assert judge.wrong == []
    assert {answer.rpartition(" ")[0] for answer in judge.answers} == {*NEEDS, "list"}


def test_the_judge_sees_what_should_not_be() -> None:
    world = World("ab", ("p", "q"), ("trial-ab-c0", "trial-ab-c1"), ("trial-ab-g0",), {"trial-ab-c0": {"p": 5}})
    deed = Deed("r1", "q", "read", "GET", "/v1/cubes/trial-ab-c0", None, ("trial-ab-c0",))
    problem = {"type": "urn:memos:problem:cube-not-found", "instance": "x", "detail": "no cube 'trial-ab-c0'"}
    for status, document, rows in (
        (200, {"id": "trial-ab-c0"}, 1),
        (403, problem, 1),
        (404, {**problem, "detail": "ask trial-ab-c1"}, 1),
        (404, {**problem, "detail": "secretofc0x"}, 1),
        (404, problem, 0),
        (404, problem, 2),
    ):
        judge = Judge(world)
        judge.answered(deed, status, json.dumps({**problem, **document}).encode())
        judge.settle([{"request": "r1", "cube": "trial-ab-c0", "principal": "q"}] * rows, {"r1": deed})
        assert judge.wrong
