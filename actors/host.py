"""CubeHost: owns shards, checks who may do what, and runs commands and reads on cubes. No Ray here.

Methods block and are safe to call from many threads. Each authorises first: a principal without a role
gets CubeNotFound before anything of the cube is touched.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from actors.answers import ignored, settled, told
from actors.audit import AuditLog
from actors.clock import SystemClock
from actors.discretion import Discretion
from actors.errors import CubeNotFound, Fenced, MemosError
from actors.host_archives import HostArchives
from actors.host_erasure import HostErasure
from actors.host_reading import HostReading
from actors.host_retention import HostRetention
from actors.lineage import Lineage
from actors.listing_differences import DifferencePage
from actors.manifest import view_of
from actors.memory import commands
from actors.memory.auditing import AuditAction, Note
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.governance import AccessSource, Action, Caller, ClusterAccess, CubeAccess
from actors.memory.item import Memory
from actors.memory.ports import Clock, Embedder
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    CubeView,
    Moment,
    MoveMemory,
    NewCube,
    Screened,
    Wait,
)
from actors.memory.screening import Recognizer
from actors.memory.time_requests import CompareVersions, ForkCube, RolledBack
from actors.memory_budget import MemoryBudget
from actors.query_texts import QueryTexts
from actors.screening_run import screen
from actors.shard import Shard
from actors.shard_opening import HostSpec, open_audit, open_shard
from actors.time_machine import TimeMachine

__all__ = ["CubeHost", "HostSpec"]

log = logging.getLogger(__name__)


class CubeHost(HostReading, HostArchives):
    """What can be asked of the cubes of the shards that one process owns."""

    def __init__(
        self,
        spec: HostSpec,
        open_shard: Callable[[int, MemoryBudget], Shard],
        open_audit: Callable[[int], AuditLog],
        access: AccessSource,
        clock: Clock,
        recognizer: Recognizer | None = None,
    ) -> None:
        """Without a recognizer, a cube whose policy needs one takes nothing."""
        HostArchives.__init__(self, spec.spool, spec.chain_key, spec.archive_bytes)
        super().__init__(spec, open_shard, open_audit, access, clock)
        self._discretion = Discretion(self._access, recognizer)
        self._query_texts = QueryTexts(spec.chain_key, self._discretion.gate)
        self._time = TimeMachine(self._entered, self._access, clock, self._discretion)
        self.lineage = Lineage(self._entered, self._origin, self._access, self._discretion)
        self.split, self.provenance, self.consolidate = (
            self.lineage.split,
            self.lineage.provenance,
            self.lineage.consolidate,
        )
        erasure = HostErasure(
            self._access,
            self._entered,
            self._derived_entered,
            self._shard_for,
            self._shards.values,
            self._origin,
            self._discretion,
        )
        self.plan_erasure, self.erase, self.derived = erasure.plan, erasure.erase, erasure.derived
        self.plan_cube_erasure, self.erase_cube = erasure.plan_cube, erasure.erase_cube
        self.plan_derived_erasure, self.erase_derived = erasure.plan_derived, erasure.erase_derived
        self.inherited = erasure.inherited
        retention = HostRetention(self._entered, self._origin)
        self.due, self.archive_due = retention.due, retention.archive_due

    @classmethod
    def open(
        cls, spec: HostSpec, embedder: Embedder, access: AccessSource, recognizer: Recognizer | None = None
    ) -> CubeHost:
        """Claim every shard of the spec on its storage. Raises what opening a journal raises."""
        return cls(
            spec,
            lambda number, budget: open_shard(spec, number, embedder, budget),
            lambda number: open_audit(spec, number),
            access,
            SystemClock(),
            recognizer,
        )

    # cubes

    def create_cube(self, caller: Caller, cube_id: str) -> CubeView:
        """Record a registered cube's first event; a repeat changes nothing."""
        return self.shown_cube(caller, cube_id)

    def shown_cube(self, caller: Caller, cube_id: str) -> CubeView:
        """The manifest as the answer of a change that the system shard decided on, and has in its audit."""
        note = Note(AuditAction.READ, detail={"what": "cube"})
        with self._refused(caller, cube_id, note), self._enter(caller, Action.READ, cube_id).reading(cube_id) as cube:
            return self._view(caller, cube.state)

    def read_cube(self, caller: Caller, cube_id: str) -> CubeView:
        note = Note(AuditAction.READ, detail={"what": "cube"})
        with self._entered(caller, Action.READ, cube_id, note) as shard, shard.reading(cube_id) as cube:
            return self._view(caller, cube.state)

    def change_cube(self, caller: Caller, cube_id: str, name: str | None, policy: Mapping[str, Any] | None) -> CubeView:
        changed = [part for part, value in (("name", name), ("policy", policy)) if value is not None]
        note = Note(AuditAction.CHANGE, detail={"what": "cube", "changed": changed})
        with self._entered(caller, Action.CONFIGURE, cube_id, note) as shard:
            origin, kinds = self._origin(caller), self._discretion.gate.kinds
            shard.run(cube_id, lambda draft: commands.configure(draft, origin, name, policy, kinds))
            with shard.reading(cube_id) as cube:
                return self._view(caller, cube.state)

    def _view(self, caller: Caller, state: CubeState) -> CubeView:
        access = self._access.cube(state.cube_id)
        if access is None:
            raise CubeNotFound(f"no cube {state.cube_id!r}", cube=state.cube_id)
        return view_of(state, access, self._time.fork_point(caller, access.fork))

    def screen(self, caller: Caller, cube_id: str, limit: int) -> Screened:
        """Look through older memories, as `screening_run.screen` says."""
        note = Note(AuditAction.CHANGE, detail={"what": "screening"})
        with self._entered(caller, Action.CONFIGURE, cube_id, note) as shard:
            done = screen(shard, cube_id, self._discretion.gate, self._origin(caller), limit)
            note.detail["screened"] = done.screened
            return done

    # memories

    def add(self, caller: Caller, cube_id: str, request: AddMemories) -> Added:
        """Durable when it returns; searchable too, when the request waits for the index."""
        [answer] = self.add_many(cube_id, [(caller, request)])
        if isinstance(answer, MemosError):
            raise answer
        return answer

    def add_many(self, cube_id: str, asked: Sequence[tuple[Caller, AddMemories]]) -> list[Added | MemosError]:
        """Several adds to one cube, in order, each answered with what `add` returns or raises. Raises Fenced."""
        self._audit_of(cube_id).check()
        answers: list[MemosError | Future[Added]] = []
        with ExitStack() as pinned:
            for caller, request in asked:
                try:
                    answers.append(self._submit_add(pinned, caller, cube_id, request))
                except Exception as error:  # noqa: BLE001 - as in search_many
                    answers.append(told(error))
            done = [settled(answer) for answer in answers]  # all of them, while the cube is pinned
        for (caller, request), answer in zip(asked, done, strict=True):
            self._note_add(caller, cube_id, request, answer)
        for answer in done:
            if isinstance(answer, Fenced):
                raise answer
        waiting = [
            answer.version
            for answer, (_, request) in zip(done, asked, strict=True)
            if isinstance(answer, Added) and request.wait is Wait.INDEX
        ]
        shard = self._shards.get(self._number_of(cube_id))
        if shard is not None:
            if waiting:
                shard.wait_indexed(cube_id, max(waiting))
            for answer in done:
                if isinstance(answer, Added):
                    shard.promise(cube_id, answer.version)
        return done

    def _note_add(self, caller: Caller, cube_id: str, request: AddMemories, answer: Added | MemosError) -> None:
        note = Note(AuditAction.CREATE, detail={"what": "memories", "count": len(request.memories)})
        error = answer if isinstance(answer, MemosError) else None
        if isinstance(answer, Added):
            note.memory_id = answer.memories[0].id if len(answer.memories) == 1 else ""
            note.detail["version"] = answer.version
            note.ids = tuple(memory.id for memory in answer.memories)
        self._conclude(caller, cube_id, note, error)

    def _submit_add(self, pinned: ExitStack, caller: Caller, cube_id: str, request: AddMemories) -> Future[Added]:
        shard = self._enter(caller, Action.ADD, cube_id)
        idempotency = commands.idempotency_of(self._spec.chain_key, cube_id, caller.principal, request)
        origin = self._origin(caller, idempotency)
        rule = self._discretion.rule(shard, cube_id)
        passed = self._discretion.gate.adding(rule, request)
        decide = partial(commands.add, origin=origin, request=passed, random_bytes=secrets.token_bytes)
        return pinned.enter_context(shard.submitted(cube_id, rule.guarding(decide)))

    def change_memory(self, caller: Caller, cube_id: str, request: ChangeMemory) -> Memory:
        note = Note(AuditAction.CHANGE, request.memory_id[:64])
        with self._entered(caller, Action.CHANGE, cube_id, note) as shard:
            origin, rule = self._origin(caller), self._discretion.rule(shard, cube_id)
            passed = self._discretion.gate.changing(rule, request)
            changed = shard.run(cube_id, rule.guarding(lambda draft: commands.change(draft, origin, passed)))
            note.detail = {"version": changed.version, "changed": sorted(request.set)}
            return self._discretion.seen_in(shard, caller, cube_id).shown(changed)

    def move_memory(self, caller: Caller, cube_id: str, request: MoveMemory) -> Memory:
        """A requested transition; the role that it takes depends on the states it leads between."""
        note = Note(AuditAction.TRANSITION, request.memory_id[:64], {"to": request.to.value})
        if request.into:
            note.detail["into"] = request.into[:64]
        with self._entered(caller, Action.READ, cube_id, note) as shard:
            origin, rule = self._origin(caller), self._discretion.rule(shard, cube_id)
            passed = replace(request, reason=self._discretion.gate.reason(rule, request.reason))

            def decide(draft: CubeDraft) -> Memory:
                return commands.move(
                    draft, origin, passed, lambda action: ignored(self._access.authorise(caller, action, cube_id))
                )

            moved = shard.run(cube_id, rule.guarding(decide))
            return self._discretion.seen_in(shard, caller, cube_id).shown(moved)

    # time

    def roll_back(self, caller: Caller, cube_id: str, to: Moment, reason: str) -> RolledBack:
        return self._time.roll_back(caller, cube_id, to, reason)

    def compare(self, caller: Caller, cube_id: str, request: CompareVersions) -> DifferencePage:
        return self._time.compare(caller, cube_id, request)

    def plan_fork(self, caller: Caller, cube_id: str, request: ForkCube) -> NewCube:
        return self._time.plan_fork(caller, cube_id, request)

    # governance, pushed by the gateway before it acknowledges a change

    def set_access(self, access: CubeAccess) -> None:
        self._access.set_cube(access)

    def set_cluster_access(self, access: ClusterAccess) -> None:
        self._access.set_cluster(access)

    def close(self) -> None:
        """Drain the writers and leave everything on storage; what is being taken out and in ends."""
        try:
            self._close_archives()
        finally:
            super().close()
