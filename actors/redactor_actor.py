"""RedactorActor: the recognizer of personal data as a Ray actor, and the port over it.

It takes memory and seconds to start, so it is started by the first host that needs it: where no cube's policy is about
personal data, there is none.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from actors.errors import Unavailable
from actors.footprint import footprint
from actors.memory.ports import JsonObject
from actors.memory.screening import Passage, Span
from actors.models.recognition import RecognizerSpec
from actors.remote_actor import HEALTH, ActorAddress, RemoteCalls, node_id, translated

if TYPE_CHECKING:
    from actors.models.presidio import PresidioRecognizer

FIND_TIMEOUT_S = 25.0
CONCURRENCY = 8
AT_ONCE = 128
"""Passages of one call."""

HEALTH_CONCURRENCY = 2


class RedactorActor:
    """One recognizer, its threads its own. Calls take turns: it computes."""

    def __init__(self, spec: RecognizerSpec) -> None:
        for unused in ("torch", "transformers"):
            sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # spaCy loads them where it finds them: 250 MB
        from actors.models.presidio import PresidioRecognizer  # hosts import this module without spaCy

        self._recognizer: PresidioRecognizer = PresidioRecognizer(spec)
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._calls = 0
        """Those that are here: the one whose turn it is, and those behind it."""
        self._texts = 0

    def find(self, passages: Sequence[Passage], kinds: Sequence[str]) -> list[list[Span]]:
        with self._counting:
            self._calls += 1
            self._texts += len(passages)
        try:
            with self._turn:
                return self._recognizer.find(passages, kinds)
        finally:
            with self._counting:
                self._calls -= 1

    @ray.method(concurrency_group=HEALTH)
    def status(self) -> JsonObject:
        with self._counting:
            queue = {"texts": self._texts, "waiting": max(0, self._calls - 1)}
        return {"node": node_id(), **footprint(), "kinds": list(self._recognizer.kinds), **queue}

    @ray.method(concurrency_group=HEALTH)
    def ready(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class RecognizerPlace:
    """Where the recognizer is found, what it is made of when it is not there, and Ray's options for its process."""

    address: ActorAddress
    spec: RecognizerSpec = field(default_factory=RecognizerSpec)
    options: Mapping[str, Any] = field(default_factory=dict)


class RemoteRecognizer:
    """A Recognizer in another process, started when it is first needed. Raises Unavailable while it does not answer."""

    def __init__(self, place: RecognizerPlace, timeout_s: float = FIND_TIMEOUT_S) -> None:
        self._place = place
        self._calls = RemoteCalls(place.address, timeout_s)
        self._started = False

    @property
    def kinds(self) -> tuple[str, ...]:
        return self._place.spec.kinds

    def find(self, passages: Sequence[Passage], kinds: Sequence[str]) -> list[list[Span]]:
        found: list[list[Span]] = []
        for start in range(0, len(passages), AT_ONCE):  # so that a large add leaves room for others
            found += self._call(passages[start : start + AT_ONCE], kinds)
        return found

    def _call(self, passages: Sequence[Passage], kinds: Sequence[str]) -> list[list[Span]]:
        try:
            self._start()
            found: list[list[Span]] = self._calls.call("find", list(passages), list(kinds))
        except Unavailable:
            self._started = False  # should it be gone for good, the next call starts another
            raise
        return found

    def _start(self) -> None:
        if self._started:
            return
        answering: Any = ray.remote(concurrency_groups={HEALTH: HEALTH_CONCURRENCY})  # type: ignore[call-overload]  # theirs
        try:
            answering(RedactorActor).options(
                name=self._place.address.name,
                namespace=self._place.address.namespace,
                lifetime="detached",
                get_if_exists=True,
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=CONCURRENCY,
                **self._place.options,
            ).remote(self._place.spec)
        except (RayError, ValueError) as error:
            raise translated(error, self._place.address.name) from error
        self._started = True
