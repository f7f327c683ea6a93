"""Several cubes and who may do what on them, as a plain model: roles in a dictionary, cubes as `PlainModel`.

Each method does what its namesake of the gateway does for a caller, and raises what that must raise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from actors.errors import AlreadyExists, CubeNotFound, Forbidden, InvalidRequest, PrincipalNotFound
from actors.memory.governance import Role
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from tests.unit.plain_model import PlainModel, Seen

GOVERNOR = "root"
MOVED_BY = {State.ARCHIVED: Role.WRITER}
"""The role that a transition to a state takes; of others it is a curator's."""


@dataclass
class PlainCube:
    owner: str
    model: PlainModel = field(default_factory=PlainModel)
    grants: dict[str, Role] = field(default_factory=dict)
    origin: str = ""


@dataclass
class PlainCubes:
    principals: tuple[str, ...]
    cubes: dict[str, PlainCube] = field(default_factory=dict)

    def role(self, who: str, cube_id: str) -> Role | None:
        cube = self.cubes.get(cube_id)
        if cube is None:
            return None
        return Role.OWNER if who in (GOVERNOR, cube.owner) else cube.grants.get(who)

    def entered(self, who: str, cube_id: str, needed: Role = Role.READER) -> PlainModel:
        """The cube's memories, for who has the role that is needed."""
        role = self.role(who, cube_id)
        if role is None:
            raise CubeNotFound("hidden")
        if role < needed:
            raise Forbidden("a smaller role")
        return self.cubes[cube_id].model

    def read(self, who: str, cube_id: str, memory_id: str) -> Seen:
        return self.entered(who, cube_id).existing(memory_id)

    def change(self, who: str, cube_id: str, memory_id: str, text: str) -> None:
        self.entered(who, cube_id, Role.WRITER).change(memory_id, text)

    def move(self, who: str, cube_id: str, memory_id: str, to: State) -> None:
        seen = self.entered(who, cube_id).existing(memory_id)
        if seen.state is State.FROZEN and to in (State.ACTIVATED, State.ARCHIVED):
            self._governs(who)
        model = self.entered(who, cube_id, MOVED_BY.get(to, Role.CURATOR))
        model.move(memory_id, to)

    def merge(self, who: str, cube_id: str, memory_id: str, into: str, kind: Absorption) -> None:
        self.entered(who, cube_id).existing(memory_id)
        self.entered(who, cube_id, Role.CURATOR).merge(memory_id, into, kind)

    def split(self, who: str, cube_id: str, memory_id: str) -> None:
        self.entered(who, cube_id, Role.CURATOR).split(memory_id)

    def roll_back(self, who: str, cube_id: str, to: int) -> set[str]:
        return self.entered(who, cube_id, Role.CURATOR).roll_back(to)

    def fork(self, who: str, cube_id: str, version: int, fork_id: str) -> None:
        model = self.entered(who, cube_id).forked(version)
        if fork_id in self.cubes:
            raise AlreadyExists("taken")
        self.cubes[fork_id] = PlainCube(who, model, origin=cube_id)

    def grant(self, who: str, cube_id: str, principal: str, role: Role | None) -> None:
        self.entered(who, cube_id, Role.OWNER)
        cube = self.cubes[cube_id]
        if principal == cube.owner:
            raise InvalidRequest("owns it")
        if role is None:
            cube.grants.pop(principal, None)
            return
        if principal not in self.principals:
            raise PrincipalNotFound("unknown")
        cube.grants[principal] = role

    # erasure

    def erase(self, who: str, cube_id: str, memory_id: str, reason: str) -> None:
        """What goes with it in its cube, and in every fork that has it: all of it, or nothing."""
        model = self.entered(who, cube_id, Role.CURATOR)
        if memory_id in model.erased:
            return
        going = model.goes_with({memory_id})
        self._may_go(who, model, going, reason)
        known = {cube_id: going}
        asked: list[tuple[str, set[str]]] = []
        while True:
            fresh = {fork: ids - known.get(fork, set()) for fork, ids in self._inherited(known)}
            fresh = {fork: ids for fork, ids in sorted(fresh.items()) if ids}
            if not fresh:
                break
            for fork, ids in fresh.items():
                also = self.cubes[fork].model.goes_with(ids)
                self._may_go(who, self.cubes[fork].model, also, reason)
                known[fork] = known.get(fork, set()) | also
                asked.append((fork, ids))
        for fork, ids in reversed(asked):
            self.cubes[fork].model.erase(ids)
        model.erase({memory_id})

    def _may_go(self, who: str, model: PlainModel, going: set[str], reason: str) -> None:
        if any(model.now[one].state is State.FROZEN for one in going):
            self._governs(who)
            if not reason:
                raise InvalidRequest("takes a reason")

    def _inherited(self, known: dict[str, set[str]]) -> Iterator[tuple[str, set[str]]]:
        """By fork, the memories that it has of those known of the cubes that it comes from."""
        for fork_id in self.cubes:
            found: set[str] = set()
            origin = self.cubes[fork_id].origin
            while origin:
                found |= known.get(origin, set()) & self.cubes[fork_id].model.now.keys()
                origin = self.cubes[origin].origin
            yield fork_id, found

    def _governs(self, who: str) -> None:
        if who != GOVERNOR:
            raise Forbidden("governors only")
