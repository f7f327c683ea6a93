"""A graphd for tests, in this process: nebula3's own Thrift processor behind a socket, and faults on demand."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nebula3.common.ttypes import DataSet, ErrorCode, Row, Value
from nebula3.fbthrift.protocol.THeaderProtocol import THeaderProtocolFactory
from nebula3.fbthrift.server.TServer import TRpcConnectionContext
from nebula3.fbthrift.transport.TSocket import TSocket
from nebula3.fbthrift.transport.TTransport import TTransportException
from nebula3.graph import GraphService
from nebula3.graph.ttypes import AuthResponse, ExecutionResponse, VerifyClientVersionResp

from actors.stores.graph.store import GraphBackend, GraphStoreSpec
from tests.contracts.milvus_server import free_port
from tests.contracts.nebula_engine import NebulaEngine, SemanticsRefused, SyntaxRefused, shape_of

USER, PASSWORD = "root", "only-for-the-tests"

EXPIRED = "expired"
"""The session of the next statement is known no more, whichever it is."""
LEADER = "leader"
"""The next statement finds a partition without a leader, told by a code of its own."""
LEADER_IN_WORDS = "leader in words"
"""Likewise, told as graphd does: as an error of execution."""
DROPPED = "dropped"
"""The connection breaks before the next statement is done."""
DONE_AND_DROPPED = "done and dropped"
"""The connection breaks when the next statement is done, before it is answered."""


class NebulaServer:
    """A graph service on a loopback port. It keeps its data and its port from one start to the next."""

    def __init__(self) -> None:
        self.engine = NebulaEngine()
        self.port = free_port()
        self.faults: deque[str] = deque()
        self.late = 0
        """How many statements about what was just made are refused, before it is known everywhere."""
        self.sent: list[str] = []
        self.shapes: set[str] = set()
        self.refused: list[str] = []
        self.sessions: dict[int, str] = {}
        self._next_session = 1
        self._lock = threading.Lock()
        self._own = threading.local()
        self._listener: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def spec(self, prefix: str, timeout_s: float = 10.0) -> GraphStoreSpec:
        return GraphStoreSpec(
            GraphBackend.NEBULA,
            (f"127.0.0.1:{self.port}",),
            USER,
            PASSWORD,
            prefix=prefix,
            timeout_s=timeout_s,
            settle_s=0,
        )

    # the service, as nebula3's processor calls it

    def authenticate(self, username: bytes, password: bytes) -> AuthResponse:
        if (_text(username), _text(password)) != (USER, PASSWORD):
            code, said = ErrorCode.E_BAD_USERNAME_PASSWORD, b"Invalid password"
            return AuthResponse(error_code=code, error_msg=said)
        with self._lock:
            self._next_session += 1
            self.sessions[self._next_session] = ""
            return AuthResponse(
                error_code=ErrorCode.SUCCEEDED,
                session_id=self._next_session,
                time_zone_offset_seconds=0,
                time_zone_name=b"UTC",
            )

    def signout(self, sessionId: int) -> None:  # noqa: N803
        with self._lock:
            self.sessions.pop(sessionId, None)

    def verifyClientVersion(self, req: Any) -> VerifyClientVersionResp:
        return VerifyClientVersionResp(error_code=ErrorCode.SUCCEEDED)

    def execute(self, sessionId: int, stmt: bytes) -> ExecutionResponse:  # noqa: N803
        return self.executeWithParameter(sessionId, stmt, None)

    def executeWithParameter(self, sessionId: int, stmt: bytes, parameterMap: Any) -> ExecutionResponse:  # noqa: N803
        statement = _text(stmt)
        with self._lock:
            self.sent.append(statement)
            fault = self.faults.popleft() if self.faults else ""
            if fault == EXPIRED:
                self.sessions.pop(sessionId, None)
            space = self.sessions.get(sessionId)
        if fault == DROPPED:
            self._drop()
        if space is None:
            return _refusal(ErrorCode.E_SESSION_INVALID, "Session not existed!")
        if fault == LEADER:
            return _refusal(ErrorCode.E_LEADER_CHANGED, "leader has changed")
        if fault == LEADER_IN_WORDS:
            return _refusal(ErrorCode.E_EXECUTION_ERROR, "Storage Error: Not the leader of 3. Please retry later.")
        answer = self._done(sessionId, statement, space)
        if fault == DONE_AND_DROPPED:
            self._drop()
        return answer

    def _drop(self) -> None:
        """Break the connection that this thread serves: whatever is answered reaches nobody."""
        self._own.client.shutdown(socket.SHUT_RDWR)

    def _done(self, session_id: int, statement: str, space: str) -> ExecutionResponse:
        try:
            if self.late and not statement.startswith("CREATE SPACE"):
                self.late -= 1
                raise SemanticsRefused("SpaceNotFound, or no schema found")
            self.shapes.add(shape_of(statement))
            space, (names, rows) = self.engine.run(statement, space)
        except SyntaxRefused as error:
            self.refused.append(statement)
            return _refusal(ErrorCode.E_SYNTAX_ERROR, str(error))
        except SemanticsRefused as error:
            return _refusal(ErrorCode.E_SEMANTIC_ERROR, str(error))
        with self._lock:
            self.sessions[session_id] = space
        data = DataSet(
            column_names=[n.encode() for n in names], rows=[Row(values=[_value(v) for v in r]) for r in rows]
        )
        return ExecutionResponse(
            error_code=ErrorCode.SUCCEEDED, latency_in_us=1, data=data if names else None, space_name=space.encode()
        )

    # the socket

    def start(self) -> None:
        assert self._listener is None
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._begin(self._accept, self._listener)

    def _begin(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with self._lock:
                    self._clients.add(client)
                self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        self._own.client = client
        transport = TSocket()
        transport.setHandle(client)
        protocol = THeaderProtocolFactory().getProtocol(transport)
        processor = GraphService.Processor(self)
        context = TRpcConnectionContext(transport, protocol, protocol)
        with suppress(TTransportException, OSError, EOFError):
            while True:
                processor.process(protocol, protocol, context)
        with self._lock:
            self._clients.discard(client)
        client.close()

    def kill(self) -> None:
        """Every connection breaks, every session is forgotten; what was acknowledged is kept."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            clients, self.sessions = list(self._clients), {}
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()


@contextmanager
def nebula_server() -> Iterator[NebulaServer]:
    server = NebulaServer()
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _text(said: bytes | str) -> str:
    return said.decode() if isinstance(said, bytes) else said


def _value(value: Any) -> Value:
    return Value(iVal=value) if isinstance(value, int) else Value(sVal=value.encode())


def _refusal(code: int, said: str) -> ExecutionResponse:
    return ExecutionResponse(error_code=code, latency_in_us=1, error_msg=said.encode())
