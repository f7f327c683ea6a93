"""The audit's table on Delta: the journal's machinery, with the audit's columns and chain."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from copy import copy

from actors.errors import Corrupted, Fenced, MemosError, StorageError, StorageUnavailable
from actors.memory.auditing import (
    NOT_AS_RECORDED,
    AuditQuery,
    AuditReport,
    AuditRow,
    ChainWalk,
    SealedRow,
    audit_key,
    chained,
    row_hash,
)
from actors.stores.audit.rows import AUDIT, newest_in, read_sealed, to_table
from actors.stores.journal.anchor import EMPTY, Anchor, Anchors
from actors.stores.journal.compaction import CompactionLimits, join, to_join, write_rows
from actors.stores.journal.datafiles import DataFile
from actors.stores.journal.deltalog import DeltaLog
from actors.stores.journal.recovery import check_present, collect_orphans, mend_log, sync_data
from actors.stores.location import Location, StorageSpec

log = logging.getLogger(__name__)

MAINTENANCE = CompactionLimits(appends=64, full_bytes=32 * 1024 * 1024)
_TRIES = 5
"""How often a read begins anew because compaction took a file away under it."""


class DeltaAuditTable:
    """auditing.AuditTable on one Delta table, its head anchored outside of it.

    One thread appends; one maintains beside it, and any number asks and verifies.
    """

    def __init__(
        self, table: StorageSpec, anchors: StorageSpec, chain_key: bytes, limits: CompactionLimits = MAINTENANCE
    ) -> None:
        """Open the table, made when there is none, and claim it. Raises as DeltaJournal does."""
        self._location = Location(table)
        self._key = audit_key(chain_key)
        self._anchors = Anchors(Location(anchors), self._key)
        self._limits = limits
        self._failure: StorageError | None = None
        self._committing = threading.Lock()
        self._location.prepare()
        mend_log(self._location, lambda: (self._anchors.newest() or EMPTY).log_version)
        self._log = DeltaLog(self._location, (self._anchors.newest() or EMPTY).position, AUDIT)
        self._log.claim()
        self._files = self._log.files()
        check_present(self._location, self._files)
        self._last_us = 0
        self._anchor = self._restore_anchor()
        self._anchors.write(self._anchor)
        self._anchors.drop_before(self._log.epoch)
        collect_orphans(self._location, self._files, self._log.epoch)

    @property
    def uri(self) -> str:
        return self._location.uri

    @property
    def position(self) -> int:
        files = self._files
        return files[-1].last if files else 0

    @property
    def head(self) -> bytes:
        return self._anchor.head

    def sealed(self, rows: Sequence[AuditRow]) -> list[SealedRow]:
        return list(chained(self._key, self._anchor.head, self._last_us, rows))

    def append(self, rows: Sequence[SealedRow]) -> None:
        """As the port's. A StorageUnavailable with the fact `outcome` "none" changed nothing, and the table may be
        used on; after any other error it has to be opened anew.
        """
        self._check_usable()
        if not rows:
            return
        try:
            file, statistics = write_rows(
                self._location, to_table(rows, self.position + 1), self._log.epoch, AUDIT, compacted=False
            )
        except StorageUnavailable as error:
            raise StorageUnavailable(error.detail, **error.facts, outcome="none") from error
        with self._committing:
            self._check_usable()
            self._commit(file, statistics)
            self._files = (*self._files, file)
            self._last_us = rows[-1].row.at_us
            self._anchor = Anchor(file.last, rows[-1].hash, self._log.epoch, self._log.version)
            try:
                self._anchors.write(self._anchor)
            except StorageUnavailable as error:
                # Opening explains one commit without an anchor, not two: stop here.
                self._failure = StorageUnavailable(error.detail, **error.facts, outcome="unknown")
                raise copy(self._failure) from error

    def maintenance_due(self) -> bool:
        return bool(to_join(self._files, self._limits))

    def maintain(self) -> None:
        self._check_usable()
        old = to_join(self._files, self._limits)
        if not old:
            return
        file, statistics = join(self._location, old, self._log.epoch, AUDIT)
        with self._committing:
            self._check_usable()
            self._commit(file, statistics, old)
            first = self._files.index(old[0])
            self._files = (*self._files[:first], file, *self._files[first + len(old) :])
            self._check_usable()
            self._log.checkpoint()
        for replaced in old:
            self._location.delete(replaced.name)

    def newest(self, cube_id: str | None, query: AuditQuery) -> list[AuditRow]:
        for _ in range(_TRIES):
            found: list[AuditRow] = []
            try:
                for file in reversed(self._files):
                    rows, more = newest_in(self._location, file, cube_id, query, query.limit - len(found))
                    found += rows
                    if not more:
                        return found
            except FileNotFoundError:
                continue
            return found
        raise Corrupted(f"{self.uri}: files that its log names are missing", file=self.uri)

    def verify(self, cube_id: str | None) -> AuditReport:
        try:
            rows, problems = self._verified(cube_id)
        except MemosError as error:
            log.error("%s: %s", self.uri, error)
            rows, problems = 0, [str(error) if cube_id is None else NOT_AS_RECORDED]
        return AuditReport(rows, tuple(problems))

    def close(self) -> None:
        if self._failure is None:
            self._failure = StorageUnavailable(f"{self.uri}: this audit was closed", uri=self.uri, outcome="none")

    # inside

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise copy(self._failure)

    def _commit(self, file: DataFile, statistics: str, replacing: Sequence[DataFile] = ()) -> None:
        try:
            self._log.commit([file], statistics, replacing)
        except (Fenced, StorageUnavailable) as error:
            self._failure = copy(error)
            raise
        try:
            self._log.follow()
        except (Fenced, StorageUnavailable) as error:
            # Ours is committed and durable; it is the next one that cannot be.
            self._failure = error

    def _verified(self, cube_id: str | None) -> tuple[int, list[str]]:
        """Rows of the cube, and what is wrong, from what storage holds now."""
        missing: FileNotFoundError | None = None
        for _ in range(_TRIES):
            with self._committing:  # files and anchor of one moment
                known, stored = self._anchor, self._anchors.read(self._log.epoch)
                files = self._log.files_anew()
            problems = []
            if stored != known:
                problems.append(f"the anchor of the audit in {self._anchors.uri} is not the one that was written last")
            walk = ChainWalk(self._key, EMPTY.head, cube_id)
            try:
                for file in files:
                    for sealed in read_sealed(self._location, file):
                        walk.take(sealed)
            except FileNotFoundError as error:
                missing = error
                continue
            if walk.problem is not None:
                problems.insert(0, walk.problem)
            reached = files[-1].last if files else 0
            if (reached, walk.head) != (known.position, known.head):
                problems.append("the audit does not end where it was recorded to end: its tail was cut off or changed")
            return walk.rows, problems
        raise Corrupted(f"a data file of the audit is missing: {missing}", file=self.uri)

    def _restore_anchor(self) -> Anchor:
        """The anchor of all committed rows: the newest file, and the one commit that it may have missed."""
        anchor = self._anchors.newest()
        if anchor is None:
            if self._files:
                raise Corrupted(f"the anchor of {self.uri} is missing from {self._anchors.uri}", uri=self._anchors.uri)
            anchor = EMPTY
        if anchor.epoch >= self._log.epoch or anchor.position > self.position:
            raise Corrupted(
                f"{self.uri} ends at row {self.position} in epoch {self._log.epoch - 1}, but {anchor.position} rows "
                f"were recorded by epoch {anchor.epoch}: the tail was cut off, or the log was put back",
                uri=self.uri,
            )
        ahead = [file for file in self._files if file.last > anchor.position]
        newest_epoch = max((file.epoch for file in self._files), default=0)
        if len(ahead) > 1 or (ahead and ahead[0].first != anchor.position + 1) or newest_epoch > anchor.epoch:
            raise Corrupted(
                f"the anchor in {self._anchors.uri} stands at row {anchor.position} of {self.position}: older than one "
                "unrecorded commit explains, so it was put back or lost",
                uri=self._anchors.uri,
            )
        head = anchor.head
        for file in ahead:
            sync_data(self._location, file)
            head = self._followed(head, file)
        if not ahead and self._files:
            self._last_us = _last_us(self._location, self._files[-1])
        return Anchor(self.position, head, self._log.epoch, self._log.version)

    def _followed(self, head: bytes, file: DataFile) -> bytes:
        for sealed in read_sealed(self._location, file):
            if row_hash(self._key, head, sealed.row) != sealed.hash:
                name = self._location.name_of(file.name)
                raise Corrupted(f"{name}: its rows were not sealed with this shard's key", file=name)
            head, self._last_us = sealed.hash, sealed.row.at_us
        return head


def _last_us(location: Location, file: DataFile) -> int:
    rows, _ = newest_in(location, file, None, AuditQuery(limit=1), 1)
    return rows[0].at_us if rows else 0
