"""An S3 server on loopback (moto), and a proxy in front of it that fails as networks and stores do.

Both run in threads of the test's own process: a call that held the interpreter's lock while it waits would never get
its answer.
"""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


class Fault(Enum):
    """What happens to a request. After LOST_ANSWER it has taken effect, after the others it has not."""

    NONE = "none"
    SLOW_DOWN = "503"
    SERVER_ERROR = "500"
    DROPPED = "dropped"
    LOST_ANSWER = "lost answer"
    EXPIRED = "expired"
    READ_ONLY = "read only"


Faults = Callable[[str, str], Fault]
"""(method, path) -> what happens to this request."""


def no_faults(method: str, path: str) -> Fault:
    return Fault.NONE


@dataclass
class S3:
    """A store with one bucket. `faults` may be changed at any time; `seen` counts what happened."""

    port: int
    bucket: str
    faults: Faults = no_faults
    seen: list[tuple[str, Fault]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/state"

    @property
    def options(self) -> dict[str, str]:
        """For deltalake and for `Location`."""
        return {
            "aws_endpoint_url": self.url,
            "aws_allow_http": "true",
            "aws_access_key_id": "id",
            "aws_secret_access_key": "secret",
            "aws_region": "us-east-1",
            "aws_conditional_put": "etag",
            "backoff_config.init_backoff": "20ms",
            "backoff_config.max_backoff": "100ms",
        }


@contextmanager
def s3_server() -> Iterator[S3]:
    """A fresh store, reached through the proxy."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    _, upstream = moto.get_host_and_port()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    proxy.daemon_threads = True
    store = S3(proxy.server_address[1], f"memos-{uuid.uuid4().hex}")  # moto's buckets are the process's
    proxy.upstream, proxy.store = upstream, store  # type: ignore[attr-defined]
    serving = threading.Thread(target=proxy.serve_forever, daemon=True)
    serving.start()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{upstream}",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    try:
        client.create_bucket(Bucket=store.bucket)
        yield store
    finally:
        client.close()
        proxy.shutdown()
        proxy.server_close()
        serving.join()
        moto.stop()


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}, says the store</Message></Error>'.encode()


_ANSWERS = {
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.SERVER_ERROR: (500, "InternalError"),
    Fault.EXPIRED: (400, "ExpiredToken"),
    Fault.READ_ONLY: (403, "AccessDenied"),
}


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        server: Any = self.server
        body = self._body()
        fault = server.store.faults(self.command, self.path)
        server.store.seen.append((self.command, fault))
        if fault is Fault.DROPPED:
            return self._hang_up()
        if fault in _ANSWERS:
            status, code = _ANSWERS[fault]
            return self._answer(status, [("Content-Type", "application/xml")], _error(code))
        upstream = http.client.HTTPConnection("127.0.0.1", server.upstream, timeout=30)
        try:
            headers = {
                k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "content-length")
            }
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            found = answer.read()
        finally:
            upstream.close()
        if fault is Fault.LOST_ANSWER:
            return self._hang_up()
        if self.command == "HEAD":
            return self._answer(answer.status, answer.getheaders(), b"", answer.getheader("Content-Length"))
        return self._answer(answer.status, answer.getheaders(), found)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)) if length is None else length)
        self.end_headers()
        if self.command != "HEAD":
            try:
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):  # deltalake reads ahead, and gives up what it need not have
                self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        pass
