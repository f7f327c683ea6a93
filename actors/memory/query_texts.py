"""Texts of queries as the audit keeps them where a cube's policy asks for it: sealed, so that they can be erased. Pure.

An audit is a chain, and nothing can be taken out of it. So a text is in it enciphered, under a key that is made of the
state's key and of the salt of the cube's first event. Erasing the cube erases that salt with its content, and then
nobody reads the texts any more: who holds the state's key neither.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from actors.memory.auditing import AuditRow, detail_text

SEALED = "sealed"
"""In the detail of a row: the sealed text."""

TEXT = "text"
"""The same, as it is shown; null when nobody can read it any more."""

NONCE_BYTES = 16


def text_key(chain_key: bytes, cube_id: str, salt: bytes) -> bytes:
    """The key of a cube's query texts; `salt` is its first event's."""
    return hmac.digest(chain_key, b"query-texts\0" + cube_id.encode() + b"\0" + salt, hashlib.sha256)


def sealed(key: bytes, nonce: bytes, text: str) -> str:
    """The text, enciphered with a stream of HMACs of a counter. `nonce`: NONCE_BYTES, never used before."""
    raw = text.encode()
    return base64.b64encode(nonce + _mixed(key, nonce, raw)).decode()


def opened(key: bytes, stored: str) -> str:
    """What was sealed. That it is what was recorded, the chain of the audit says."""
    raw = base64.b64decode(stored)
    return _mixed(key, raw[:NONCE_BYTES], raw[NONCE_BYTES:]).decode(errors="replace")


def _mixed(key: bytes, nonce: bytes, raw: bytes) -> bytes:
    blocks = range(-(-len(raw) // hashlib.sha256().digest_size))
    stream = b"".join(hmac.digest(key, nonce + number.to_bytes(8, "big"), hashlib.sha256) for number in blocks)
    return bytes(a ^ b for a, b in zip(raw, stream, strict=False))


def shown(row: AuditRow, key: bytes | None) -> AuditRow:
    """The row with its query's text to read, where there is one; without a key it stays unread."""
    if f'"{SEALED}"' not in row.detail:
        return row
    detail: Mapping[str, Any] = json.loads(row.detail)
    stored = detail.get(SEALED)
    if not isinstance(stored, str):
        return row
    text = None if key is None else opened(key, stored)
    rest = {name: value for name, value in detail.items() if name != SEALED}
    return replace(row, detail=detail_text({**rest, TEXT: text}))
