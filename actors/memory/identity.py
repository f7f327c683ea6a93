"""Identifiers: what they look like, how they are made, how text from outside becomes one."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

from actors.errors import InvalidRequest

SYSTEM_CUBE_ID = "@system"
"""The chain of the system shard. '@' keeps it apart from every cube that a user can name."""

_CUBE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PRINCIPAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}")
_MEMORY_ID = re.compile(r"mem_[0-9a-f]{32}")

RandomBytes = Callable[[int], bytes]
"""`secrets.token_bytes`, or a seeded stand-in of a test."""


def check_cube_id(text: str) -> str:
    """`text` when it is a cube id: 1 to 128 of letters, digits, `.`, `_`, `-`; else InvalidRequest."""
    if not _CUBE_ID.fullmatch(text):
        raise InvalidRequest(
            f"{text[:64]!r} is not a cube id: use 1 to 128 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return text


def check_principal_id(text: str) -> str:
    """`text` when it is a principal id: as a cube id, '@' and ':' allowed too; else InvalidRequest."""
    if not _PRINCIPAL_ID.fullmatch(text):
        raise InvalidRequest(
            f"{text[:64]!r} is not a principal id: use 1 to 128 letters, digits, '.', '_', '-', '@' or ':', "
            "beginning with a letter or digit"
        )
    return text


def is_memory_id(text: str) -> bool:
    return _MEMORY_ID.fullmatch(text) is not None


def new_id(prefix: str, at_us: int, random_bytes: RandomBytes) -> str:
    """A new id, `prefix_` and 32 hex digits: 56 bits of time in microseconds, then 72 random bits.

    Ids made later sort later, which keeps neighbours in time together on disk.
    """
    return f"{prefix}_{at_us & (1 << 56) - 1:014x}{random_bytes(9).hex()}"


def keyed_digest(key: bytes, *parts: str) -> str:
    """Hex HMAC-SHA256 over length-prefixed `parts`: names a text without storing or revealing it."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        raw = part.encode()
        mac.update(len(raw).to_bytes(8, "big"))
        mac.update(raw)
    return mac.hexdigest()
