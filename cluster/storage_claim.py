"""Who owns a storage: one object beside the journals, `<journal_uri>/instance.json`.

The epochs of the journals decide which of two owners can write. The claim is what tells a person, before anything
starts, and what makes the hosts of an instance that lost the storage stay away from it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from actors.errors import ConfigError, Corrupted, NewerFormat, StateInUse
from actors.instance_claim import CLAIM_FILE
from actors.memory.identity import keyed_digest
from actors.stores.location import Location, StorageSpec

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """`instance` is empty when nobody owns the storage. `shards` is fixed with the first claim; `seal` tells the chain
    key that the journals are sealed with, without giving it away.
    """

    instance: str
    where: str
    since_us: int
    shards: int
    seal: str
    format: int = FORMAT

    @property
    def since(self) -> str:
        return datetime.fromtimestamp(self.since_us / 1e6, UTC).isoformat(timespec="seconds")


def seal_of(chain_key: bytes) -> str:
    """What the claim keeps of a chain key."""
    return keyed_digest(chain_key, "claim")


class StorageClaim:
    """The claim on one storage."""

    def __init__(self, storage: StorageSpec) -> None:
        self._location = Location(storage)

    @property
    def name(self) -> str:
        return self._location.name_of(CLAIM_FILE)

    def read(self) -> ClaimRecord | None:
        """Who owns the storage, None when nobody ever did. Raises StorageUnavailable, Corrupted, NewerFormat."""
        data = self._location.read(CLAIM_FILE)
        if data is None:
            return None
        try:
            record = json.loads(data)
            if record["format"] > FORMAT:
                raise NewerFormat(f"{self.name} was written by a newer version", uri=self.name)
            return ClaimRecord(**record)
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(
                f"{self.name} cannot be read; remove it once no cluster uses this storage", file=self.name
            ) from error

    def take(self, wanted: ClaimRecord, takeover: str, predecessor: str = "") -> ClaimRecord | None:
        """Make the storage ours; answers whom that fenced, None when it was free or ours.

        `predecessor` is an instance that is known to be gone. Raises StateInUse naming the owner, unless `takeover` is
        "fence"; ConfigError for another number of shards or another chain key than the storage was made with.
        """
        found = self.read()
        fenced = None
        if found is not None:
            self._check_alike(found, wanted)
            if found.instance not in ("", wanted.instance, predecessor):
                if takeover != "fence":
                    raise StateInUse(
                        f"{self._location.uri} is in use by instance {found.instance} ({found.where}, since "
                        f"{found.since}); stop it there with `memos down`, or, if it is gone or is to be fenced, set "
                        "cluster.takeover: fence",
                        uri=self._location.uri,
                    )
                fenced = found
        self._write(wanted)
        now = self.read()
        if now is None or now.instance != wanted.instance:
            who = "nobody" if now is None else f"instance {now.instance} ({now.where})"
            raise StateInUse(f"{self._location.uri} was claimed by {who} at the same time", uri=self._location.uri)
        return fenced

    def free(self, instance: str) -> bool:
        """Give the storage up, if it is this instance's; what is fixed with the first claim stays."""
        found = self.read()
        if found is None or found.instance != instance:
            return False
        self._write(replace(found, instance="", where=""))
        return True

    def _write(self, record: ClaimRecord) -> None:
        self._location.prepare()
        self._location.replace(CLAIM_FILE, (json.dumps(asdict(record), indent=2) + "\n").encode())

    def _check_alike(self, found: ClaimRecord, wanted: ClaimRecord) -> None:
        if found.shards != wanted.shards:
            raise ConfigError(
                f"cluster.shards is {wanted.shards}, but {self._location.uri} was created with {found.shards}; "
                f"set it to {found.shards}",
                setting="cluster.shards",
            )
        if found.seal != wanted.seal:
            raise ConfigError(
                f"{self._location.uri} is sealed with another key than secrets/chain.key of state.folder; "
                "use the chain.key that it was created with",
                setting="state.folder",
            )
