"""Sessions of NebulaGraph: opened when they are needed, used again, left when they expire; errors translated.

The driver's own pool starts only while every server answers, which a cluster must not ask for; its connections and its
decoding of answers are used.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nebula3.common.ttypes import ErrorCode
from nebula3.Exception import AuthFailedException, ClientServerIncompatibleException, IOErrorException
from nebula3.fbthrift.Thrift import TException
from nebula3.gclient.net.Connection import Connection

from actors.errors import ConfigError, StorageUnavailable
from actors.stores.graph.store import GraphStoreSpec

PAUSE_S = 1.0
"""After no server could be reached, calls fail at once for this long."""

REACH_S = 1.0
"""The longest that an address may take to answer at all."""

RETRY_S = 0.05
"""The first pause before a statement is tried again; each is twice as long as the one before."""

_SESSIONS = 8
_CONNECTION_ERRORS = (TException, IOErrorException, ClientServerIncompatibleException, OSError, EOFError)
_EXPIRED = (ErrorCode.E_SESSION_INVALID, ErrorCode.E_SESSION_TIMEOUT)
_MOVING = (ErrorCode.E_LEADER_CHANGED, ErrorCode.E_RPC_FAILURE, ErrorCode.E_CONSENSUS_ERROR)

Rows = list[list[Any]]


class NebulaRefused(StorageUnavailable):
    """A server answered, and did not do what it was told."""


class NebulaSessions:
    """Safe to use from many threads, of which `_SESSIONS` are served at once. Contacts nothing before the first call.

    A statement is sent again, for `timeout_s` at most, when its session has expired, its connection broke (another
    address is tried then) or a partition is changing its leader. So statements must bear repeating.
    """

    def __init__(self, spec: GraphStoreSpec, space: str) -> None:
        self._spec = spec
        self._addresses = [_address(each) for each in spec.addresses]
        if not self._addresses:
            raise ConfigError("graph.addresses is empty: name each graphd of NebulaGraph, as host:port")
        self._use = f"USE {space}" if space else ""
        self._places = threading.BoundedSemaphore(_SESSIONS)
        self._lock = threading.Lock()
        self._idle: deque[_Session] = deque()
        self._turn = 0
        self._away, self._next_try_s = "", 0.0
        self._closed = False
        # Each failure is raised, and told by who catches it; the driver would log each besides.
        logging.getLogger("nebula3").setLevel(logging.CRITICAL)

    @property
    def uri(self) -> str:
        return ", ".join(self._spec.addresses)

    def run(self, statement: str) -> Rows:
        """The rows of the answer. Raises NebulaRefused, StorageUnavailable, and ConfigError for user or password."""
        until, pause_s = time.monotonic() + self._spec.timeout_s, RETRY_S
        while True:
            with self._session() as session:
                try:
                    answer = session.execute(statement)
                except _CONNECTION_ERRORS as error:
                    session.end()
                    reason = str(error)
                else:
                    if answer.error_code == ErrorCode.SUCCEEDED:
                        return _rows(answer)
                    reason = _reason(answer)
                    if answer.error_code in _EXPIRED:
                        session.end()
                    elif not _is_moving(answer):
                        raise self._refused(reason)
            if time.monotonic() + pause_s > until:
                raise self.unavailable(reason)
            time.sleep(pause_s)
            pause_s *= 2

    def unavailable(self, reason: str) -> StorageUnavailable:
        return StorageUnavailable(f"NebulaGraph at {self.uri}: {reason}", uri=self.uri)

    def close(self) -> None:
        """Later calls raise StorageUnavailable."""
        with self._lock:
            self._closed = True
            idle, self._idle = list(self._idle), deque()
        for session in idle:
            session.end()

    def _refused(self, reason: str) -> NebulaRefused:
        return NebulaRefused(f"NebulaGraph at {self.uri}: {reason}", uri=self.uri)

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        """A session of one's own, given back for others afterwards if it still lives."""
        with self._places:
            with self._lock:
                if self._closed:
                    raise self.unavailable("this index was closed")
                session = self._idle.pop() if self._idle else None
            session = session or self._opened()
            try:
                yield session
            except BaseException:
                session.end()
                raise
            with self._lock:
                if session.lives and not self._closed:
                    self._idle.append(session)
                    return
            session.end()

    def _opened(self) -> _Session:
        """A session with any of the servers, in turn. One caller after another finds out that they are away."""
        if time.monotonic() < self._next_try_s:
            raise self.unavailable(self._away)
        reasons = []
        for _ in self._addresses:
            self._turn += 1
            host, port = self._addresses[self._turn % len(self._addresses)]
            session = _Session()
            try:
                session.open(host, port, self._spec)
                self._enter(session)
                return session
            except AuthFailedException as error:
                session.end()
                raise ConfigError(
                    f"NebulaGraph at {self.uri} refuses graph.user {self._spec.user!r} or its password: {error}"
                ) from error
            except _CONNECTION_ERRORS as error:
                session.end()
                reasons.append(f"{host}:{port}: {error}")
        self._away, self._next_try_s = "; ".join(reasons), time.monotonic() + PAUSE_S
        raise self.unavailable(self._away)

    def _enter(self, session: _Session) -> None:
        """Be in the space. Raises NebulaRefused when there is none yet."""
        if self._use:
            answer = session.execute(self._use)
            if answer.error_code != ErrorCode.SUCCEEDED:
                session.end()
                raise self._refused(_reason(answer))


class _Session:
    """One connection and the session on it."""

    def __init__(self) -> None:
        self._connection = Connection()
        self._id = 0
        self.lives = False

    def open(self, host: str, port: int, spec: GraphStoreSpec) -> None:
        socket.create_connection((host, port), min(REACH_S, spec.timeout_s)).close()  # the driver's wait is `timeout_s`
        self._connection.open(host, port, int(1000 * spec.timeout_s))
        self._id = self._connection.authenticate(spec.user, spec.password).get_session_id()
        self.lives = True

    def execute(self, statement: str) -> Any:
        return self._connection.execute(self._id, statement)

    def end(self) -> None:
        """Give the session up, told to the server if it listens. Idempotent."""
        if self.lives:
            self.lives = False
            try:
                self._connection.signout(self._id)
            except _CONNECTION_ERRORS:
                logging.getLogger(__name__).debug("a session of NebulaGraph ends with its connection")
        self._connection.close()
        opening = self._connection._connection
        if opening is not None:  # the driver leaves the socket of a connection that broke while it was opened
            opening._iprot.trans.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"graph.addresses names {text!r}: a graphd of NebulaGraph is named host:port")
    return host, int(port)


def _is_moving(answer: Any) -> bool:
    """Whether a partition has no leader just now: told by its code, or by graphd in words."""
    if answer.error_code in _MOVING:
        return True
    return answer.error_code == ErrorCode.E_EXECUTION_ERROR and b"leader" in (answer.error_msg or b"").lower()


def _reason(answer: Any) -> str:
    said = (answer.error_msg or b"").decode("utf-8", "replace")
    name = ErrorCode._VALUES_TO_NAMES.get(answer.error_code, "error")
    return f"{name} ({answer.error_code}): {' '.join(said.split())[:300]}"


def _rows(answer: Any) -> Rows:
    if answer.data is None:
        return []
    return [[_plain(value) for value in row.values] for row in answer.data.rows]


def _plain(value: Any) -> str | int:
    """Texts and integers are all that is asked for; a text that is shorter than its fixed length ends with NULs."""
    held = value.value
    return held.decode().rstrip("\0") if isinstance(held, bytes) else int(held)
