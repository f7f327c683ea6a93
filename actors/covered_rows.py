"""Which rows of a cube may be shown to whom it is masked for: remembered, since a search asks for all of them."""

from __future__ import annotations

import numpy as np

from actors.memory.disclosure import Disclosure
from actors.memory.ports import Mask
from actors.memory.rows import Rows


class CoveredRows:
    """Of one open cube; called with its lock held. Rows are only ever added, so what was looked at stays true."""

    __slots__ = ("_entities", "_mask")

    def __init__(self) -> None:
        self._entities: tuple[str, ...] | None = None
        self._mask: Mask = np.zeros(0, dtype=np.bool_)

    def of(self, rows: Rows, seen: Disclosure) -> Mask:
        """Shape (rows,): the rows whose memories were looked through for what the policy names. Not to be changed."""
        if self._entities != seen.entities:
            self._entities, self._mask = seen.entities, np.zeros(0, dtype=np.bool_)
        done = len(self._mask)
        if done < len(rows):
            fresh = np.fromiter(map(seen.covers, rows.memories[done:]), dtype=np.bool_, count=len(rows) - done)
            self._mask = np.concatenate([self._mask, fresh])
        return self._mask
