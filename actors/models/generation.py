"""One answer in the making, and the right to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Self

from actors.memory.engine_ports import Generated
from actors.models.admission import Ticket


class Generation(Iterator[Generated]):
    """The pieces of an answer. Waits for its turn in the first `next`, and holds the engine until it ends.

    `close` may be called from any thread, while another is inside `next` too: a waiting one gives its place
    up, a working one stops after the step it is in (one token, or one piece of a long prompt). One that is
    dropped unread closes itself.
    """

    def __init__(self, ticket: Ticket, start: Callable[[threading.Event], Generator[Generated]]) -> None:
        self._ticket = ticket
        self._closed = threading.Event()
        self._inside = threading.Lock()
        self._pieces = start(self._closed)

    def __next__(self) -> Generated:
        try:
            with self._inside:
                return self._advance()
        finally:
            # A `close` that came meanwhile could not end what was running: it is for us to do.
            if self._closed.is_set():
                self._end_if_idle()

    def _advance(self) -> Generated:
        if self._closed.is_set() or not self._ticket.wait():
            raise StopIteration
        try:
            piece = next(self._pieces)
        except BaseException:
            self._closed.set()
            raise
        if piece.finish_reason is not None:
            self._closed.set()
        return piece

    def close(self) -> None:
        """Stop and free the engine; does nothing the second time. Never blocks."""
        self._closed.set()
        self._ticket.give_up()
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._inside.acquire(blocking=False):
            try:
                self._pieces.close()
                self._ticket.leave()
            finally:
                self._inside.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
