"""The shards that one process owns, their audits, and the way in: authorise, note, enter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

from actors.access import AccessTable
from actors.audit import AuditLog
from actors.errors import Fenced, MemosError, Misplaced
from actors.footprint import footprint
from actors.memory.auditing import Note
from actors.memory.draft import Origin
from actors.memory.governance import AccessSource, Action, Caller, check_expiry
from actors.memory.placement import shard_of
from actors.memory.ports import Clock, JsonObject
from actors.memory_budget import MemoryBudget
from actors.shard import Shard
from actors.shard_opening import HostSpec

log = logging.getLogger(__name__)


class Entered(Protocol):
    """Authorises and gives the cube's shard; when the block ends, the audit has what the note says by then."""

    def __call__(self, caller: Caller, action: Action, cube_id: str, note: Note) -> AbstractContextManager[Shard]: ...


class OwnedShards:
    """The shards that one process owns. `open_shard(number, budget)` opens one of `spec.shards`, `open_audit(number)`
    its audit, which outlives a shard that is opened anew.
    """

    def __init__(
        self,
        spec: HostSpec,
        open_shard: Callable[[int, MemoryBudget], Shard],
        open_audit: Callable[[int], AuditLog],
        access: AccessSource,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._budget = MemoryBudget(spec.open_bytes)
        self._open_shard = open_shard
        self._clock = clock
        self._access = AccessTable(access)
        self._reopening = threading.Lock()
        self._shards: dict[int, Shard] = {}
        self._audits: dict[int, AuditLog] = {}
        try:
            for number in spec.shards:
                self._shards[number] = open_shard(number, self._budget)
                self._audits[number] = open_audit(number)
        except BaseException:
            self.close()  # what stays open here would lock out the next try
            raise

    # running

    def status(self) -> JsonObject:
        return {
            "host": self._spec.name,
            **footprint(),
            "memory": self._budget.status(),
            "shards": {
                str(number): {**shard.status(), "audit": self._audits[number].status()}
                for number, shard in self._shards.items()
            },
        }

    def ready(self) -> list[str]:
        """What is not ready yet, in words; empty when all is."""
        reasons = [reason for shard in self._shards.values() for reason in shard.not_ready()]
        failing = {number: audit.failure for number, audit in self._audits.items() if audit.failure is not None}
        return reasons + [f"shard {number}: the audit is not written: {why}" for number, why in failing.items()]

    def close(self) -> None:
        """Drain the writers and leave everything on storage."""
        with ExitStack() as closing:  # the others too, when one cannot
            for audit in self._audits.values():
                closing.callback(audit.close)
            for shard in self._shards.values():
                closing.callback(shard.close)

    @contextmanager
    def _entered(self, caller: Caller, action: Action, cube_id: str, note: Note) -> Iterator[Shard]:
        """As `_enter`, and when the block ends, the audit has what `note` says by then, or that it was refused."""
        self._audit_of(cube_id).check()
        try:
            yield self._enter(caller, action, cube_id)
        except BaseException as error:
            self._conclude(caller, cube_id, note, error)
            raise
        self._conclude(caller, cube_id, note, None)

    @contextmanager
    def _derived_entered(self, caller: Caller, action: Action, cube_id: str, note: Note) -> Iterator[Shard]:
        """As `_entered`, of a cube that the caller need have no role on: what it asks for follows from another one."""
        self._access.cube(cube_id)  # a fork lives elsewhere than its hash says
        self._audit_of(cube_id).check()
        yield self._shard_for(cube_id)
        self._conclude(caller, cube_id, note, None)

    @contextmanager
    def _refused(self, caller: Caller, cube_id: str, note: Note) -> Iterator[None]:
        """Records what the block refuses, and nothing when it answers: another shard has that already."""
        self._audit_of(cube_id)
        try:
            yield
        except MemosError as error:
            self._conclude(caller, cube_id, note, error)
            raise

    def _conclude(self, caller: Caller, cube_id: str, note: Note, error: BaseException | None) -> None:
        """Record what became of a request, in the audit of the shard that the cube turned out to live in."""
        if not isinstance(error, Misplaced):  # the host that the cube lives at records it
            self._audit_of(cube_id).conclude(caller, cube_id, note, error, self._access.knows)

    def _authorise(self, caller: Caller, action: Action, cube_id: str) -> None:
        check_expiry(caller, self._clock.now_us())
        self._access.authorise(caller, action, cube_id)

    def _number_of(self, cube_id: str) -> int:
        """The shard of a cube: its hash's, unless the catalogue, as far as it was asked already, says otherwise."""
        known = self._access.known(cube_id)
        if known is None or known.shard is None:
            return shard_of(cube_id, self._spec.shard_count)
        return known.shard

    def _audit_of(self, cube_id: str) -> AuditLog:
        number = self._number_of(cube_id)
        if number not in self._audits:  # of a cube that lives elsewhere than its hash says, perhaps: ask
            self._access.cube(cube_id)
            number = self._number_of(cube_id)
        audit = self._audits.get(number)
        if audit is None:
            raise self._elsewhere(cube_id, number)
        return audit

    def _elsewhere(self, cube_id: str, number: int) -> MemosError:
        if number != shard_of(cube_id, self._spec.shard_count):
            return Misplaced(f"cube {cube_id!r} lives in shard {number}", shard=number)
        return MemosError(f"host {self._spec.name} does not own shard {number}")

    def _enter(self, caller: Caller, action: Action, cube_id: str) -> Shard:
        """Authorise; then the cube's shard, the cube having its first event."""
        self._authorise(caller, action, cube_id)
        access = self._access.cube(cube_id)
        shard = self._shard_for(cube_id)
        if access is not None:
            origin = Origin(access.owner, caller.request_id, self._clock.now_us())
            if access.fork is None:
                shard.ensure_created(cube_id, origin, access.owner, access.name, dict(access.policy))
            else:
                settings = {"owner": access.owner, "name": access.name, "policy": dict(access.policy)}
                shard.ensure_forked(cube_id, access.fork, origin, settings)
        return shard

    def _shard_for(self, cube_id: str) -> Shard:
        """The cube's shard in working order: one that storage failed is opened anew. Raises Misplaced when another host
        owns it, Fenced when it was taken over.
        """
        number = self._number_of(cube_id)
        shard = self._shards.get(number)
        if shard is None:
            raise self._elsewhere(cube_id, number)
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
