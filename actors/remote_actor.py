"""Calls from one actor to another: found by name, with a timeout, Ray's errors translated into ours."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from actors.errors import Fenced, MemosError, StateInUse, StorageUnavailable, Unavailable

log = logging.getLogger(__name__)

RETRY_AFTER_S = 2
REOPEN_EXIT_CODE = 70
OPENING_PAUSE_S = 1.0
HEALTH = "health"
"""Concurrency group of the calls that ask an actor how it is: they do not wait behind those that keep it busy."""

H = TypeVar("H")


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


@dataclass(frozen=True, slots=True)
class InstanceClaim:
    """Which instance may own a state's shards: the one that the state's `instance.json` names."""

    file: str
    instance: str

    def check(self) -> None:
        """Raise StateInUse when the state belongs to another instance by now."""
        path = Path(self.file)
        owner = json.loads(path.read_text())["instance"] if path.exists() else ""
        if owner != self.instance:
            raise StateInUse(f"the state of {path.parent} belongs to another instance now", file=self.file)


def opened(claim: InstanceClaim, open_host: Callable[[], H]) -> H:
    """What `open_host` opens, tried again while a part that it needs is away or an earlier owner still lives.

    An actor whose constructor raises is never started again by Ray, so only what cannot pass by itself is
    raised: a claim of another instance (StateInUse), ConfigError, Corrupted, NewerFormat. An index that is in use is
    that of an earlier process which is about to end.
    """
    while True:
        claim.check()
        try:
            return open_host()
        except (Unavailable, StorageUnavailable, Fenced, StateInUse) as error:
            log.warning("not opened yet, trying again: %s", error)
            time.sleep(OPENING_PAUSE_S)


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
