"""The connection to a Neo4j: made when it is first needed, its errors translated."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import neo4j
from neo4j.exceptions import AuthError, ConfigurationError, DriverError, Neo4jError

from actors.errors import ConfigError, MemosError, StorageUnavailable
from actors.stores.graph.store import GraphStoreSpec

R = TypeVar("R")

PAUSE_S = 1.0
"""After a call found the server away, calls fail at once for this long."""

REACH_S = 1.0
"""The longest that a TCP connection may take to open."""

_SCHEMES = tuple(f"{scheme}{tls}://" for scheme in ("bolt", "neo4j") for tls in ("", "+s", "+ssc"))

Records = list[list[Any]]
Say = Callable[[str, Mapping[str, Any]], Records]
"""Runs a statement in the transaction: its records, each a list of values."""


class Neo4jConnection:
    """Safe to use from many threads. Contacts nothing before the first call.

    The driver pools connections, tries again what a change of leader or a lost connection broke, for `timeout_s`, and
    asks the servers to end what takes longer. Then calls raise StorageUnavailable; ConfigError when it is the user or
    password that are refused.
    """

    def __init__(self, spec: GraphStoreSpec) -> None:
        self._uri = ", ".join(spec.addresses)
        self._spec = spec
        self._closed = threading.Event()
        self._next_try_s = 0.0
        self._away = ""
        if not (spec.addresses and self._uri.startswith(_SCHEMES)):
            raise ConfigError(f"graph.addresses {self._uri!r} is no address of a Neo4j, as bolt://host:7687 is")
        try:
            self._driver = neo4j.GraphDatabase.driver(
                spec.addresses[0],
                auth=(spec.user, spec.password),
                connection_timeout=min(REACH_S, spec.timeout_s),
                connection_acquisition_timeout=spec.timeout_s,
                max_transaction_retry_time=spec.timeout_s,
                user_agent="memory-os",
            )
        except (ConfigurationError, ValueError) as error:
            raise ConfigError(f"graph.addresses {self._uri!r} is no address of a Neo4j: {error}") from error
        # Each failure is raised, and told by who catches it; the driver would log each retry besides.
        logging.getLogger("neo4j").setLevel(logging.CRITICAL)

    @property
    def uri(self) -> str:
        return self._uri

    def read(self, work: Callable[[Say], R]) -> R:
        return self._run(lambda session: session.execute_read(self._saying(work)))

    def write(self, work: Callable[[Say], R]) -> R:
        """All that `work` says, or nothing of it. It may be called again, from its beginning."""
        return self._run(lambda session: session.execute_write(self._saying(work)))

    def outside_of_transactions(self, statement: str) -> None:
        """For changes of the schema, which take no company."""
        self._run(lambda session: session.run(neo4j.Query(statement)).consume())

    def unavailable(self, reason: str) -> StorageUnavailable:
        return StorageUnavailable(f"Neo4j at {self.uri}: {reason}", uri=self.uri)

    def close(self) -> None:
        """Later calls raise StorageUnavailable."""
        self._closed.set()
        self._driver.close()

    def _saying(self, work: Callable[[Say], R]) -> Callable[[neo4j.ManagedTransaction], R]:
        def within(transaction: neo4j.ManagedTransaction) -> R:
            def say(statement: str, parameters: Mapping[str, Any]) -> Records:
                found = transaction.run(statement, dict(parameters))
                return [list(record.values()) for record in found]

            return work(say)

        return neo4j.unit_of_work(timeout=self._spec.timeout_s)(within)

    def _run(self, work: Callable[[neo4j.Session], R]) -> R:
        if self._closed.is_set():
            raise self.unavailable("this index was closed")
        if time.monotonic() < self._next_try_s:
            raise self.unavailable(self._away)
        try:
            with self._driver.session(database=self._spec.database) as session:
                return work(session)
        except (DriverError, Neo4jError, OSError) as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> MemosError:
        reason = " ".join(str(error).split())[:300]
        if isinstance(error, AuthError):
            return ConfigError(f"Neo4j at {self.uri} refuses graph.user {self._spec.user!r} or its password: {reason}")
        if not isinstance(error, Neo4jError):
            self._away, self._next_try_s = reason, time.monotonic() + PAUSE_S
        return self.unavailable(reason)
