"""Erasing over cubes: first what was derived in other cubes, wherever it is, then what was asked for.

So what was asked for is there until all that follows from it is gone, and a repeat of a request that was cut off finds
the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from actors.errors import AccessError, NotFound
from actors.memory.erasure import EraseMemories, Name, Receipt
from actors.memory.governance import Caller

OnCube = Callable[..., Awaitable[Any]]
"""(cube id, method, arguments): a call of the host that owns the cube, repeated while it restarts."""

OnHosts = Callable[..., Awaitable[Sequence[Any]]]
"""(method, arguments): the same call of every host; all answers."""


class ClusterErasure:
    """Safe to use from one event loop."""

    def __init__(self, on_cube: OnCube, on_hosts: OnHosts, forks_of: Callable[[str], Awaitable[Sequence[str]]]) -> None:
        """`forks_of(cube_id)`: the cubes that were forked from one, and from those, the oldest first."""
        self._on_cube = on_cube
        self._on_hosts = on_hosts
        self._forks_of = forks_of

    async def erase(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        """The receipt, once nothing is left in any cube. Its `derived` names those of cubes that the caller may read.

        Raises what a host raises; nothing was erased then, or only things that were derived.
        """
        there: list[Name] = await self._on_cube(cube_id, "plan_erasure", caller, cube_id, request)
        elsewhere: list[Name] = []
        if there:
            elsewhere = await self._erase_derived(caller, there, request)
        receipt: Receipt = await self._on_cube(
            cube_id, "erase", caller, cube_id, replace(request, elsewhere=tuple(elsewhere))
        )
        return await self._visible(caller, await self._with_late(caller, receipt, request))

    async def erase_cube(self, caller: Caller, cube_id: str, reason: str) -> Receipt:
        """The receipt, once nothing of the cube is left with its host. The catalogue is the gateway's next step."""
        there: list[Name] = await self._on_cube(cube_id, "plan_cube_erasure", caller, cube_id, reason)
        request = EraseMemories((), reason)
        elsewhere = await self._erase_derived(caller, there, request) if there else []
        receipt: Receipt = await self._on_cube(cube_id, "erase_cube", caller, cube_id, reason, elsewhere)
        return await self._visible(caller, await self._with_late(caller, receipt, request))

    async def _with_late(self, caller: Caller, receipt: Receipt, request: EraseMemories) -> Receipt:
        """The receipt with what was derived while the erasure ran; once it is done, nothing can be any more. Looked for
        again by a repeat, in case the first request was cut off here.
        """
        gone = [*((receipt.cube_id, memory_id) for memory_id in receipt.erased), *receipt.derived]
        late = await self._erase_derived(caller, gone, request) if receipt.erased else []
        return replace(receipt, derived=tuple(dict.fromkeys([*receipt.derived, *late])))

    async def _erase_derived(self, caller: Caller, there: list[Name], request: EraseMemories) -> list[Name]:
        """Find all that follows from `there`, ask whether it may go, then let it go, the furthest first."""
        known = list(there)
        asked: list[tuple[str, EraseMemories]] = []
        while True:
            answers = await self._on_hosts("derived", known)
            found = {name for names in answers for name in names} | await self._inherited(known)
            fresh = sorted(found - set(known))
            if not fresh:
                break
            origins = (*known, *fresh)  # a fork's fork has it from the fork
            for cube_id, names in groupby(fresh, key=lambda name: name[0]):
                ids = tuple(memory for _, memory in names)
                erasing = EraseMemories(ids, request.reason, origins=origins, cause=request.cause)
                known += await self._on_cube(cube_id, "plan_derived_erasure", caller, cube_id, erasing)
                asked.append((cube_id, erasing))
        for cube_id, erasing in reversed(asked):
            await self._on_cube(cube_id, "erase_derived", caller, cube_id, erasing)
        return list(dict.fromkeys(known[len(there) :]))

    async def _inherited(self, known: Sequence[Name]) -> set[Name]:
        """The same memories in cubes that were forked from theirs."""
        found: set[Name] = set()
        for cube_id in {cube for cube, _ in known}:
            ids = tuple(memory for cube, memory in known if cube == cube_id)
            for fork in await self._forks_of(cube_id):
                found.update(await self._on_cube(fork, "inherited", fork, ids))
        return found

    async def _visible(self, caller: Caller, receipt: Receipt) -> Receipt:
        """Without what the caller may not know of."""
        cubes = {cube for cube, _ in receipt.derived} - {receipt.cube_id}
        may = dict(zip(cubes, await asyncio.gather(*(self._may_read(caller, cube) for cube in cubes)), strict=True))
        return replace(receipt, derived=tuple(name for name in receipt.derived if may.get(name[0], True)))

    async def _may_read(self, caller: Caller, cube_id: str) -> bool:
        try:
            await self._on_cube(cube_id, "read_cube", caller, cube_id)
        except (AccessError, NotFound):
            return False
        return True
