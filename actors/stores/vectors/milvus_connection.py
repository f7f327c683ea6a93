"""The connection to a Milvus: opened when it is first needed and anew after it broke, its errors translated."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pymilvus import MilvusClient
from pymilvus.client.grpc_handler import grpc  # the one that pymilvus brings along and raises errors of
from pymilvus.exceptions import MilvusException

from actors.errors import Corrupted, StorageUnavailable
from actors.stores.vectors.store import VectorStoreSpec

R = TypeVar("R")

DRIVER_ERRORS = (MilvusException, grpc.RpcError, grpc.FutureTimeoutError)

PAUSE_S = 1.0
"""After a try to connect failed, calls fail at once for this long."""

REACH_S = 1.0
"""The longest that a TCP connection may take to open."""

_DEFAULT_PORTS = {"http": 19530, "https": 443, "tcp": 19530}
_CHANNEL = {
    "grpc.use_local_subchannel_pool": 1,  # else a new channel inherits the back-off of the one that broke
    "grpc.enable_http_proxy": 0,
}
_COLLECTION_NOT_FOUND = 100
_COLLECTION_NOT_LOADED = 101
_CONNECT_FAILED = 2


class NotLoaded(StorageUnavailable):
    """The server does not serve the collection yet: it was restarted, and `load_collection` is due."""


class MilvusConnection:
    """Safe to use from many threads. Opens nothing before the first call.

    Every call has `timeout_s`. One that finds the server away raises StorageUnavailable, and so does every call in the
    next PAUSE_S seconds, at once; then one connects again.
    """

    def __init__(self, spec: VectorStoreSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._client: Any = None
        self._away = ""
        self._next_try_s = 0.0
        self._closed = False
        # Each failure is raised, and told by who catches it; pymilvus would log each with its traceback besides.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

    @property
    def uri(self) -> str:
        return self._spec.uri

    def run(self, work: Callable[[Any], R]) -> R:
        """What `work` makes of the client. Raises StorageUnavailable with the URI (NotLoaded when the collection is
        not served), Corrupted when the collection is gone.
        """
        client = self._opened()
        try:
            return work(client)
        except DRIVER_ERRORS as error:
            raise self._translated(error, client) from error

    def close(self) -> None:
        """Later calls raise StorageUnavailable."""
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def unavailable(self, reason: str) -> StorageUnavailable:
        return StorageUnavailable(f"Milvus at {self.uri}: {reason}", uri=self.uri)

    def _opened(self) -> Any:
        # While it is away one caller tries; the others need not wait for what comes of it.
        if not self._lock.acquire(blocking=not self._away):
            raise self.unavailable(self._away)
        try:
            if self._closed:
                raise self.unavailable("this index was closed")
            if self._client is None:
                if time.monotonic() < self._next_try_s:
                    raise self.unavailable(self._away)
                self._client = self._connect()
                self._away = ""
            return self._client
        finally:
            self._lock.release()

    def _connect(self) -> Any:
        spec = self._spec
        try:
            self._reach()
            return MilvusClient(
                spec.uri, token=spec.token, timeout=spec.timeout_s, dedicated=True, grpc_options=dict(_CHANNEL)
            )
        except (OSError, *DRIVER_ERRORS) as error:
            self._away = _reason(error)
            self._next_try_s = time.monotonic() + PAUSE_S
            raise self.unavailable(self._away) from error

    def _reach(self) -> None:
        """Raise OSError when nobody listens: pymilvus would try on until its timeout."""
        target = urlsplit(self._spec.uri)
        if target.hostname:
            port = target.port or _DEFAULT_PORTS.get(target.scheme, 19530)
            socket.create_connection((target.hostname, port), min(REACH_S, self._spec.timeout_s)).close()

    def _translated(self, error: Exception, client: Any) -> StorageUnavailable | Corrupted:
        code = getattr(error, "code", None)
        if code == _COLLECTION_NOT_FOUND:
            return Corrupted(f"Milvus at {self.uri}: a collection is gone: {_reason(error)}", uri=self.uri)
        if code == _COLLECTION_NOT_LOADED:
            return NotLoaded(f"Milvus at {self.uri}: {_reason(error)}", uri=self.uri)
        if not isinstance(error, MilvusException) or isinstance(code, grpc.StatusCode) or code == _CONNECT_FAILED:
            self._forget(client, _reason(error))
        return self.unavailable(_reason(error))

    def _forget(self, client: Any, reason: str) -> None:
        with self._lock:
            if self._client is not client:
                return
            self._client = None
            self._away, self._next_try_s = reason, time.monotonic() + PAUSE_S
        client.close()


def _reason(error: Exception) -> str:
    if isinstance(error, MilvusException):
        said = str(error.message)
    elif isinstance(error, grpc.Call):
        said = f"{error.code().name}: {error.details()}"
    else:
        said = str(error)
    return " ".join(said.split())[:300]
