"""Who is behind the keys that were seen lately, so that a request need not ask the system host again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

from actors.memory.ports import Clock
from actors.memory.system import Identity

LIMIT = 10_000
LIFE_US = 5 * 1_000_000


@dataclass(frozen=True, slots=True)
class _Entry:
    identity: Identity
    until_us: int


class Identities:
    """Bounded, and each entry short-lived: hosts and the system host refuse a revoked key by themselves.

    Secrets are kept as hashes alone.
    """

    def __init__(self, clock: Clock, limit: int = LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def find(self, secret: str, request_id: str) -> Identity | None:
        """The identity for this request, None when the system host has to be asked."""
        name = _name(secret)
        entry = self._entries.get(name)
        if entry is None:
            return None
        if self._clock.now_us() >= entry.until_us:
            del self._entries[name]
            return None
        self._entries.move_to_end(name)
        identity = entry.identity
        return replace(identity, caller=replace(identity.caller, request_id=request_id))

    def keep(self, secret: str, identity: Identity) -> None:
        until_us = self._clock.now_us() + LIFE_US
        if identity.expires_at_us is not None:
            until_us = min(until_us, identity.expires_at_us)
        self._entries[_name(secret)] = _Entry(identity, until_us)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def forget_key(self, key_id: str) -> None:
        self._forget({n for n, e in self._entries.items() if e.identity.caller.key_id == key_id})

    def forget_principal(self, principal: str) -> None:
        self._forget({n for n, e in self._entries.items() if e.identity.caller.principal == principal})

    def _forget(self, names: set[bytes]) -> None:
        for name in names:
            del self._entries[name]


def _name(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
