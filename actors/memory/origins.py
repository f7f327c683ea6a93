"""Who recorded each event of a cube, and in which request."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

NEVER = 1 << 62
"""A cube version that is not reached: no origin is known."""

RUN_BYTES = 16
"""A run's places in the tables, without its request's id."""


@dataclass(frozen=True, slots=True)
class RecordedBy:
    """What an event says of where it came from."""

    principal: str
    request_id: str


@dataclass(slots=True)
class Origins:
    """The origins of a cube's events, in runs: events that follow each other in one request share an entry, and
    request ids stand in one row of bytes. So a request costs its id and 16 bytes, however many events it makes.
    """

    since: array[int] = field(default_factory=lambda: array("q"))
    """Cube version of each run's first event."""
    principals: list[str] = field(default_factory=list)
    """Every principal once, in order of its first event."""
    _who: array[int] = field(default_factory=lambda: array("i"))
    _ends: array[int] = field(default_factory=lambda: array("i"))
    _requests: bytearray = field(default_factory=bytearray)

    @property
    def held_bytes(self) -> int:
        return RUN_BYTES * len(self.since) + len(self._requests)

    def note(self, version: int, principal: str, request_id: str) -> int:
        """Take the origin of the next event in; the bytes that it took."""
        if self.since and self._run(len(self.since) - 1) == RecordedBy(principal, request_id):
            return 0
        if principal not in self.principals:
            self.principals.append(principal)
        raw = request_id.encode()
        self._requests += raw
        self.since.append(version)
        self._who.append(self.principals.index(principal))
        self._ends.append(len(self._requests))
        return RUN_BYTES + len(raw)

    def at(self, version: int) -> RecordedBy | None:
        """The origin of the event that made a cube version; None when it was not noted."""
        run = bisect_right(self.since, version) - 1
        return None if run < 0 else self._run(run)

    @property
    def begins(self) -> int:
        """The first cube version that is known; earlier ones were folded by a build that kept no origins."""
        return self.since[0] if self.since else NEVER

    def _run(self, run: int) -> RecordedBy:
        start = self._ends[run - 1] if run else 0
        return RecordedBy(self.principals[self._who[run]], self._requests[start : self._ends[run]].decode())

    def cut(self, version: int) -> Origins:
        """The origins of the events up to a cube version."""
        runs = bisect_right(self.since, version)
        end = self._ends[runs - 1] if runs else 0
        return Origins(self.since[:runs], self.principals[:], self._who[:runs], self._ends[:runs], self._requests[:end])

    def copy(self) -> Origins:
        return Origins(self.since[:], self.principals[:], self._who[:], self._ends[:], self._requests[:])

    def to_snapshot(self) -> list[Any]:
        return [
            self.principals,
            self.since.tolist(),
            self._who.tolist(),
            self._ends.tolist(),
            self._requests.decode(),
        ]

    @classmethod
    def from_snapshot(cls, stored: list[Any] | None) -> Origins:
        """None: a snapshot of a build that kept none."""
        if stored is None:
            return cls()
        principals, since, who, ends, requests = stored
        return cls(array("q", since), principals, array("i", who), array("i", ends), bytearray(requests.encode()))
