"""Work that goes on over several calls of one caller: bounded in number, ended when nobody goes on with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from actors.errors import Overloaded, Unavailable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class Closable(Protocol):
    def close(self) -> None:
        """Let go of everything; never raises."""
        ...


S = TypeVar("S", bound=Closable)


@dataclass(slots=True)
class _Held(Generic[S]):
    session: S
    owner: str
    touched_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)


class Sessions(Generic[S]):
    """At most `at_once`; one that is not used for `idle_s` is closed. Safe to use from many threads."""

    def __init__(self, what: str, at_once: int, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._at_once = at_once
        self._idle_s = idle_s
        self._clock = clock
        self._guard = threading.Lock()
        self._held: dict[str, _Held[S]] = {}
        self._closing = threading.Event()
        self._looking = False

    def __len__(self) -> int:
        with self._guard:
            return len(self._held)

    def open(self, name: str, owner: str, make: Callable[[], S]) -> None:
        """Make a session that is known by `name` to `owner` alone. Raises Overloaded, and what `make` raises."""
        self.end_idle()
        with self._guard:
            if self._closing.is_set():
                raise Unavailable("the host is closing", retry_after_s=1)
            if len(self._held) >= self._at_once:
                raise Overloaded(f"{self._at_once} {self._what}s are under way already", retry_after_s=5)
            self._held[name] = _Held(make(), owner, self._clock())
            if not self._looking:
                self._looking = True
                threading.Thread(target=self._look, name=f"{self._what}-sessions", daemon=True).start()

    def holds(self, name: str) -> bool:
        """Whether a session is under way."""
        with self._guard:
            return name in self._held

    @contextmanager
    def using(self, name: str, owner: str) -> Iterator[S]:
        """The session, for this caller alone until the block ends. Raises Unavailable for one that is gone."""
        with self._guard:
            held = self._held.get(name)
        if held is None or held.owner != owner:
            raise self._gone()
        with held.lock:
            with self._guard:
                if self._held.get(name) is not held:
                    raise self._gone()
            try:
                yield held.session
            finally:
                held.touched_s = self._clock()

    def end(self, name: str) -> None:
        """Close a session, once whoever uses it is done; one that is gone is fine."""
        with self._guard:
            held = self._held.pop(name, None)
        if held is not None:
            with held.lock:
                held.session.close()

    def end_idle(self) -> None:
        """Close what nobody has used for too long."""
        with self._guard:
            now_s = self._clock()
            idle = [
                name
                for name, held in self._held.items()
                if now_s - held.touched_s > self._idle_s and not held.lock.locked()
            ]
        for name in idle:
            log.info("an %s that nobody went on with is ended", self._what)
            self.end(name)

    def close(self) -> None:
        """End all of them, and open no more."""
        self._closing.set()
        with self._guard:
            names = list(self._held)
        for name in names:
            self.end(name)

    def _look(self) -> None:
        while not self._closing.wait(LOOK_EVERY_S):
            self.end_idle()
            with self._guard:
                if not self._held:
                    self._looking = False
                    return

    def _gone(self) -> Unavailable:
        return Unavailable(
            f"this {self._what} has ended: its host was restarted, or nobody went on with it for {self._idle_s:g} s",
            retry_after_s=1,
        )
