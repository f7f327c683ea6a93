"""The time machine of a host: moments of a cube, going back, comparing, and what a fork begins with.

Each call authorises first. A rollback takes a curator: it may revive and archive any memory. A fork takes a reader, who
owns the copy; of a cube that shows some of its readers less than is there it takes the owner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from actors.access import AccessTable
from actors.errors import VersionNotFound
from actors.listing_differences import DifferencePage, differences_of
from actors.memory.cube import CubeState
from actors.memory.draft import Origin
from actors.memory.governance import Action, Caller, role_on
from actors.memory.ports import Clock
from actors.memory.requests import ForkPoint, Moment, NewCube
from actors.memory.time_commands import roll_back
from actors.memory.time_requests import CompareVersions, ForkCube, RolledBack
from actors.shard import Shard


class Enter(Protocol):
    """Authorises, and gives the cube's shard."""

    def __call__(self, caller: Caller, action: Action, cube_id: str) -> Shard: ...


class TimeMachine:
    """Safe to use from many threads."""

    def __init__(self, enter: Enter, access: AccessTable, clock: Clock) -> None:
        self._enter = enter
        self._access = access
        self._clock = clock

    def check_past(self, moment: Moment | None) -> None:
        """Raise VersionNotFound for a time that has not come yet: what it will show is not settled."""
        if moment is not None and moment.time_us is not None and moment.time_us > self._clock.now_us():
            raise VersionNotFound("the time lies in the future; an earlier one, or none for now, can be answered")

    def version_of(self, state: CubeState, moment: Moment | None) -> int | None:
        """The cube version that a moment names, None for now. Raises VersionNotFound."""
        self.check_past(moment)
        return None if moment is None else state.version_of(moment)

    def fork_point(self, caller: Caller, point: ForkPoint | None) -> ForkPoint | None:
        """Where a cube was forked, as the caller may know it: without the origin's id for who has no role there."""
        if point is None:
            return None
        role = role_on(caller, self._access.cluster(), self._access.cube(point.cube_id))
        return point if role is not None else replace(point, cube_id="")

    def roll_back(self, caller: Caller, cube_id: str, to: Moment, reason: str) -> RolledBack:
        """Durable when it returns; raises VersionNotFound for what the cube has not reached."""
        shard = self._enter(caller, Action.ROLL_BACK, cube_id)
        self.check_past(to)
        origin = Origin(caller.principal, caller.request_id, self._clock.now_us())
        return shard.run(cube_id, lambda draft: roll_back(draft, origin, to, reason))

    def compare(self, caller: Caller, cube_id: str, request: CompareVersions) -> DifferencePage:
        """A page of what is different between two moments."""
        shard = self._enter(caller, Action.READ, cube_id)
        self.check_past(request.first)
        self.check_past(request.second)
        with shard.reading(cube_id) as cube:
            return differences_of(cube.state, request)

    def plan_fork(self, caller: Caller, cube_id: str, request: ForkCube) -> NewCube:
        """What is to be registered as a fork: it lives with its origin, and is bound by the policy that its origin has
        now, whatever that was at the fork point. Changes nothing.
        """
        shard = self._enter(caller, Action.FORK, cube_id)
        self.check_past(request.as_of)
        with shard.reading(cube_id) as cube:
            state = cube.state
            version, policy = state.version_of(request.as_of), state.policy
            name = state.name if request.name is None else request.name
        if policy.get("redaction", {}).get("mode") == "mask":
            self._access.authorise(caller, Action.CONFIGURE, cube_id)
        return NewCube(request.id, name, policy, ForkPoint(cube_id, version), shard.number)
