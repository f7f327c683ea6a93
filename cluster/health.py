"""How the parts of a system are: asked of each, none waited for beyond its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from actors.errors import MemosError, Unavailable
from actors.memory.ports import JsonObject
from cluster.directory import EMBEDDER, REDACTOR, SYSTEM, Directory, host_name
from cluster.status_report import status_report
from cluster.topology import Topology


class Health:
    """Each part may take `within_s` to say how it is."""

    def __init__(self, directory: Directory, topology: Topology, within_s: float) -> None:
        self._directory = directory
        self._topology = topology
        self._within_s = within_s

    async def status(self) -> JsonObject:
        """What each part says of itself, as `status_report` orders it; none delays it beyond `within_s`."""
        names = [SYSTEM, EMBEDDER, *(host_name(h) for h in range(self._topology.hosts))]
        nodes, redactor, *said = await asyncio.gather(
            self._in_time("nodes", self._directory.nodes()),
            self._in_time(REDACTOR, self._redactor()),
            *(self._in_time(name, self._directory.call(name, "status")) for name in names),
        )
        told = dict(zip(names, said, strict=True))
        return status_report(self._topology, nodes, told if redactor is None else {**told, REDACTOR: redactor})

    async def _redactor(self) -> JsonObject | None:
        """None while it is not there: it is started when a cube needs it."""
        try:
            found: JsonObject = await self._directory.call(REDACTOR, "status")
        except Unavailable:
            return None
        return found

    async def ready(self) -> list[str]:
        """What is not ready yet; empty when system, hosts and embedder all answer."""
        names = [SYSTEM, EMBEDDER, *(host_name(h) for h in range(self._topology.hosts))]
        answers = await asyncio.gather(*(self._in_time(name, self._directory.call(name, "ready")) for name in names))
        return [
            f"{name}: {reason}"
            for name, answer in zip(names, answers, strict=True)
            for reason in ([answer.detail] if isinstance(answer, MemosError) else answer)
        ]

    async def _in_time(self, name: str, answer: Awaitable[Any]) -> Any:
        """What a part answers about itself, or the error why it does not, soon."""
        within_s = self._within_s
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            return Unavailable(f"{name} did not answer within {within_s:g} s", part=name)
        except MemosError as error:
            return error
