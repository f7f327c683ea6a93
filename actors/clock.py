"""The clock of the machine."""

from __future__ import annotations

import time


class SystemClock:
    """ports.Clock: wall time. Record times built on it never go back all the same (Draft.emit)."""

    def now_us(self) -> int:
        return time.time_ns() // 1000
