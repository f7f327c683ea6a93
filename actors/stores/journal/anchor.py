"""The shard's head, kept outside the table: what tells a table that was cut short from a shorter one.

`head(n) = HMAC(key, head(n-1) || hash of event n)`, over the events in order of position. Each owner
writes an anchor file of its own, so that a late write of a fenced owner never hides its successor's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from actors.errors import Corrupted, NewerFormat
from actors.memory.events import GENESIS
from actors.memory.identity import keyed_digest
from actors.stores.location import Location

FORMAT = 1
_NAME = re.compile(r"anchor-(\d{8})\.json")


@dataclass(frozen=True, slots=True)
class Anchor:
    """How far the shard had come: `position` events, `head` over them, the owner's epoch, Delta's log version."""

    position: int
    head: bytes
    epoch: int
    log_version: int


EMPTY = Anchor(0, GENESIS, 0, -1)


def extend(chain_key: bytes, head: bytes, hashes: Iterable[bytes]) -> bytes:
    """The shard's head after more events, given their hashes in order of position."""
    for event_hash in hashes:
        head = hmac.digest(chain_key, head + event_hash, hashlib.sha256)
    return head


class Anchors:
    """The anchor files of one shard."""

    def __init__(self, location: Location, chain_key: bytes) -> None:
        self._location = location
        self._key = chain_key

    @property
    def uri(self) -> str:
        return self._location.uri

    def write(self, anchor: Anchor) -> None:
        """Replace the anchor of `anchor.epoch`, durably. Raises StorageUnavailable."""
        record = {"format": FORMAT, **asdict(anchor), "head": anchor.head.hex(), "mac": self._mac(anchor)}
        self._location.prepare()
        self._location.replace(_file(anchor.epoch), json.dumps(record).encode())

    def newest(self) -> Anchor | None:
        """The anchor of the latest owner, None when there is none. Raises Corrupted naming an edited one."""
        epochs = self._epochs()
        return self.read(max(epochs)) if epochs else None

    def read(self, epoch: int) -> Anchor | None:
        """One owner's anchor, None when it is missing. Raises Corrupted, NewerFormat."""
        name = self._location.name_of(_file(epoch))
        data = self._location.read(_file(epoch))
        if data is None:
            return None
        try:
            record = json.loads(data)
            known = record["format"] <= FORMAT
            if known:
                anchor = Anchor(
                    record["position"], bytes.fromhex(record["head"]), record["epoch"], record["log_version"]
                )
                sound = anchor.epoch == epoch and hmac.compare_digest(self._mac(anchor), record["mac"])
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(f"the anchor {name} cannot be decoded", file=name) from error
        if not known:
            raise NewerFormat(f"the anchor {name} was written by a newer version", uri=name)
        if not sound:
            raise Corrupted(f"the anchor {name} was edited, or made with another key", file=name)
        return anchor

    def drop_before(self, epoch: int) -> None:
        """Remove the anchors of earlier owners, half-written ones too."""
        for name in self._location.sizes():
            match = _NAME.search(name)
            if match and int(match[1]) < epoch:
                self._location.delete(name)

    def _epochs(self) -> list[int]:
        found = (_NAME.fullmatch(name) for name in self._location.sizes())
        return [int(match[1]) for match in found if match]

    def _mac(self, anchor: Anchor) -> str:
        parts = (str(anchor.position), anchor.head.hex(), str(anchor.epoch), str(anchor.log_version))
        return keyed_digest(self._key, "anchor", *parts)


def _file(epoch: int) -> str:
    return f"anchor-{epoch:08d}.json"
