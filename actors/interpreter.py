"""How the threads of a process share the interpreter."""

from __future__ import annotations

import sys

SWITCH_INTERVAL_S = 0.0005
"""Python lets a thread compute for 5 ms before another gets its turn. A search gives the interpreter up and asks for it
back dozens of times (a lock, an array, a model's layer), and beside threads that compute it would wait so each time.
"""


def take_short_turns() -> None:
    """For this process, from now on: threads that compute hand the interpreter on after half a millisecond."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
