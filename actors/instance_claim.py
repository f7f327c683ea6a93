"""Which instance owns a state's shards: the one that `instance.json` names, in the state folder or beside the
journal.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from actors.errors import MemosError, StateInUse, StorageUnavailable
from actors.stores.location import Location, StorageSpec

log = logging.getLogger(__name__)

CLAIM_FILE = "instance.json"
WATCH_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class InstanceClaim:
    """What a host was placed under: `instance` may own the shards as long as the file in `storage` names it."""

    storage: StorageSpec
    instance: str

    def check(self) -> None:
        """Raise StateInUse when the state belongs to another instance by now; StorageUnavailable when that
        cannot be read.
        """
        location = Location(self.storage)
        data = location.read(CLAIM_FILE)
        try:
            record = {} if data is None else json.loads(data)
            owner = str(record["instance"]) if data is not None else ""
        except (ValueError, KeyError, TypeError) as error:
            raise StateInUse(f"{location.name_of(CLAIM_FILE)} cannot be read", uri=location.uri) from error
        if owner == self.instance:
            return
        who = f"instance {owner}" + (f" ({record['where']})" if record.get("where") else "") if owner else "nobody"
        raise StateInUse(
            f"{location.uri} belongs to {who} now: instance {self.instance} was fenced, or stopped, and writes no more",
            uri=location.uri,
        )


def watch(claim: InstanceClaim, lost: Callable[[MemosError], None]) -> None:
    """Look at the claim every now and then, on a thread of its own; call `lost` once when it is another's.

    Writes of an owner that was fenced are refused without this; it is for one that only reads.
    """

    def look() -> None:
        pause = threading.Event()
        while not pause.wait(WATCH_EVERY_S):
            try:
                claim.check()
            except StorageUnavailable as error:
                log.warning("the owner of the storage cannot be looked up: %s", error)
            except StateInUse as error:
                lost(error)
                return

    threading.Thread(target=look, name="claim", daemon=True).start()
