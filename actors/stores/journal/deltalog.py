"""The Delta table behind a journal: one kept handle, commits that land on the next version or not at all.

Delta refuses two concurrent commits of one application id, but never compares their epochs, and a handle
that was refreshed hides the concurrency. So every commit here first compares the epoch on the kept handle
with its own, and then may only land on the version right after that handle's (`max_commit_retries=0`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from actors.errors import Corrupted, Fenced, StorageError, StorageUnavailable
from actors.stores.journal.datafiles import DataFile, from_log
from actors.stores.journal.recovery import sync_checkpoint, sync_entry, sync_log
from actors.stores.journal.schema import EVENTS, Shape
from actors.stores.location import Location, first_line, storage_errors

log = logging.getLogger(__name__)

APPLICATION = "memos-shard"
"""The id under which epochs are kept in Delta's application transactions."""

CONFIGURATION = {
    # Entries below a checkpoint go when we say so, after the checkpoint was synced.
    "delta.logRetentionDuration": "interval 0 hours",
    "delta.enableExpiredLogCleanup": "false",
    # What compaction replaced is deleted by name at once; its tombstones need not stay in checkpoints.
    "delta.deletedFileRetentionDuration": "interval 0 hours",
}

CLAIM_TRIES = 20
LONGEST_LOG = 128
"""Entries since the last checkpoint, above which opening writes another."""

_LOAD_TRIES = 4
_STORE_SIGNS = (
    "error performing",
    "error sending request",
    "Generic S3 error",
    "Generic GCS error",
    "Generic MicrosoftAzure",
)
"""How Delta's errors tell of a store that failed, not of a log that is damaged: it has one class for both."""

_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class DeltaLog:
    """The log of one table, held by one owner. Single-threaded, save `files_anew`."""

    def __init__(self, table: Location, acknowledged: int, shape: Shape = EVENTS) -> None:
        """Open the table, or make it when there is none, and `acknowledged` (its known rows) is 0.

        Raises StorageUnavailable, Corrupted.
        """
        self._location = table
        self._shape = shape
        self._schema = Schema.from_arrow(shape.columns)
        self._table = self._open_or_create(acknowledged)
        self._epoch_at: tuple[int, int] | None = None
        """(version, epoch): what the log said at a version. Reading it costs as much as a commit."""
        self.epoch = 0

    @property
    def handle(self) -> DeltaTable:
        """The kept handle."""
        return self._table

    @property
    def version(self) -> int:
        return int(self._table.version())

    def claim(self) -> None:
        """Commit the next epoch as ours: from then on no earlier owner can commit."""
        for _ in range(CLAIM_TRIES):
            epoch = self.committed_epoch() + 1
            try:
                self._commit([], epoch)
            except CommitFailedError:
                self._table = self._load()
                continue
            self.epoch = epoch
            with storage_errors(self._location.uri, "read"):
                self._table.update_incremental()
            self.check_owner()
            if sync_log(self._location) > LONGEST_LOG:
                self.checkpoint()
            return
        raise StorageUnavailable(
            f"{self._location.uri}: other owners kept committing; not claimed in {CLAIM_TRIES} tries",
            uri=self._location.uri,
        )

    def commit(self, adding: Iterable[DataFile], statistics: str, removing: Iterable[DataFile] = ()) -> None:
        """Commit a data file that is durable, durably; with `removing`, in the place of others (same rows).

        Raises as `commit_all` does.
        """
        self.commit_all([(file, statistics) for file in adding], removing)

    def commit_all(self, adding: Sequence[tuple[DataFile, str]], removing: Iterable[DataFile] = ()) -> None:
        """Commit data files that are durable, with their statistics, at once.

        Raises Fenced, and StorageUnavailable with the fact `outcome` "unknown" when the commit may have landed.
        """
        self.check_owner()
        now_ms, replacing = int(time.time() * 1000), list(removing)
        added = [file for file, _ in adding]
        actions: list[Any] = [AddAction(f.name, f.size, {}, now_ms, not replacing, said) for f, said in adding]
        actions += [RemoveAction(f.name, False, now_ms, f.size) for f in replacing]
        expected = self.version + 1
        try:
            self._commit(actions, self.epoch)
        except CommitFailedError as error:
            self._explain_refusal(added, error)
        except (DeltaError, OSError) as error:
            raise self._unknown(error) from error
        else:
            self._epoch_at = (expected, self.epoch)  # that version is our own commit
        try:
            sync_entry(self._location, expected)
        except StorageError as error:
            raise self._unknown(error) from error

    def follow(self) -> None:
        """Bring the kept handle to its own commit. Raises Fenced when another owner has committed behind it."""
        with storage_errors(self._location.uri, "read"):
            self._table.update_incremental()
        self.check_owner()

    def files(self) -> tuple[DataFile, ...]:
        """The committed files as the kept handle knows them, in order of position. Raises Corrupted, NewerFormat."""
        return _files_of(self._table, self._location, self._shape)

    def files_anew(self) -> tuple[DataFile, ...]:
        """The committed files as storage has them now. Raises Corrupted, NewerFormat."""
        table = self._load()
        if table.version() < self.version:
            uri = self._location.uri
            raise Corrupted(f"{uri}: the log ends at version {table.version()}, not {self.version}", uri=uri)
        return _files_of(table, self._location, self._shape)

    def committed_epoch(self) -> int:
        """The newest epoch that the kept handle knows of."""
        version = self.version
        if self._epoch_at is None or self._epoch_at[0] != version:
            self._epoch_at = (version, int(self._table.transaction_version(APPLICATION) or 0))
        return self._epoch_at[1]

    def checkpoint(self) -> None:
        """Sum the log up, durably, and drop the entries that the checkpoint holds."""
        self.check_owner()
        with storage_errors(self._location.uri, "checkpointed"):
            self._table.create_checkpoint()
            sync_checkpoint(self._location, self.version)
            self._table.cleanup_metadata()

    def _commit(self, actions: list[Any], epoch: int) -> None:
        properties = CommitProperties(app_transactions=[Transaction(APPLICATION, epoch)], max_commit_retries=0)
        self._table.create_write_transaction(
            actions,
            "append",
            self._schema,
            commit_properties=properties,
            post_commithook_properties=_NO_HOOKS,
        )

    def check_owner(self) -> None:
        """Raise Fenced unless the kept handle says that this owner is the last."""
        found = self.committed_epoch()
        if found != self.epoch:
            raise fenced(self._location.uri, self.epoch, found)

    def _explain_refusal(self, added: list[DataFile], error: Exception) -> None:
        """A refused commit: fenced, or ours all the same (an object store may lose the answer to a put)."""
        try:
            table = self._load()
            found = int(table.transaction_version(APPLICATION) or 0)
            committed = {file.name for file in _files_of(table, self._location, self._shape)}
        except StorageError as failure:
            raise self._unknown(failure) from error
        if found != self.epoch:
            raise fenced(self._location.uri, self.epoch, found) from error
        if not {file.name for file in added} <= committed:
            raise self._unknown(error) from error
        log.warning("%s: a commit was reported as refused, but is there", self._location.uri)

    def _unknown(self, error: Exception) -> StorageUnavailable:
        uri = self._location.uri
        detail = f"{uri}: a commit failed, and may have landed all the same: {first_line(error)}"
        return StorageUnavailable(detail, uri=uri, outcome="unknown")

    def _open_or_create(self, acknowledged: int) -> DeltaTable:
        found = self._find()
        if found is not None:
            return found
        if acknowledged:
            raise Corrupted(f"{self._location.uri} is gone: it held {acknowledged} events", uri=self._location.uri)
        self._location.prepare()
        with storage_errors(self._location.uri, "created"):
            try:
                table = DeltaTable.create(
                    self._location.uri,
                    self._schema,
                    mode="error",
                    configuration=_configuration(self._shape),
                    storage_options=dict(self._location.spec.options) or None,
                )
            except DeltaError:
                found = self._find()
                if found is None:
                    raise
                return found  # another owner was faster, or the answer to our own was lost
        sync_log(self._location)
        self._location.sync()
        return table

    def _load(self) -> DeltaTable:
        """A fresh handle. Raises StorageUnavailable, Corrupted."""
        table = self._find()
        if table is None:
            raise StorageUnavailable(f"{self._location.uri} is gone", uri=self._location.uri)
        return table

    def _find(self) -> DeltaTable | None:
        """A fresh handle, None when there is no table.

        A live owner's log cleanup may pull an entry away while we read: try again then. Not `is_deltatable`: it
        holds Python's interpreter lock while it waits for an object store.
        """
        uri, options = self._location.uri, dict(self._location.spec.options) or None
        for last_try in (False,) * (_LOAD_TRIES - 1) + (True,):
            try:
                return DeltaTable(uri, storage_options=options)
            except TableNotFoundError:
                return None
            except OSError as error:
                raise StorageUnavailable(f"{uri} could not be opened: {first_line(error)}", uri=uri) from error
            except DeltaError as error:
                if last_try:
                    raise self._unreadable(error) from error
                time.sleep(0.02)
        raise StorageUnavailable(f"{uri} could not be opened", uri=uri)

    def _unreadable(self, error: DeltaError) -> StorageError:
        uri, reason = self._location.uri, first_line(error)
        if self._location.local is None and any(sign in str(error) for sign in _STORE_SIGNS):
            return StorageUnavailable(f"{uri} could not be opened: {reason}", uri=uri)
        return Corrupted(f"the log of {uri} cannot be read: {reason}", file=f"{uri}/_delta_log")


def fenced(uri: str, own: int, found: int) -> Fenced:
    """The error of an owner whose epoch is no longer the shard's."""
    return Fenced(f"{uri}: epoch {own} was taken over by epoch {found}", uri=uri, epoch=own, current=found)


def _configuration(shape: Shape) -> dict[str, str]:
    # Minimum and maximum values stay in the log for ever: content must not be among them.
    return {**CONFIGURATION, "delta.dataSkippingStatsColumns": ",".join(shape.statistics)}


def _files_of(table: DeltaTable, location: Location, shape: Shape) -> tuple[DataFile, ...]:
    with storage_errors(location.uri, "read"):
        rows = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return from_log(rows, location.uri, shape)
