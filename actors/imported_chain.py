"""The chain of an imported cube: the events of its archive, checked, and sealed anew with this instance's key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actors.errors import RequestTooLarge
from actors.memory.archive_check import refused
from actors.memory.archive_erasure import Erasures, received
from actors.memory.archive_events import ArchivedEvent, Import, payload_of
from actors.memory.archive_format import Manifest
from actors.memory.archive_names import renamed
from actors.memory.archive_rules import ImportRules, check_merges
from actors.memory.cube import CubeState
from actors.memory.events import GENESIS, Event, EventType, encode_content, seal_content
from actors.memory.governance import Caller
from actors.memory.policy import ENTITIES
from actors.spool import Spool
from actors.stores.archive.parts import decode_events

COMMITTED_EVENTS = 8192
COMMITTED_BYTES = 16 << 20
"""A data file of the journal ends with the event that takes it to either."""

_DERIVED_FROM = b'"derived_from"'

UNFOLDED_FREE_BYTES = 64 << 20
UNFOLDED_RATIO = 100
"""Contents may come to so many times the archive, beyond what is always allowed."""


@dataclass(frozen=True, slots=True)
class ImportAs:
    """What an import makes: a cube, for whom, when, and under which name; None: the archive's."""

    cube_id: str
    caller: Caller
    name: str | None
    now_us: int


class ImportedChain:
    """The events of an archive that has arrived whole. They are made when they are asked for, the same each time."""

    def __init__(
        self, spool: Spool, wanted: ImportAs, chain_key: bytes, secret: bytes, kinds: Sequence[str] = ENTITIES
    ) -> None:
        """`secret`, random and nobody else's, is what salts are made from; `kinds` are those of entities that a policy
        may name here. Raises ArchiveRefused for a cut archive.
        """
        self.manifest: Manifest = spool.check.finish()
        self._spool = spool
        self._as = wanted
        self._key = chain_key
        self._secret = secret
        self._request_id = f"import-{spool.check.digest[:16]}"
        self._renaming: Event | None = None
        self._kinds = kinds
        self._rewritten: Mapping[str, Mapping[str, Any]] = {}
        self.reasons: list[str] = []
        """Why memories were erased; known after `folded`."""

    def rewrite(self, fields: Mapping[str, Mapping[str, Any]]) -> None:
        """From now on memories are added with these fields, by memory, in the place of what the archive says. Of an
        archive without history.
        """
        self._rewritten = fields

    def folded(self) -> CubeState:
        """The fold of the events, each checked before it is taken in. Raises ArchiveRefused, RequestTooLarge."""
        erasures = Erasures.of(self._rows())
        state = CubeState(self._as.cube_id, blank_rows=erasures.rows_at)
        rules = ImportRules(self.manifest.cube_id, self.manifest.history, erasures, self._as.now_us, self._kinds)
        allowed = UNFOLDED_FREE_BYTES + UNFOLDED_RATIO * self._spool.check.size
        for row in self._rows():
            allowed -= len(row.content or b"")
            if allowed < 0:
                raise RequestTooLarge(
                    f"the archive unfolds to over {UNFOLDED_RATIO} times its size", ratio=UNFOLDED_RATIO
                )
            type, payload = rules.check(row, state)
            if type is EventType.MEMORY_ERASED:
                self.reasons.append(payload["reason"])
            state.apply(self._sealed(row, type, state.head))
            if type is EventType.CUBE_ROLLED_BACK:
                check_merges(state)
        check_merges(state)
        if state.version != self.manifest.version:
            raise refused(
                f"it holds {state.version} events, where its manifest says {self.manifest.version}", "manifest"
            )
        self._renaming = self._renamed(state)
        if self._renaming is not None:
            state.apply(self._renaming)
        return state

    def parts(self) -> Iterator[list[Event]]:
        """All of the events, as many at a time as one file of the journal holds. After `folded`, which checks them."""
        part: list[Event] = []
        content = 0
        for event in self._events():
            part.append(event)
            content += len(event.content or b"")
            if len(part) >= COMMITTED_EVENTS or content >= COMMITTED_BYTES:
                yield part
                part, content = [], 0
        if part:
            yield part

    def _events(self) -> Iterator[Event]:
        head = GENESIS
        for row in self._rows():
            event = self._sealed(row, EventType(row.type), head)
            head = event.hash
            yield event
        if self._renaming is not None:
            yield self._renaming

    def _rows(self) -> Iterator[ArchivedEvent]:
        for name, data in self._spool.members("events"):
            for row in decode_events(name, data):
                fields = self._rewritten.get(row.memory_id)
                yield row if fields is None else _with(row, fields)

    def _sealed(self, row: ArchivedEvent, type: EventType, head: bytes) -> Event:
        """The event as this instance records it: at its own time, with its principal, under our key."""
        importer = self._as.caller.principal
        content, principal = self._renamed_content(row, type), row.principal or importer
        if type is EventType.CUBE_CREATED:
            type, content, principal = EventType.CUBE_IMPORTED, self._first(row), importer
        event = seal_content(
            self._key,
            cube_id=self._as.cube_id,
            version=row.version,
            type=type,
            memory_id=row.memory_id,
            memory_version=row.memory_version,
            recorded_at_us=row.recorded_at_us,
            principal=principal,
            request_id=self._request_id,
            idempotency="",
            content=content,
            salt=self._salt(row.version),
            previous_hash=head,
        )
        return event if row.content is not None else replace(event, content=None, salt=None)

    def _renamed_content(self, row: ArchivedEvent, type: EventType) -> bytes:
        """The content, naming the cube that it becomes where it names its own."""
        content, origin, ours = row.content or b"{}", self.manifest.cube_id, self._as.cube_id
        if origin == ours:
            return content
        if type is EventType.ERASURE_COMPLETED:
            return encode_content(received(payload_of(content), ours))
        if _DERIVED_FROM in content:
            return encode_content(renamed(payload_of(content), origin, ours))
        return content

    def _first(self, row: ArchivedEvent) -> bytes:
        """What `cube.imported` records in the place of the creation that `row` is."""
        came_from = Import(
            archive=self._spool.check.digest,
            cube_id=self.manifest.cube_id,
            history=self.manifest.history,
            principal=row.principal,
            content=payload_of(row.content or b"{}"),
            imported_at_us=self._as.now_us,
            imported_by=self._as.caller.principal,
        )
        return encode_content(came_from.to_payload(self._as.caller.principal))

    def _renamed(self, state: CubeState) -> Event | None:
        """The event that gives the cube the name that was asked for, behind those of the archive."""
        if self._as.name is None or self._as.name == state.name:
            return None
        return seal_content(
            self._key,
            cube_id=self._as.cube_id,
            version=state.version + 1,
            type=EventType.CUBE_CHANGED,
            memory_id="",
            memory_version=0,
            recorded_at_us=max(state.recorded_at_us[-1], self._as.now_us),
            principal=self._as.caller.principal,
            request_id=self._as.caller.request_id,
            idempotency="",
            content=encode_content({"name": self._as.name}),
            salt=self._salt(state.version + 1),
            previous_hash=state.head,
        )

    def _salt(self, version: int) -> bytes:
        return hmac.digest(self._secret, version.to_bytes(8, "big"), hashlib.sha256)[:16]


def _with(row: ArchivedEvent, fields: Mapping[str, Any]) -> ArchivedEvent:
    return replace(row, content=encode_content({**payload_of(row.content or b"{}"), **fields}))
