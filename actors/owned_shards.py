"""The shards that one process owns, their audits, and the way in: authorise, note, enter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from actors.access import AccessTable
from actors.audit import AuditLog
from actors.errors import Fenced, MemosError
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
        with self._audit_of(cube_id).noted(caller, cube_id, note, self._access.knows):
            yield self._enter(caller, action, cube_id)

    @contextmanager
    def _refused(self, caller: Caller, cube_id: str, note: Note) -> Iterator[None]:
        """Records what the block refuses, and nothing when it answers: another shard has that already."""
        audit = self._audit_of(cube_id)
        try:
            yield
        except MemosError as error:
            audit.conclude(caller, cube_id, note, error, self._access.knows)
            raise

    def _authorise(self, caller: Caller, action: Action, cube_id: str) -> None:
        check_expiry(caller, self._clock.now_us())
        self._access.authorise(caller, action, cube_id)

    def _number_of(self, cube_id: str) -> int:
        return shard_of(cube_id, self._spec.shard_count)

    def _audit_of(self, cube_id: str) -> AuditLog:
        number = self._number_of(cube_id)
        audit = self._audits.get(number)
        if audit is None:
            raise MemosError(f"host {self._spec.name} does not own shard {number}")
        return audit

    def _enter(self, caller: Caller, action: Action, cube_id: str) -> Shard:
        """Authorise; then the cube's shard, the cube having its first event."""
        self._authorise(caller, action, cube_id)
        shard = self._shard(self._number_of(cube_id))
        access = self._access.cube(cube_id)
        if access is not None:
            origin = Origin(access.owner, caller.request_id, self._clock.now_us())
            shard.ensure_created(cube_id, origin, access.owner, access.name, dict(access.policy))
        return shard

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
