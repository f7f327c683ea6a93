"""What a host does with the texts of queries that its cubes' policies keep: they pass the gate, and are sealed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from actors.errors import MemosError
from actors.memory.auditing import AuditRow
from actors.memory.query_texts import NONCE_BYTES, SEALED, sealed, shown, text_key
from actors.redaction_gate import RedactionGate, Rule
from actors.shard import Shard

KEYS_HELD = 4096
"""Keys of cubes, so that the journal is not asked with every search."""


class QueryTexts:
    """Of one host. Safe to use from many threads."""

    def __init__(self, chain_key: bytes, gate: RedactionGate) -> None:
        self._chain_key = chain_key
        self._gate = gate
        self._keys: dict[str, bytes] = {}

    def kept(self, shard: Shard, cube_id: str, rule: Rule, text: str) -> dict[str, str]:
        """What the detail of a query's row holds beside its digest. What the cube's policy looks for is replaced in the
        text; while nobody can look for it, the text is left out, and so it is once the cube is erased.
        """
        try:
            passed = self._gate.replaced(rule, text)
        except MemosError:
            return {}
        key = self._key(shard, cube_id)
        return {} if key is None else {SEALED: sealed(key, secrets.token_bytes(NONCE_BYTES), passed)}

    def shown(self, shard: Shard, cube_id: str, rows: Sequence[AuditRow]) -> tuple[AuditRow, ...]:
        """The rows with their texts to read."""
        if not any(SEALED in row.detail for row in rows):
            return tuple(rows)
        key = self._key(shard, cube_id)
        return tuple(shown(row, key) for row in rows)

    def _key(self, shard: Shard, cube_id: str) -> bytes | None:
        with shard.reading(cube_id) as cube:
            erased = cube_id in cube.state.erased
        if erased:
            self._keys.pop(cube_id, None)
            return None
        key = self._keys.get(cube_id)
        if key is None:
            salt = shard.first_salt(cube_id)
            if salt is None:
                return None
            if len(self._keys) >= KEYS_HELD:
                self._keys.clear()
            key = self._keys[cube_id] = text_key(self._chain_key, cube_id, salt)
        return key
