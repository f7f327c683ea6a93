"""API keys and cursors: what they look like, and how one that we gave out is told from one that we did not."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from actors.errors import InvalidCursor
from actors.memory.identity import RandomBytes, keyed_digest
from actors.memory.requests import Page

T = TypeVar("T")

_SECRET = re.compile(r"memos_([0-9a-f]{16})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Secret:
    """A new API key: `text` is shown once to its owner, `key_id` names it from then on."""

    text: str
    key_id: str


def new_secret(random_bytes: RandomBytes) -> Secret:
    """A new key, `memos_<id>_<256 random bits in hex>`."""
    key_id = random_bytes(8).hex()
    return Secret(f"memos_{key_id}_{random_bytes(32).hex()}", f"key_{key_id}")


def key_id_of(secret: str) -> str | None:
    """The id of the key that `secret` claims to be, None when it does not look like one."""
    match = _SECRET.fullmatch(secret)
    return None if match is None else f"key_{match[1]}"


def digest_secret(chain_key: bytes, secret: str) -> str:
    """What is stored of a key: a keyed hash. 256 random bits need no slow hash."""
    return keyed_digest(chain_key, "api-key", secret)


@dataclass(frozen=True, slots=True)
class CursorSigner:
    """Opaque cursors, bound to one list and one principal, signed so that made-up ones are refused."""

    key: bytes

    def encode(self, listing: str, principal: str, after: int) -> str:
        """A cursor that continues `listing` behind the record of that order."""
        raw = json.dumps([after, self._sign(listing, principal, after)]).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def decode(self, listing: str, principal: str, cursor: str | None) -> int | None:
        """The order behind which to go on, None to begin. Raises InvalidCursor."""
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            after, signature = json.loads(raw)
        except (ValueError, TypeError, binascii.Error) as error:
            raise _refused() from error
        if type(after) is not int or not isinstance(signature, str):
            raise _refused()
        if not hmac.compare_digest(signature.encode(), self._sign(listing, principal, after).encode()):
            raise _refused()
        return after

    def page(
        self, listing: str, principal: str, found: Iterable[tuple[int, T]], limit: int, cursor: str | None
    ) -> Page[T]:
        """A page of (order, item) pairs, by order; at least one item when there is one. Raises InvalidCursor."""
        after = self.decode(listing, principal, cursor)
        ordered = sorted((pair for pair in found if after is None or pair[0] > after), key=lambda pair: pair[0])
        items = tuple(item for _, item in ordered[: max(limit, 1)])
        more = len(ordered) > len(items)
        return Page(items, self.encode(listing, principal, ordered[len(items) - 1][0]) if more else None)

    def _sign(self, listing: str, principal: str, after: int) -> str:
        return keyed_digest(self.key, "cursor", listing, principal, str(after))[:32]


def _refused() -> InvalidCursor:
    return InvalidCursor("the cursor is not one that this list gave out; leave it out to begin anew")
