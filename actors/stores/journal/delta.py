"""The journal on a Delta table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from copy import copy

from actors.errors import Corrupted, Fenced, StorageError, StorageUnavailable
from actors.memory.erasure import Emptied
from actors.memory.events import Event
from actors.stores.journal.anchor import EMPTY, Anchor, Anchors, extend
from actors.stores.journal.bulk import discard, only_part, write_parts
from actors.stores.journal.compaction import CompactionLimits, join, to_join, write_rows
from actors.stores.journal.datafiles import (
    DataFile,
    read_cube_events,
    read_cube_hash,
    read_events,
    read_mentions,
)
from actors.stores.journal.deltalog import DeltaLog
from actors.stores.journal.emptying import holding, remove_strays, without_content
from actors.stores.journal.recovery import check_present, collect_orphans, mend_log
from actors.stores.journal.schema import to_table
from actors.stores.journal.shard_head import ShardHead
from actors.stores.journal.verification import chain_problems, cube_problems
from actors.stores.location import Location, StorageSpec

log = logging.getLogger(__name__)

Reader = Callable[[DataFile, int], Iterator[Event]]
"""Events of a file beyond a position, in order of position."""


class DeltaJournal:
    """ports.Journal on one Delta table, with the shard's head anchored outside it.

    One thread at a time appends, maintains and verifies. `read` and `read_cube` may run on other threads
    beside them; they answer what was committed when they were called.
    """

    def __init__(
        self, table: StorageSpec, anchors: StorageSpec, chain_key: bytes, limits: CompactionLimits | None = None
    ) -> None:
        """Open the shard's journal, made when there is none, and claim it.

        Raises StorageUnavailable (cannot be reached, or written), Corrupted naming the file (acknowledged
        events are missing, or something was changed), NewerFormat, Fenced (taken over while opening).
        """
        self._location = Location(table)
        self._anchors = Anchors(Location(anchors), chain_key)
        self._key = chain_key
        self._head = ShardHead(self._location, self._anchors, chain_key)
        self._limits = limits or CompactionLimits()
        self._failure: StorageError | None = None
        self._location.prepare()
        mend_log(self._location, lambda: (self._anchors.newest() or EMPTY).log_version)
        self._log = DeltaLog(self._location, (self._anchors.newest() or EMPTY).position)
        self._log.claim()
        self._files = self._log.files()
        check_present(self._location, self._files)
        self._anchor = self._head.restored(self._files, self.epoch, self._log.version)
        self._anchors.write(self._anchor)
        self._anchors.drop_before(self.epoch)
        collect_orphans(self._location, self._files, self.epoch)

    @property
    def uri(self) -> str:
        return self._location.uri

    @property
    def epoch(self) -> int:
        return self._log.epoch

    @property
    def position(self) -> int:
        files = self._files
        return files[-1].last if files else 0

    def append(self, events: Sequence[Event]) -> list[Event]:
        """As ports.Journal.append. A StorageUnavailable with the fact `outcome` "none" changed nothing, and the
        journal may be used on; after one with "unknown" every later append raises it again.
        """
        if self._failure is not None:
            raise copy(self._failure)
        if not events:
            return []
        first = self.position + 1
        placed = [event.at_position(first + i) for i, event in enumerate(events)]
        try:
            file, statistics = write_rows(self._location, to_table(placed), self.epoch, compacted=False)
        except StorageUnavailable as error:
            raise StorageUnavailable(error.detail, **error.facts, outcome="none") from error
        self._commit(file, statistics)
        self._files = (*self._files, file)
        self._anchor_commit(self.position, extend(self._key, self._anchor.head, (event.hash for event in placed)))
        return placed

    def append_parts(self, parts: Iterable[Sequence[Event]]) -> Event:
        """As ports.Journal.append_parts; fails as `append` does. A single part is an append like any other."""
        if self._failure is not None:
            raise copy(self._failure)
        single, parts = only_part(parts)
        if single is not None:
            return self.append(single)[-1]
        head = self._anchor.head

        def hashed() -> Iterator[Sequence[Event]]:
            nonlocal head
            for part in parts:
                head = extend(self._key, head, (event.hash for event in part))
                yield part

        written = write_parts(self._location, hashed(), self.epoch, self.position + 1)
        if written.last is None:
            raise ValueError("there is nothing to append")
        try:
            self._land(lambda: self._log.commit_all(written.files))
        except Fenced:
            discard(self._location, written)
            raise
        self._files = (*self._files, *(file for file, _ in written.files))
        self._anchor_commit(written.last.position, head)
        return written.last

    def read(self, after: int = 0) -> Iterator[Event]:
        return self._reading(after, self.position, lambda file, at: read_events(self._location, file, at))

    def read_cube(self, cube_id: str, after_version: int = 0) -> Iterator[Event]:
        events = self._reading(0, self.position, lambda file, at: read_cube_events(self._location, file, cube_id, at))
        return (event for event in events if event.version > after_version)

    def head_at(self, cube_id: str, version: int) -> bytes | None:
        while True:
            files = self._files
            try:
                found = (read_cube_hash(self._location, file, cube_id, version) for file in files)
                return next((head for head in found if head is not None), None)
            except FileNotFoundError as error:
                if files is self._files:  # not replaced by a compaction meanwhile: it is gone
                    raise Corrupted(f"a data file of {self.uri} is missing: {error}", file=self.uri) from error

    def mentioning(self, text: bytes) -> Iterator[Event]:
        def reader(file: DataFile, at: int) -> Iterator[Event]:
            return (event for event in read_mentions(self._location, file, text) if event.position > at)

        return self._reading(0, self.position, reader)

    def empty(self, positions: Collection[int]) -> Emptied:
        """As ports.Journal.empty: one commit a file, each of which replaces it by a copy without the content."""
        if self._failure is not None:
            raise copy(self._failure)
        rewritten = 0
        for old in holding(self._files, positions):
            written = without_content(self._location, old, positions, self.epoch)
            if written is None:
                continue
            file, statistics = written
            self._commit(file, statistics, [old])
            self._files = tuple(file if known == old else known for known in self._files)
            if self._failure is not None:
                raise copy(self._failure)
            self._location.delete(old.name)
            rewritten += 1
        self._log.check_owner()
        if rewritten:
            self._log.checkpoint()
        strays = remove_strays(self._location, {file.name for file in self._files}, self.epoch)
        self._location.sync()
        return Emptied(len(self._files), rewritten, strays)

    def maintain(self) -> bool:
        """Join small files, sum the log up and delete what was replaced, when `limits.appends` were committed.

        Deletes by name the files that its own commit replaced, never by listing: a fenced owner that gets
        this far cannot take a file of its successor.
        """
        if self._failure is not None:
            raise copy(self._failure)
        old = to_join(self._files, self._limits)
        if not old:
            return False
        file, statistics = join(self._location, old, self.epoch)
        self._commit(file, statistics, old)
        self._files = (*self._files[: len(self._files) - len(old)], file)
        if self._failure is not None:
            raise copy(self._failure)
        self._log.checkpoint()
        for replaced in old:
            self._location.delete(replaced.name)
        return True

    def verify(self, cube_id: str | None = None) -> list[str]:
        """As ports.Journal.verify, from what storage holds now. With a cube, no other cube is named."""
        problems = list(self._head.problems(self._anchor, self._log.files_anew))
        if problems and cube_id is not None:
            log.error("%s: %s", self.uri, "; ".join(problems))
            problems = ["the journal that holds this cube is not what was acknowledged: events are missing or changed"]
        try:
            files = self._log.files_anew()
            if cube_id is None:
                return problems + chain_problems(self._key, self._reading_from(files, None))
            return problems + cube_problems(self._key, cube_id, lambda cube: self._reading_from(files, cube))
        except StorageError as error:
            detail = str(error)
            return problems if detail in problems else [*problems, detail]

    def close(self) -> None:
        """Nothing to drain: what was acknowledged is durable. Later appends raise."""
        if self._failure is None:
            self._failure = StorageUnavailable(f"{self.uri}: this journal was closed", uri=self.uri, outcome="none")

    # committing

    def _commit(self, file: DataFile, statistics: str, replacing: Sequence[DataFile] = ()) -> None:
        self._land(lambda: self._log.commit([file], statistics, replacing))

    def _land(self, commit: Callable[[], None]) -> None:
        try:
            commit()
        except (Fenced, StorageUnavailable) as error:
            self._failure = copy(error)
            raise
        try:
            self._log.follow()
        except (Fenced, StorageUnavailable) as error:
            # Ours is committed and durable; it is the next one that cannot be.
            self._failure = error

    def _anchor_commit(self, position: int, head: bytes) -> None:
        self._anchor = Anchor(position, head, self.epoch, self._log.version)
        try:
            self._anchors.write(self._anchor)
        except StorageUnavailable as error:
            # Opening explains one commit without an anchor, not two: stop here.
            self._failure = StorageUnavailable(error.detail, **error.facts, outcome="unknown")
            raise copy(self._failure) from error

    # reading

    def _reading(self, after: int, until: int, reader: Reader) -> Iterator[Event]:
        """Events beyond `after` up to `until`. Compaction may replace files meanwhile: go on in the new ones."""
        reached = after
        files: tuple[DataFile, ...] = ()
        while reached < until:
            if files == self._files:
                missing = next(file for file in files if file.last > reached)
                name = self._location.name_of(missing.name)
                raise Corrupted(f"{name} is missing: it holds events {missing.first} to {missing.last}", file=name)
            files = self._files
            try:
                for file in files:
                    if reached < file.last and file.first <= until:
                        for event in reader(file, reached):
                            if event.position > until:
                                return
                            yield event
                            reached = event.position
                        reached = file.last
            except FileNotFoundError:
                continue

    def _reading_from(self, files: tuple[DataFile, ...], cube_id: str | None) -> Iterator[Event]:
        for file in files:
            try:
                if cube_id is None:
                    yield from read_events(self._location, file, 0)
                else:
                    yield from read_cube_events(self._location, file, cube_id, 0)
            except FileNotFoundError as error:
                name = self._location.name_of(file.name)
                raise Corrupted(f"{name} is missing", file=name) from error
