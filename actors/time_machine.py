"""The time machine of a host: moments of a cube, going back, comparing, and what a fork begins with.

Each call authorises first. A rollback takes a curator: it may revive and archive any memory. A fork takes a reader, who
owns the copy; of a cube that shows some of its readers less than is there it takes the owner.
"""

from __future__ import annotations

from dataclasses import replace

from actors.access import AccessTable
from actors.collecting import collecting_later
from actors.discretion import Discretion
from actors.errors import VersionNotFound
from actors.listing_differences import DifferencePage, differences_of
from actors.memory.auditing import AuditAction, Note
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.differences import Difference
from actors.memory.disclosure import Disclosure
from actors.memory.draft import Origin
from actors.memory.governance import Action, Caller, role_on
from actors.memory.ports import Clock
from actors.memory.requests import ForkPoint, Moment, NewCube
from actors.memory.time_commands import roll_back
from actors.memory.time_requests import CompareVersions, ForkCube, RolledBack
from actors.owned_shards import Entered


class TimeMachine:
    """A part of CubeHost: `entered` authorises, gives the cube's shard and records. Safe to use from many threads."""

    def __init__(self, entered: Entered, access: AccessTable, clock: Clock, discretion: Discretion) -> None:
        self._entered = entered
        self._access = access
        self._clock = clock
        self._discretion = discretion

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
        note = Note(AuditAction.CHANGE, detail={"what": "rollback"})
        with self._entered(caller, Action.ROLL_BACK, cube_id, note) as shard:
            self.check_past(to)
            origin = Origin(caller.principal, caller.request_id, self._clock.now_us())
            rule = self._discretion.rule(shard, cube_id)
            why = self._discretion.gate.reason(rule, reason)

            def decide(draft: CubeDraft) -> RolledBack:
                with collecting_later():
                    return roll_back(draft, origin, to, why)

            done = shard.run(cube_id, rule.guarding(decide))
            note.detail |= {"to": done.to, "version": done.version, "changed": done.changed}
            return done

    def compare(self, caller: Caller, cube_id: str, request: CompareVersions) -> DifferencePage:
        """A page of what is different between two moments."""
        note = Note(AuditAction.READ, detail={"what": "diff"})
        with self._entered(caller, Action.READ, cube_id, note) as shard:
            self.check_past(request.first)
            self.check_past(request.second)
            with shard.reading(cube_id) as cube:
                page = differences_of(cube.state, request)
                seen = self._discretion.seen(caller, cube.state)
            page = replace(page, items=tuple(_seen(each, seen) for each in page.items))
            note.detail |= {"from": page.first, "to": page.second}
            note.ids = tuple(memory.id for each in page.items if (memory := each.after or each.before) is not None)
            return page

    def plan_fork(self, caller: Caller, cube_id: str, request: ForkCube) -> NewCube:
        """What is to be registered as a fork: it lives with its origin, and is bound by the policy that its origin has
        now, whatever that was at the fork point. Changes nothing.
        """
        note = Note(AuditAction.READ, detail={"what": "fork", "into": request.id[:128]})
        with self._entered(caller, Action.FORK, cube_id, note) as shard:
            self.check_past(request.as_of)
            with shard.reading(cube_id) as cube:
                state = cube.state
                version, policy = state.version_of(request.as_of), state.policy
                name = state.name if request.name is None else request.name
            if policy.get("redaction", {}).get("mode") == "mask":
                self._access.authorise(caller, Action.CONFIGURE, cube_id)
            note.detail["version"] = version
            return NewCube(request.id, name, policy, ForkPoint(cube_id, version), shard.number)


def _seen(found: Difference, seen: Disclosure) -> Difference:
    before = None if found.before is None else seen.shown(found.before)
    return replace(found, before=before, after=None if found.after is None else seen.shown(found.after))
