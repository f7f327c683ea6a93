"""Who may be worked on now: a bounded number at once, a bounded line behind them, and a fair one.

While the line holds everybody, it is first come, first served. Once it overflows, what just arrived goes first and
what has waited longest is told to come back later ("adaptive LIFO", Maurer, "Fail at Scale", ACM Queue 13(8), 2015):
so those that are served are served soon, instead of everybody late. Principals take turns, and the longest line of one
gives way, so that nobody's flood keeps others out.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.errors import Overloaded
from serve.metrics import Metrics

OVERFLOWING_S = 1.0
"""How long after somebody was turned away the newest go first."""

TURNED_AWAY_AFTER_S = 0.5
"""Nobody is turned away sooner than this after arriving: a client that comes back at once would otherwise cost more
than one that is served."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """`running` are worked on at once, at most three quarters of them for one principal; `waiting` may wait. While
    another gate takes the processor, too, `beside` are worked on at once; 0: as many as ever.
    """

    running: int
    waiting: int
    beside: int = 0

    @property
    def crowded(self) -> GateLimits:
        """What holds meanwhile: the line is shorter in the same measure, so that nobody waits in it for longer."""
        if not self.beside or self.beside >= self.running:
            return self
        return GateLimits(self.beside, max(self.beside, self.waiting * self.beside // self.running))

    @property
    def of_one_key(self) -> int:
        """The places that one principal may have."""
        return max(1, self.running * 3 // 4)


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Of one ingress replica. Few searches run at once, since they take the processor; adds mostly wait for the disk
    and share their commits; how many chats run is the model's to bound.
    """

    searches: GateLimits = GateLimits(8, 56, beside=6)
    writes: GateLimits = GateLimits(64, 64, beside=6)
    reads: GateLimits = GateLimits(32, 96)
    chats: GateLimits = GateLimits(64, 64)
    imports: GateLimits = GateLimits(2, 8)


@dataclass(slots=True, eq=False)
class _Waiting:
    key: str
    arrived_s: float
    admitted: asyncio.Future[bool]


class Pass:
    """A place inside. `leave` gives it to the next in line; leaving twice does nothing."""

    def __init__(self, gate: Gate, key: str) -> None:
        self._gate, self._key = gate, key
        self._inside = True

    def leave(self) -> None:
        if self._inside:
            self._inside = False
            self._gate._left(self._key)


class Gate:
    """For one event loop. `what` names what is bounded, for the error."""

    def __init__(self, what: str, limits: GateLimits, clock: Callable[[], float] = monotonic) -> None:
        self._what = what
        self._limits = limits
        self._clock = clock
        self._running: dict[str, int] = {}
        self._lines: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._overflowed_s = float("-inf")
        self.crowded: Callable[[], bool] = lambda: False
        """Whether another gate takes the processor now."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when fewer run or wait here: another gate may have more places now."""
        self.turned_away = 0

    @property
    def running(self) -> int:
        return sum(self._running.values())

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def _now(self) -> GateLimits:
        return self._limits.crowded if self.crowded() else self._limits

    @asynccontextmanager
    async def admitted(self, key: str) -> AsyncIterator[Pass]:
        """Inside once it is the caller's turn, until the block ends or the pass is left.

        Raises Overloaded, half a second or more after arrival, when the line is full or was overtaken by newer ones.
        """
        place = await self._enter(key)
        try:
            yield place
        finally:
            place.leave()

    async def _enter(self, key: str) -> Pass:
        if self._may_run(key) and key not in self._lines:
            self._running[key] = self._running.get(key, 0) + 1
            return Pass(self, key)
        arrived = _Waiting(key, self._clock(), asyncio.get_running_loop().create_future())
        self._lines.setdefault(key, deque()).append(arrived)
        while self.waiting > self._now.waiting:
            self._turn_away()
        try:
            # Shielded: a caller that goes is noticed a moment later, and may be let in or turned away until then.
            inside = await asyncio.shield(arrived.admitted)
        except asyncio.CancelledError:
            self._forget(arrived)
            raise
        if not inside:
            await asyncio.sleep(max(0.0, arrived.arrived_s + TURNED_AWAY_AFTER_S - self._clock()))
            raise Overloaded(f"too many {self._what} at once; try again later", retry_after_s=1)
        return Pass(self, key)

    def _may_run(self, key: str) -> bool:
        now = self._now
        return self.running < now.running and self._running.get(key, 0) < now.of_one_key

    def _turn_away(self) -> None:
        """The longest line loses the one that has waited longest."""
        self._overflowed_s = self._clock()
        self.turned_away += 1
        longest = max(self._lines.values(), key=len)
        leaving = longest.popleft()
        if not longest:
            del self._lines[leaving.key]
        leaving.admitted.set_result(False)

    def _left(self, key: str) -> None:
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        self._changed()

    def _changed(self) -> None:
        self.admit()
        self.on_change()

    def admit(self) -> None:
        """Let in whoever may run now."""
        while self._admit_next():
            pass

    def _admit_next(self) -> bool:
        """Principals take turns; within one, the newest first while the line overflows, else the oldest."""
        newest_first = self._clock() - self._overflowed_s < OVERFLOWING_S
        for key in list(self._lines):
            if not self._may_run(key):
                continue
            line = self._lines.pop(key)
            chosen = line.pop() if newest_first else line.popleft()
            if line:
                self._lines[key] = line  # at the end: others first now
            self._running[key] = self._running.get(key, 0) + 1
            chosen.admitted.set_result(True)
            return True
        return False

    def _forget(self, gone: _Waiting) -> None:
        """The caller hung up while it waited, or just as it was let in."""
        if gone.admitted.done():
            if gone.admitted.result():
                self._left(gone.key)
            return
        line = self._lines.get(gone.key)
        if line is not None and gone in line:
            line.remove(gone)
            if not line:
                del self._lines[gone.key]
                self._changed()


def share_the_processor(searches: Gate, writes: Gate) -> None:
    """Beside writes few searches run, each the sooner done; and few writes while searches wait in line."""
    searches.crowded = lambda: writes.running > 0
    writes.crowded = lambda: searches.waiting > 0
    searches.on_change, writes.on_change = writes.admit, searches.admit


class Admission:
    """Lets requests in by kind: searches, writes, reads, chats and imports each through a gate of their own, so that
    none of them keeps the others out. A place is given up when the answer begins: who reads slowly holds nothing.
    """

    def __init__(self, app: ASGIApp, limits: AdmissionLimits, metrics: Metrics) -> None:
        self.app = app
        self._gates = {
            kind: Gate(kind, bound)
            for kind, bound in (
                ("searches", limits.searches),
                ("writes", limits.writes),
                ("reads", limits.reads),
                ("chats", limits.chats),
                ("imports", limits.imports),
            )
        }
        searches, writes = self._gates["searches"], self._gates["writes"]
        share_the_processor(searches, writes)
        metrics.watch_gates(self._gates)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = scope.get("state", {}).get("identity")
        if scope["type"] != "http" or identity is None or scope["path"] in UNBOUNDED_PATHS:
            await self.app(scope, receive, send)
            return
        async with self._gates[kind_of(scope["method"], scope["path"])].admitted(identity.caller.principal) as place:

            async def send_and_leave(message: Message) -> None:
                if message["type"] == "http.response.start":
                    place.leave()
                await send(message)

            await self.app(scope, receive, send_and_leave)


UNBOUNDED_PATHS = frozenset({"/v1/status"})
"""What an operator looks at while the system is overloaded."""


def kind_of(method: str, path: str) -> str:
    """Which gate a request goes through."""
    if path == "/v1/search":
        return "searches"
    if path.startswith("/v1/chat/"):
        return "chats"
    if method == "POST" and path == "/v1/cubes/import":
        return "imports"
    return "reads" if method in ("GET", "HEAD", "OPTIONS") else "writes"
