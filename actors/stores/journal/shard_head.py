"""Comparing a journal with its anchor: whether the committed events are those that were acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from actors.errors import Corrupted, MemosError
from actors.stores.journal.anchor import EMPTY, Anchor, Anchors, extend
from actors.stores.journal.datafiles import DataFile, read_events, read_hashes
from actors.stores.journal.recovery import sync_data
from actors.stores.journal.verification import self_sealed
from actors.stores.location import Location

Files = tuple[DataFile, ...]
"""The data files of a journal, in order of position."""


@dataclass(frozen=True, slots=True)
class ShardHead:
    """The head of the journal at `location`, whose owners wrote `anchors`."""

    location: Location
    anchors: Anchors
    chain_key: bytes

    def restored(self, files: Files, epoch: int, log_version: int) -> Anchor:
        """The anchor of all committed events: the newest file, and the one commit that it may have missed.

        For the owner of `epoch`, who has just claimed the journal. Raises Corrupted.
        """
        position = files[-1].last if files else 0
        anchor = self.anchors.newest()
        if anchor is None:
            if files:
                raise Corrupted(
                    f"the anchor of {self.location.uri} is missing from {self.anchors.uri}: "
                    f"{position} events cannot be told from a shorter or longer journal",
                    uri=self.anchors.uri,
                )
            anchor = EMPTY
        self._check_not_put_back(anchor, files, epoch)
        head = anchor.head
        for file in files:
            if file.last > anchor.position:
                sync_data(self.location, file)
                head = self._extend_by(head, file)
        return Anchor(position, head, epoch, log_version)

    def _check_not_put_back(self, anchor: Anchor, files: Files, epoch: int) -> None:
        uri, position = self.location.uri, files[-1].last if files else 0
        if anchor.epoch >= epoch:
            raise Corrupted(
                f"{uri} stood at epoch {epoch - 1}, but epoch {anchor.epoch} had claimed it "
                f"({self.anchors.uri}): the log was cut off or put back",
                uri=uri,
            )
        if anchor.position > position:
            raise Corrupted(
                f"{uri} ends at event {position}, but {anchor.position} were acknowledged "
                f"({self.anchors.uri}): the tail was cut off",
                uri=uri,
            )
        ahead = [file for file in files if file.last > anchor.position]
        newest_epoch = max((file.epoch for file in files), default=0)
        commits = {file.bulk or file.name for file in ahead}
        if len(commits) > 1 or (ahead and ahead[0].first != anchor.position + 1) or newest_epoch > anchor.epoch:
            raise Corrupted(
                f"the anchor in {self.anchors.uri} stands at event {anchor.position} of {position}: older than "
                "one unacknowledged commit explains, so it was put back or lost",
                uri=self.anchors.uri,
            )

    def _extend_by(self, head: bytes, file: DataFile) -> bytes:
        name = self.location.name_of(file.name)
        hashes = []
        for event in read_events(self.location, file, 0):
            if not self_sealed(self.chain_key, event):
                raise Corrupted(f"{name}: event {event.position} was not sealed with this shard's key", file=name)
            hashes.append(event.hash)
        return extend(self.chain_key, head, hashes)

    def problems(self, written: Anchor, files_anew: Callable[[], Files]) -> Iterator[str]:
        """What is wrong with the anchor, `written` being the last one, and with the events that it stands for."""
        uri = self.location.uri
        try:
            anchor = self.anchors.read(written.epoch)
            if anchor is None:
                yield f"the anchor of epoch {written.epoch} is missing from {self.anchors.uri}"
                anchor = written
            elif anchor != written:
                yield f"the anchor in {self.anchors.uri} is not the one that was written last"
                anchor = written
            head, reached, at_anchor = EMPTY.head, 0, EMPTY.head
            for file in files_anew():
                hashes = read_hashes(self.location, file)
                head = extend(self.chain_key, head, hashes)
                reached = file.last
                if reached == anchor.position:
                    at_anchor = head
        except FileNotFoundError as error:
            yield f"a data file is missing: {error}"
            return
        except MemosError as error:
            yield str(error)
            return
        if reached < anchor.position:
            yield f"{uri} ends at event {reached}, but {anchor.position} were acknowledged: the tail was cut off"
        elif at_anchor != anchor.head:
            yield f"{uri}: the events up to {anchor.position} are not those that were acknowledged"
        if reached > anchor.position:
            yield f"{uri} goes on to event {reached}, but {anchor.position} were acknowledged"
