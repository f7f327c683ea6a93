"""Exports and imports of a host's cubes, each a session of several calls. No Ray here.

A cube that is being imported is registered already, hidden; the registration names the import, so that nothing else
fills it.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path

from actors.audit import AuditLog
from actors.discretion import Discretion
from actors.errors import AlreadyExists, Conflict
from actors.exporting import Export, archive_of, cube_at
from actors.imported_chain import ImportAs, ImportedChain
from actors.importing import Import
from actors.memory.auditing import AuditAction, Note, detail_text
from actors.memory.governance import Action, Caller, CubeAccess
from actors.memory.ports import Clock
from actors.memory.requests import ExportCube, ImportedCube
from actors.sessions import Sessions
from actors.shard import Shard
from actors.shard_archives import ShardArchives
from actors.spool import Spool

log = logging.getLogger(__name__)

EXPORTS, EXPORT_IDLE_S = 8, 60.0
IMPORTS, IMPORT_IDLE_S = 2, 60.0
"""How many a host works on at once, and after how long one is ended with which nobody goes on."""


class HostArchives(ABC):
    """The part of a host that takes cubes out and in. Safe to call from many threads."""

    _clock: Clock
    _discretion: Discretion

    def __init__(self, spool: Path, chain_key: bytes, archive_bytes: int) -> None:
        """`spool` is a folder of the host's own, for archives as they arrive; what an earlier process left there is
        deleted. Archives of up to `archive_bytes` are taken in.
        """
        shutil.rmtree(spool, ignore_errors=True)
        self._spool_folder = spool
        self._chain_key = chain_key
        self._archive_bytes = archive_bytes
        self._exports: Sessions[Export] = Sessions("export", EXPORTS, EXPORT_IDLE_S)
        self._imports: Sessions[Import] = Sessions("import", IMPORTS, IMPORT_IDLE_S)

    @abstractmethod
    def _entered(self, caller: Caller, action: Action, cube_id: str, note: Note) -> AbstractContextManager[Shard]:
        """Authorise and record; then the cube's shard."""

    @abstractmethod
    def _shard_for(self, cube_id: str) -> Shard:
        """The shard that a cube belongs to, whether it is there or not."""

    @abstractmethod
    def _audit_of(self, cube_id: str) -> AuditLog:
        """The audit of the shard that a cube belongs to."""

    # out

    def begin_export(self, caller: Caller, cube_id: str, request: ExportCube) -> str:
        """The name of a new export. Raises what authorising does, VersionNotFound, Overloaded."""
        note = Note(AuditAction.EXPORT, detail={"what": "cube", "history": request.history})
        with self._entered(caller, Action.EXPORT, cube_id, note) as shard:
            archives, name = shard.archives, secrets.token_hex(16)
            self._exports.open(
                name, caller.principal, lambda: _export(archives, cube_id, request, self._clock.now_us())
            )
            return name

    def export_chunk(self, caller: Caller, name: str, number: int) -> bytes:
        """Chunk `number` of an export, from 0; empty at its end. Raises Unavailable when the export is gone."""
        with self._exports.using(name, caller.principal) as export:
            return export.chunk(number)

    def end_export(self, name: str) -> None:
        self._exports.end(name)

    # in

    def begin_import(self, caller: Caller, access: CubeAccess, cube_name: str | None) -> None:
        """Begin the import that the cube's registration names. Raises AlreadyExists, Overloaded, StorageUnavailable."""
        if not access.importing or access.owner != caller.principal:
            raise Conflict(f"cube {access.cube_id!r} is not registered for an import", cube=access.cube_id)
        shard = self._shard_for(access.cube_id).archives
        self._audit_of(access.cube_id).check()
        if not shard.is_empty(access.cube_id):
            raise AlreadyExists(f"the cube id {access.cube_id!r} is taken; choose another", cube=access.cube_id)
        wanted = ImportAs(access.cube_id, caller, cube_name, self._clock.now_us())
        self._imports.open(access.importing, caller.principal, lambda: self._import(shard, access.importing, wanted))

    def _import(self, shard: ShardArchives, name: str, wanted: ImportAs) -> Import:
        spool = Spool(self._spool_folder / f"{name}.tar", self._archive_bytes)
        key, gate = self._chain_key, self._discretion.gate

        def begin() -> ImportedChain:
            return ImportedChain(spool, wanted, key, secrets.token_bytes(32), gate.kinds)

        def made(cube: ImportedCube, digest: str) -> None:
            detail = {"what": "import", "archive": digest, "version": cube.version, "memories": cube.memories}
            audit = self._audit_of(cube.cube_id)
            audit.record(wanted.caller, AuditAction.CREATE, cube.cube_id, detail=detail_text(detail))

        return Import(shard, spool, gate, begin, made)

    def import_chunk(self, caller: Caller, name: str, offset: int, data: bytes) -> None:
        """Bytes of the archive. Raises ArchiveRefused, NewerArchive, RequestTooLarge as soon as it is known."""
        with self._imports.using(name, caller.principal) as under_way:
            under_way.write(offset, data)

    def finish_import(self, caller: Caller, name: str) -> None:
        """The archive is there: begin to work on it."""
        with self._imports.using(name, caller.principal) as under_way:
            under_way.finish()

    def import_outcome(self, caller: Caller, name: str, wait_s: float) -> ImportedCube | None:
        """What was made of the archive, None while it is worked on after `wait_s`. Raises why nothing was made."""
        with self._imports.using(name, caller.principal) as under_way:
            return under_way.outcome(wait_s)

    def end_import(self, name: str) -> None:
        """Let go of an import, done or not. What is being worked on is finished first."""
        self._imports.end(name)

    def settle_import(self, access: CubeAccess) -> bool:
        """Whether the cube of an import that nobody has told of its end is there: then it is whole. Of one that is
        not, nothing is left when this returns. Raises Conflict while it goes on.
        """
        if self._imports.holds(access.importing):
            raise Conflict(f"cube {access.cube_id!r} is being imported", cube=access.cube_id)
        shard = self._shard_for(access.cube_id).archives
        if not shard.is_empty(access.cube_id):
            return True
        shard.forget(access.cube_id)
        return False

    def _close_archives(self) -> None:
        """Let go of what is being taken out and in."""
        self._exports.close()
        self._imports.close()
        shutil.rmtree(self._spool_folder, ignore_errors=True)


def _export(shard: ShardArchives, cube_id: str, request: ExportCube, now_us: int) -> Export:
    cube = cube_at(shard, cube_id, request, now_us)
    return Export(archive_of(shard, cube))
