"""CubeHost: owns shards, checks who may do what, and runs commands and reads on cubes. No Ray here.

Methods block and are safe to call from many threads. Each authorises first: a principal without a role
gets CubeNotFound before anything of the cube is touched.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import Any

from actors.access import AccessTable
from actors.clock import SystemClock
from actors.errors import CubeNotFound, Fenced, MemosError
from actors.footprint import footprint
from actors.host_archives import HostArchives
from actors.listing import page_of
from actors.memory import commands
from actors.memory.commands import CubeDraft
from actors.memory.cube import CubeState
from actors.memory.draft import Origin
from actors.memory.governance import AccessSource, Action, Caller, ClusterAccess, CubeAccess
from actors.memory.item import Memory
from actors.memory.placement import shard_of
from actors.memory.ports import Clock, Embedder, JsonObject
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeHits,
    CubeView,
    ListMemories,
    Moment,
    MoveMemory,
    Page,
    SearchCube,
    VerifyReport,
    Wait,
)
from actors.memory_budget import MemoryBudget
from actors.shard import Shard
from actors.shard_opening import HostSpec, open_shard

__all__ = ["CubeHost", "HostSpec"]

log = logging.getLogger(__name__)


class CubeHost(HostArchives):
    """The shards that one process owns. `open_shard(number, budget)` opens one of `spec.shards`."""

    def __init__(
        self,
        spec: HostSpec,
        open_shard: Callable[[int, MemoryBudget], Shard],
        access: AccessSource,
        clock: Clock,
    ) -> None:
        super().__init__(spec.spool, spec.chain_key, spec.archive_bytes, clock)
        self._spec = spec
        self._budget = MemoryBudget(spec.open_bytes)
        self._open_shard = open_shard
        self._access = AccessTable(access)
        self._reopening = threading.Lock()
        self._shards: dict[int, Shard] = {}
        try:
            for number in spec.shards:
                self._shards[number] = open_shard(number, self._budget)
        except BaseException:
            self.close()  # what stays open here would lock out the next try
            raise

    @classmethod
    def open(cls, spec: HostSpec, embedder: Embedder, access: AccessSource) -> CubeHost:
        """Claim every shard of the spec on its storage. Raises what opening a journal raises."""
        return cls(spec, lambda number, budget: open_shard(spec, number, embedder, budget), access, SystemClock())

    # cubes

    def create_cube(self, caller: Caller, cube_id: str) -> CubeView:
        """Record a registered cube's first event; a repeat changes nothing."""
        return self.read_cube(caller, cube_id)

    def read_cube(self, caller: Caller, cube_id: str) -> CubeView:
        shard = self._enter(caller, Action.READ, cube_id)
        with shard.reading(cube_id) as cube:
            return self._view(cube.state)

    def change_cube(self, caller: Caller, cube_id: str, name: str | None, policy: Mapping[str, Any] | None) -> CubeView:
        shard = self._enter(caller, Action.CONFIGURE, cube_id)
        origin = self._origin(caller)
        shard.run(cube_id, lambda draft: commands.configure(draft, origin, name, policy))
        with shard.reading(cube_id) as cube:
            return self._view(cube.state)

    def _view(self, state: CubeState) -> CubeView:
        access = self._access.cube(state.cube_id)
        if access is None:
            raise CubeNotFound(f"no cube {state.cube_id!r}", cube=state.cube_id)
        return CubeView(
            id=state.cube_id,
            name=state.name,
            owner=access.owner,
            version=state.version,
            created_at_us=state.created_at_us,
            counts=state.counts(),
            policy=state.policy,
            grants={access.owner: "owner", **{who: role.label for who, role in access.grants.items()}},
        )

    # memories

    def add(self, caller: Caller, cube_id: str, request: AddMemories) -> Added:
        """Durable when it returns; searchable too, when the request waits for the index."""
        [answer] = self.add_many(cube_id, [(caller, request)])
        if isinstance(answer, MemosError):
            raise answer
        return answer

    def add_many(self, cube_id: str, asked: Sequence[tuple[Caller, AddMemories]]) -> list[Added | MemosError]:
        """Several adds to one cube, in order, each answered with what `add` returns or raises. Raises Fenced."""
        answers: list[Added | MemosError | Future[Added]] = []
        with ExitStack() as pinned:
            for caller, request in asked:
                try:
                    answers.append(self._submit_add(pinned, caller, cube_id, request))
                except Exception as error:  # noqa: BLE001 - as in search_many
                    answers.append(_told(error))
            settled = [_settled(answer) for answer in answers]  # all of them, while the cube is pinned
        for answer in settled:
            if isinstance(answer, Fenced):
                raise answer
        waiting = [
            answer.version
            for answer, (_, request) in zip(settled, asked, strict=True)
            if isinstance(answer, Added) and request.wait is Wait.INDEX
        ]
        shard = self._shards.get(shard_of(cube_id, self._spec.shard_count))
        if shard is not None:
            if waiting:
                shard.wait_indexed(cube_id, max(waiting))
            for answer in settled:
                if isinstance(answer, Added):
                    shard.promise(cube_id, answer.version)
        return settled

    def _submit_add(self, pinned: ExitStack, caller: Caller, cube_id: str, request: AddMemories) -> Future[Added]:
        shard = self._enter(caller, Action.ADD, cube_id)
        idempotency = commands.idempotency_of(self._spec.chain_key, cube_id, caller.principal, request)
        origin = self._origin(caller, idempotency)
        decide = partial(commands.add, origin=origin, request=request, random_bytes=secrets.token_bytes)
        return pinned.enter_context(shard.submitted(cube_id, decide))

    def change_memory(self, caller: Caller, cube_id: str, request: ChangeMemory) -> Memory:
        shard = self._enter(caller, Action.CHANGE, cube_id)
        origin = self._origin(caller)
        return shard.run(cube_id, lambda draft: commands.change(draft, origin, request))

    def move_memory(self, caller: Caller, cube_id: str, request: MoveMemory) -> Memory:
        """A requested transition; the role that it takes depends on the states it leads between."""
        shard = self._enter(caller, Action.READ, cube_id)
        origin = self._origin(caller)

        def decide(draft: CubeDraft) -> Memory:
            return commands.move(
                draft, origin, request, lambda action: _ignore(self._access.authorise(caller, action, cube_id))
            )

        return shard.run(cube_id, decide)

    def list_memories(self, caller: Caller, cube_id: str, request: ListMemories) -> Page[Memory]:
        shard = self._enter(caller, Action.READ, cube_id)
        with shard.reading(cube_id) as cube:
            version = None if request.as_of is None else cube.state.version_of(request.as_of)
            return page_of(cube.state, request, version)

    def read_memory(self, caller: Caller, cube_id: str, memory_id: str, as_of: Moment | None) -> Memory:
        shard = self._enter(caller, Action.READ, cube_id)
        with shard.reading(cube_id) as cube:
            return cube.state.at(memory_id[:64], None if as_of is None else cube.state.version_of(as_of))

    def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        """The memory after each change of it, oldest first."""
        shard = self._enter(caller, Action.READ, cube_id)
        with shard.reading(cube_id) as cube:
            cube.state.current(memory_id[:64])
            return tuple(memory for _, memory in cube.state.history[memory_id])

    def search(self, caller: Caller, cube_id: str, request: SearchCube) -> CubeHits:
        return self._enter(caller, Action.SEARCH, cube_id).search(cube_id, request)

    def search_many(self, cube_id: str, asked: Sequence[tuple[Caller, SearchCube]]) -> list[CubeHits | MemosError]:
        """Several searches of one cube, each answered with its hits or with what it raised. Raises Fenced."""
        began = time.monotonic()
        answers: list[CubeHits | MemosError] = []
        for caller, request in asked:
            try:
                shard = self._enter(caller, Action.SEARCH, cube_id)
                answers.append(shard.search(cube_id, request, time.monotonic() - began))
            except Fenced:
                raise
            except Exception as error:  # noqa: BLE001 - the loop of a call for several: each is told its own
                answers.append(_told(error))
        return answers

    def verify(self, caller: Caller, cube_id: str) -> VerifyReport:
        shard = self._enter(caller, Action.VERIFY, cube_id)
        problems = shard.verify(cube_id)
        with shard.reading(cube_id) as cube:
            return VerifyReport(cube_id, cube.state.version, tuple(problems))

    # governance, pushed by the gateway before it acknowledges a change

    def set_access(self, access: CubeAccess) -> None:
        self._access.set_cube(access)

    def set_cluster_access(self, access: ClusterAccess) -> None:
        self._access.set_cluster(access)

    # running

    def status(self) -> JsonObject:
        return {
            "host": self._spec.name,
            **footprint(),
            "memory": self._budget.status(),
            "shards": {str(number): shard.status() for number, shard in self._shards.items()},
        }

    def ready(self) -> list[str]:
        """What is not ready yet, in words; empty when all is."""
        return [reason for shard in self._shards.values() for reason in shard.not_ready()]

    def close(self) -> None:
        """Drain the writers and leave everything on storage."""
        with ExitStack() as closing:  # the others too, when one cannot; the last one first
            for shard in self._shards.values():
                closing.callback(shard.close)
            closing.callback(self._close_archives)

    def _enter(self, caller: Caller, action: Action, cube_id: str) -> Shard:
        """Authorise; then the cube's shard, the cube having its first event."""
        self._access.authorise(caller, action, cube_id)
        shard = self._shard_of(cube_id)
        access = self._access.cube(cube_id)
        if access is not None:
            origin = Origin(access.owner, caller.request_id, self._clock.now_us())
            shard.ensure_created(cube_id, origin, access.owner, access.name, dict(access.policy))
        return shard

    def _shard_of(self, cube_id: str) -> Shard:
        return self._shard(shard_of(cube_id, self._spec.shard_count))

    def _shard(self, number: int) -> Shard:
        """A shard in working order: one that storage failed is opened anew. Raises Fenced when it was taken over."""
        shard = self._shards.get(number)
        if shard is None:
            raise MemosError(f"host {self._spec.name} does not own shard {number}")
        if shard.failure is None or isinstance(shard.failure, Fenced):
            return shard
        with self._reopening:
            if self._shards[number] is shard:
                log.warning("shard %d is opened anew after: %s", number, shard.failure)
                shard.close()
                self._shards[number] = self._open_shard(number, self._budget)
            return self._shards[number]

    def _origin(self, caller: Caller, idempotency: str = "") -> Origin:
        return Origin(caller.principal, caller.request_id, self._clock.now_us(), idempotency)


def _settled(answer: Added | MemosError | Future[Added]) -> Added | MemosError:
    """What became of an add."""
    if not isinstance(answer, Future):
        return answer
    try:
        return answer.result()
    except Exception as error:  # noqa: BLE001 - as in search_many
        return _told(error)


def _told(error: Exception) -> MemosError:
    """An error as its caller gets it; what is none of ours is a bug, and logged."""
    if isinstance(error, MemosError):
        return error
    log.error("a request failed in an unforeseen way", exc_info=error)
    return MemosError("the host failed; its log says why")


def _ignore(_: object) -> None:
    return None
