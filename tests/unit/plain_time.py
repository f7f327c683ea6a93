"""The time machine of the plain backend."""

from __future__ import annotations

from typing import Any

from actors.errors import AlreadyExists
from actors.listing_differences import DifferencePage, differences_of
from actors.memory.cube import CubeState
from actors.memory.events import GENESIS
from actors.memory.forking import begin, cut
from actors.memory.governance import Action, Caller, CubeAccess
from actors.memory.requests import CubeView, ForkPoint, Moment
from actors.memory.time_commands import begin_fork, roll_back
from actors.memory.time_requests import CompareVersions, ForkCube, RolledBack


class PlainTimeMachine:
    """Mixed into PlainBackend."""

    cubes: dict[str, Any]
    _enter: Any
    _run: Any
    _fail: Any

    async def roll_back(self, caller: Caller, cube_id: str, to: Moment, reason: str) -> RolledBack:
        self._fail("roll_back")
        cube = self._enter(caller, Action.ROLL_BACK, cube_id)
        done: RolledBack = self._run(caller, cube, lambda d, o: roll_back(d, o, to, reason))
        return done

    async def compare(self, caller: Caller, cube_id: str, request: CompareVersions) -> DifferencePage:
        return differences_of(self._enter(caller, Action.READ, cube_id).state, request)

    async def fork_cube(self, caller: Caller, cube_id: str, request: ForkCube) -> CubeView:
        self._fail("fork_cube")
        origin = self._enter(caller, Action.FORK, cube_id)
        version = origin.state.version_of(request.as_of)
        if request.id in self.cubes:
            raise AlreadyExists(f"there is a cube {request.id!r} already")
        head = origin.heads[version - 1] if version else GENESIS
        fork = type(origin)(CubeState(request.id), CubeAccess(request.id, caller.principal), origin.heads[:version])
        name = origin.state.name if request.name is None else request.name
        settings = {"owner": caller.principal, "name": name, "policy": origin.state.policy}
        begin(fork.state, cut(origin.state, version, request.id, head))
        self._run(caller, fork, lambda d, o: begin_fork(d, o, ForkPoint(cube_id, version), settings))
        self.cubes[request.id] = fork
        return await self.read_cube(caller, request.id)

    async def read_cube(self, caller: Caller, cube_id: str) -> CubeView:
        raise AssertionError("PlainBackend has it")
