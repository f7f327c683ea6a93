"""Calls from one actor to another: found by name, with a timeout, Ray's errors translated into ours."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from actors.errors import Fenced, MemosError, StateInUse, StorageUnavailable, Unavailable
from actors.instance_claim import InstanceClaim, watch

log = logging.getLogger(__name__)

RETRY_AFTER_S = 2
REOPEN_EXIT_CODE = 70
OPENING_PAUSE_S = 1.0
HEALTH = "health"
"""Concurrency group of the calls that ask an actor how it is: they do not wait behind those that keep it busy."""

H = TypeVar("H", bound="Closable")


@dataclass(frozen=True, slots=True)
class ActorAddress:
    """Where a named actor is found."""

    namespace: str
    name: str


class RemoteCalls:
    """Blocking calls to one named actor. The handle is looked up anew after the actor was gone."""

    def __init__(self, address: ActorAddress, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._handle: Any = None

    def call(self, method: str, *args: Any) -> Any:
        """The answer of a method. Raises the actor's own MemosError, Unavailable when it does not answer."""
        try:
            handle = self._handle  # another thread may forget it meanwhile
            if handle is None:
                handle = self._handle = ray.get_actor(self._address.name, namespace=self._address.namespace)
            return ray.get(getattr(handle, method).remote(*args), timeout=self._timeout_s)
        except (RayError, ValueError) as error:
            if isinstance(error, RayActorError | ValueError):
                self._handle = None
            raise translated(error, self._address.name) from error


def translated(error: Exception, name: str) -> MemosError:
    """Our error for what Ray raised when `name` was called."""
    if isinstance(error, RayTaskError):
        cause = error.cause
        if isinstance(cause, MemosError):
            return cause
        log.error("%s failed: %s", name, error)
        return MemosError(f"{name} failed; its log says why")
    if isinstance(error, GetTimeoutError):
        return Unavailable(f"{name} did not answer in time", part=name, retry_after_s=RETRY_AFTER_S, unanswered=True)
    if isinstance(error, RayActorError | ValueError):
        return Unavailable(f"{name} is down, it should be back soon", part=name, retry_after_s=RETRY_AFTER_S)
    return Unavailable(f"{name} cannot be reached: {type(error).__name__}", part=name, retry_after_s=RETRY_AFTER_S)


def node_id() -> str:
    """Id of the node that this actor runs on."""
    found: str = ray.get_runtime_context().get_node_id()
    return found


class Closable(Protocol):
    def close(self) -> None: ...


class Displaced:
    """Stands in a host's place when its shards belong to another instance: every call is told so.

    A constructor that raised would end the actor for good, and callers would hear no reason. Should the claim come
    back, the next call starts the actor anew.
    """

    def __init__(self, name: str, claim: InstanceClaim) -> None:
        self._name = name
        self._claim = claim

    def close(self) -> None:
        pass

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def refuse(*args: Any) -> Any:
            self._claim.check()
            leave(self._name, MemosError("the shards are its own again"), self.close)
            raise Unavailable(f"{self._name} starts anew", part=self._name, retry_after_s=RETRY_AFTER_S)

        return refuse


def opened(name: str, claim: InstanceClaim, open_host: Callable[[], H]) -> H:
    """What `open_host` opens, tried again while a part that it needs is away or an earlier owner still lives; a
    Displaced in its place when the claim is another instance's.

    An actor whose constructor raises is never started again by Ray, so only what cannot pass by itself is
    raised: ConfigError, Corrupted, NewerFormat. An index that is in use is that of an earlier process which is about
    to end.
    """
    while True:
        try:
            claim.check()
        except StateInUse as lost:
            log.error("%s stays away from its shards: %s", name, lost)
            return cast(H, Displaced(name, claim))
        except StorageUnavailable as error:
            log.warning("the owner of the storage cannot be looked up, trying again: %s", error)
            time.sleep(OPENING_PAUSE_S)
            continue
        try:
            host = open_host()
        except (Unavailable, StorageUnavailable, Fenced, StateInUse) as error:
            log.warning("not opened yet, trying again: %s", error)
            time.sleep(OPENING_PAUSE_S)
            continue
        watch(claim, partial(_leave_lost, name, host))
        return host


def _leave_lost(name: str, host: Closable, lost: MemosError) -> None:
    leave(name, lost, host.close)


def must_reopen(error: MemosError) -> bool:
    """Whether a host whose write raised this has to open its shards anew: taken over, or in doubt of a commit."""
    in_doubt = isinstance(error, StorageUnavailable) and error.facts.get("outcome", "none") != "none"
    return in_doubt or isinstance(error, Fenced)


def leave(name: str, reason: MemosError, close: Callable[[], None]) -> None:
    """End this process so that Ray starts it anew, with its shards opened afresh.

    The new process takes the shards back only while the state still names its instance (InstanceClaim),
    so two instances never fight over a state.
    """
    log.error("%s ends, to be started anew: %s", name, reason)

    def end() -> None:
        time.sleep(0.2)  # lets the answer that says so leave first
        threading.Timer(10.0, os._exit, (REOPEN_EXIT_CODE,)).start()  # whatever closing does
        try:
            close()
        finally:
            os._exit(REOPEN_EXIT_CODE)

    threading.Thread(target=end, name="leave", daemon=True).start()
