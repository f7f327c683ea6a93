"""What is read of a host's cubes: lists, memories, searches, and whether everything holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from actors.answers import told
from actors.discretion import Discretion
from actors.errors import Fenced, MemosError
from actors.lineage import Lineage
from actors.listing import page_of
from actors.memory.auditing import AuditAction, AuditQuery, AuditRow, Note, query_digest
from actors.memory.governance import Action, Caller
from actors.memory.item import Memory
from actors.memory.policy import keeps_queries
from actors.memory.requests import ListMemories, Moment, Page, VerifyReport
from actors.memory.search_requests import CubeHits, SearchCube
from actors.memory.sources import shown
from actors.owned_shards import OwnedShards
from actors.query_texts import QueryTexts
from actors.redaction_gate import Rule
from actors.time_machine import TimeMachine


class HostReading(OwnedShards):
    """The part of a CubeHost that reads. Each method authorises first, and records."""

    _discretion: Discretion
    _time: TimeMachine
    _query_texts: QueryTexts
    lineage: Lineage

    def list_memories(self, caller: Caller, cube_id: str, request: ListMemories) -> Page[Memory]:
        note = Note(AuditAction.READ, detail={"what": "memories"})
        with self._entered(caller, Action.READ, cube_id, note) as shard, shard.reading(cube_id) as cube:
            seen = self._discretion.seen(caller, cube.state)
            page = page_of(cube.state, request, self._time.version_of(cube.state, request.as_of), seen)
            note.ids = tuple(memory.id for memory in page.items)
        return Page(tuple(self.lineage.visible(caller, memory) for memory in page.items), page.next)

    def read_memory(self, caller: Caller, cube_id: str, memory_id: str, as_of: Moment | None) -> Memory:
        note = Note(AuditAction.READ, memory_id[:64])
        with self._entered(caller, Action.READ, cube_id, note) as shard, shard.reading(cube_id) as cube:
            version = self._time.version_of(cube.state, as_of)
            memory = shown(cube.state, cube.state.at(memory_id[:64], version), version)
            memory = self._discretion.seen(caller, cube.state).shown(memory)
        return self.lineage.visible(caller, memory)

    def history(self, caller: Caller, cube_id: str, memory_id: str) -> tuple[Memory, ...]:
        """The memory after each change of it, oldest first."""
        note = Note(AuditAction.READ, memory_id[:64], {"what": "history"})
        with self._entered(caller, Action.READ, cube_id, note) as shard, shard.reading(cube_id) as cube:
            found = self._discretion.seen(caller, cube.state).all(cube.state.revisions(memory_id[:64]))
        return tuple(self.lineage.visible(caller, memory) for memory in found)

    def search(self, caller: Caller, cube_id: str, request: SearchCube) -> CubeHits:
        return self._search(caller, cube_id, request, 0.0)

    def _search(self, caller: Caller, cube_id: str, request: SearchCube, waited_s: float) -> CubeHits:
        note = Note(request.purpose, detail={"query": query_digest(self._spec.chain_key, cube_id, request.query)})
        with self._entered(caller, Action.SEARCH, cube_id, note) as shard:
            self._time.check_past(request.as_of)
            with shard.reading(cube_id) as cube:
                keeps, rule = keeps_queries(cube.state.policy), Rule.of(cube.state.policy)
            if keeps:
                note.detail |= self._query_texts.kept(shard, cube_id, rule, request.query)
            found = shard.search(cube_id, request, waited_s, partial(self._discretion.seen, caller))
            note.ids = tuple(hit.memory.id for hit in found.hits)
            return found

    def search_many(self, cube_id: str, asked: Sequence[tuple[Caller, SearchCube]]) -> list[CubeHits | MemosError]:
        """Several searches of one cube, each answered with its hits or with what it raised. Raises Fenced."""
        began = time.monotonic()
        answers: list[CubeHits | MemosError] = []
        for caller, request in asked:
            try:
                answers.append(self._search(caller, cube_id, request, time.monotonic() - began))
            except Fenced:
                raise
            except Exception as error:  # noqa: BLE001 - the loop of a call for several: each is told its own
                answers.append(told(error))
        return answers

    def verify(self, caller: Caller, cube_id: str) -> VerifyReport:
        """Checks the chain of the cube's events, and that of the audit."""
        note = Note(AuditAction.READ, detail={"what": "verify"})
        with self._entered(caller, Action.VERIFY, cube_id, note) as shard:
            problems, audit = shard.verify(cube_id), self._audit_of(cube_id).verify(cube_id)
            with shard.reading(cube_id) as cube:
                return VerifyReport(cube_id, cube.state.version, (*problems, *audit.problems), audit.rows)

    def audit(self, caller: Caller, cube_id: str, query: AuditQuery) -> tuple[AuditRow, ...]:
        """The cube's newest audit rows that match, newest first: rows of every answer given before are among them."""
        note, audit = Note(AuditAction.READ, detail={"what": "audit"}), self._audit_of(cube_id)
        with audit.noted(caller, cube_id, note, self._access.knows):
            self._authorise(caller, Action.AUDIT, cube_id)
            found = audit.newest(cube_id, query)
            return self._query_texts.shown(self._shard_for(cube_id), cube_id, found)
