"""Lineage of memories in a host: splitting what was merged, and where memories came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from actors.access import AccessTable
from actors.discretion import Discretion
from actors.listing import Cursor
from actors.memory.auditing import AuditAction, Note
from actors.memory.consolidation import ConsolidateCube, Consolidated
from actors.memory.cube import CubeState
from actors.memory.disclosure import OPEN, Disclosure
from actors.memory.draft import Origin
from actors.memory.governance import Action, Caller, role_on
from actors.memory.item import Memory, Reference
from actors.memory.merging import Split, SplitMemory, split
from actors.memory.origins import RecordedBy
from actors.memory.provenance import Provenance, ReadProvenance, Related, VersionOrigin, related, versions
from actors.memory.sources import shown
from actors.owned_shards import Entered


class Lineage:
    """A part of CubeHost: `entered` authorises, gives the cube's shard and records; `origin` is what events carry."""

    def __init__(
        self,
        entered: Entered,
        origin: Callable[[Caller], Origin],
        access: AccessTable,
        discretion: Discretion,
    ) -> None:
        self._entered = entered
        self._origin = origin
        self._access = access
        self._discretion = discretion

    def split(self, caller: Caller, cube_id: str, request: SplitMemory) -> Split:
        """Undo a merge, or all merges into a memory. Raises as `merging.split` does."""
        note = Note(AuditAction.TRANSITION, request.memory_id[:64], {"what": "split"})
        with self._entered(caller, Action.TRANSITION, cube_id, note) as shard:
            origin, rule = self._origin(caller), self._discretion.rule(shard, cube_id)
            passed = replace(request, reason=self._discretion.gate.reason(rule, request.reason))
            done = shard.run(cube_id, rule.guarding(lambda draft: split(draft, origin, passed)))
            note.detail["version"] = done.version
            note.ids = tuple(memory.id for memory in done.memories)
            seen = self._discretion.seen_in(shard, caller, cube_id)
            return replace(done, memories=seen.all(done.memories))

    def consolidate(self, caller: Caller, cube_id: str, request: ConsolidateCube) -> Consolidated:
        """A bounded step of merging near-duplicates and linking contradictions."""
        note = Note(AuditAction.TRANSITION, detail={"what": "consolidation"})
        with self._entered(caller, Action.TRANSITION, cube_id, note) as shard:
            done = shard.consolidator.step(cube_id, request, self._origin(caller))
            note.detail |= {"merged": done.merged, "linked": done.linked}
            return done

    def provenance(self, caller: Caller, cube_id: str, request: ReadProvenance) -> Provenance:
        """A page of where a memory came from and what became of it. What lies in a cube that the caller has no role on
        is left out.
        """
        note = Note(AuditAction.READ, request.memory_id[:64], {"what": "provenance"})
        with self._entered(caller, Action.READ, cube_id, note) as shard:
            with shard.reading(cube_id) as cube:
                found = provenance_page(cube.state, request, self._discretion.seen(caller, cube.state))
                begins = cube.state.origins.begins
            unknown = [version.cube_version for version in found.versions if version.cube_version < begins]
            if unknown:
                noted = shard.recorded_by(cube_id, unknown)
                found = replace(found, versions=tuple(_completed(version, noted) for version in found.versions))
            found = self._told(caller, found, cube_id)
            note.ids = tuple(tied.memory.id for tied in found.related if tied.memory is not None)
            return found

    def _told(self, caller: Caller, found: Provenance, cube_id: str) -> Provenance:
        seen = tuple(tied for tied in found.related if self._visible(caller, tied.reference, cube_id))
        told = tuple(
            replace(version, derived_from=self._seen(caller, version.derived_from, cube_id))
            for version in found.versions
        )
        return replace(found, memory=self.visible(caller, found.memory), versions=told, related=seen)

    def visible(self, caller: Caller, memory: Memory) -> Memory:
        """The memory without what it names of cubes that the caller has no role on."""
        seen = self._seen(caller, memory.derived_from, memory.cube_id)
        return memory if len(seen) == len(memory.derived_from) else replace(memory, derived_from=seen)

    def _seen(self, caller: Caller, references: tuple[Reference, ...], cube_id: str) -> tuple[Reference, ...]:
        return tuple(reference for reference in references if self._visible(caller, reference, cube_id))

    def _visible(self, caller: Caller, reference: Reference, cube_id: str) -> bool:
        if reference.cube_id == cube_id:
            return True
        return role_on(caller, self._access.cluster(), self._access.cube(reference.cube_id)) is not None


def provenance_page(state: CubeState, request: ReadProvenance, seen: Disclosure = OPEN) -> Provenance:
    """A page of a memory's provenance, as it is `seen`. Raises MemoryNotFound, InvalidCursor and VersionNotFound."""
    memory_id = request.memory_id[:64]
    asked = state.version if request.as_of is None else state.version_of(request.as_of)
    cursor = Cursor(state.cube_id, asked, 0)
    if request.cursor is not None:
        cursor = Cursor.decode(request.cursor, state)
    at = cursor.version
    memory = state.at(memory_id, at)
    found: tuple[Related, ...] = related(state, memory, at, cursor.offset, request.limit + 1)
    more = len(found) > request.limit
    return Provenance(
        memory=seen.shown(shown(state, memory, at)),
        cube_version=at,
        versions=versions(state, memory_id, at, seen) if cursor.offset == 0 else (),
        related=tuple(_seen(tied, seen) for tied in found[: request.limit]),
        next=Cursor(state.cube_id, at, cursor.offset + request.limit).encode() if more else None,
    )


def _seen(tied: Related, seen: Disclosure) -> Related:
    return tied if tied.memory is None else replace(tied, memory=seen.shown(tied.memory))


def _completed(version: VersionOrigin, noted: Mapping[int, RecordedBy]) -> VersionOrigin:
    return version if version.by is not None else replace(version, by=noted.get(version.cube_version))
