"""One at a time, in order of arrival, and only so many waiting."""

from __future__ import annotations

import math
import threading
import time
from collections import deque

from actors.errors import Overloaded

FIRST_GUESS_S = 5.0
"""How long a turn is thought to take before one was seen."""

_SMOOTHING = 0.3


class Turnstile:
    """Lets one ticket in at a time, the oldest first. Safe from any thread."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._line: deque[Ticket] = deque()
        self._moved = threading.Condition()
        self._turn_s = FIRST_GUESS_S

    @property
    def waiting(self) -> int:
        """Tickets in line, the one inside left out."""
        with self._moved:
            return max(len(self._line) - 1, 0)

    def join(self) -> Ticket:
        """A place at the end of the line. Raises Overloaded, with `retry_after_s`, when the line is full."""
        with self._moved:
            if len(self._line) > self._max_waiting:
                raise Overloaded(
                    f"{len(self._line) - 1} chats wait for the model already; try again later",
                    retry_after_s=max(1, math.ceil(self._turn_s)),
                )
            ticket = Ticket(self)
            self._line.append(ticket)
            return ticket

    def _wait(self, ticket: Ticket) -> bool:
        with self._moved:
            self._moved.wait_for(lambda: ticket.left or self._line[0] is ticket)
            if not ticket.left and ticket.entered_s is None:
                ticket.entered_s = time.monotonic()
            return not ticket.left

    def _leave(self, ticket: Ticket, *, even_inside: bool) -> None:
        with self._moved:
            if ticket.left or (ticket.entered_s is not None and not even_inside):
                return
            ticket.left = True
            self._line.remove(ticket)
            if ticket.entered_s is not None:
                took_s = time.monotonic() - ticket.entered_s
                self._turn_s += _SMOOTHING * (took_s - self._turn_s)
            self._moved.notify_all()


class Ticket:
    """A place in a Turnstile's line. Whoever holds one must `leave`, from whichever thread, once or more."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self.left = False
        self.entered_s: float | None = None

    def wait(self) -> bool:
        """Block until it is this ticket's turn; False when it was given up meanwhile."""
        return self._turnstile._wait(self)

    def leave(self) -> None:
        """Give the place up: the next one enters. Does nothing the second time."""
        self._turnstile._leave(self, even_inside=True)

    def give_up(self) -> None:
        """Leave the line if the turn has not come yet; a `wait` that blocks then returns False."""
        self._turnstile._leave(self, even_inside=False)
