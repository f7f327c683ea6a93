"""Waiting for a store that comes back."""

from __future__ import annotations

import time
from collections.abc import Callable

from actors.errors import StorageUnavailable


def until_it_works(work: Callable[[], object], longest_s: float = 30.0) -> None:
    """As a lane of a projector does: try again until the store is back."""
    until = time.monotonic() + longest_s
    while True:
        try:
            work()
            return
        except StorageUnavailable:
            assert time.monotonic() < until, "it does not come back"
            time.sleep(0.05)
