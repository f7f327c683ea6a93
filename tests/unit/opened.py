"""Hosts that a test opens: each holds half a dozen threads, which end with the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from actors.errors import MemosError

LONGEST_END_S = 10.0


class Closes(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closes)

_opened: list[Closes] = []


def closed_with_the_test(host: C) -> C:
    """Return the host; it is closed at the end of the unit test, whether or not the test closes it."""
    _opened.append(host)
    return host


@contextmanager
def nothing_left_running() -> Iterator[None]:
    """Close what was opened within, the last first, and raise AssertionError for threads that go on all the same."""
    before = set(threading.enumerate())
    yield
    while _opened:
        with suppress(MemosError):  # storage that a test took away
            _opened.pop().close()
    left = [thread for thread in threading.enumerate() if thread not in before and not _ends(thread)]
    assert not left, f"the test left threads running: {', '.join(sorted(thread.name for thread in left))}"


def _ends(thread: threading.Thread) -> bool:
    thread.join(LONGEST_END_S)
    return not thread.is_alive()
