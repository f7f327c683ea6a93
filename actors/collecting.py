"""Python's collector of garbage, put off while very many objects are made that stay.

Each time a quarter more objects are there, the collector looks through every object of the process: with a few cubes
of 100,000 memories open it takes half a second and more, several times while one more is opened or rolled back. What
it looks for are circles, of which cubes have none; all else goes by its count of references, collector or not.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

MANY = 20_000

_guard = threading.Lock()
_paused = 0
_was_enabled = True


@contextmanager
def collecting_later() -> Iterator[None]:
    """No garbage is collected in this process until the block ends, and every other one that is under way in any
    thread. For blocks of a second or so.
    """
    global _paused, _was_enabled  # noqa: PLW0603 - the collector is one for the process
    with _guard:
        if not _paused:
            _was_enabled = gc.isenabled()
            gc.disable()
        _paused += 1
    try:
        yield
    finally:
        with _guard:
            _paused -= 1
            if not _paused and _was_enabled:
                gc.enable()


def making(objects: int) -> AbstractContextManager[None]:
    """`collecting_later` for who is about to make so many objects that stay; nothing special where they are few."""
    return collecting_later() if objects >= MANY else nullcontext()
