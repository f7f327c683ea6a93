"""The committer of one shard: a thread that turns waiting commands into one append, again and again.

Group commit: a round takes every command that waits, lets each decide on a draft of its chain, commits all
their events at once, applies them, and only then answers. Maintenance runs in the same sequence.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from actors.errors import Fenced, MemosError, Overloaded, StorageUnavailable, Unavailable
from actors.memory.draft import Draft
from actors.memory.events import Event
from actors.memory.ports import Clock, Journal

D = TypeVar("D", bound=Draft)
R = TypeVar("R")

log = logging.getLogger(__name__)

MAINTENANCE_PAUSE_ROUNDS = 64
"""After a maintenance that failed, this many rounds pass before the next try."""


@dataclass(frozen=True, slots=True)
class RoundLimits:
    """A round takes no further command once it holds this many events, or bytes of content."""

    events: int = 2_000
    content_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WriterCounters:
    """What a writer has done so far. `last_commit_ms` is the duration of the newest append."""

    queued: int
    commits: int
    events: int
    last_commit_ms: float


@dataclass(slots=True)
class _Command:
    chain_id: str
    decide: Callable[[Any], Any]
    future: Future[Any]
    result: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


@dataclass(slots=True)
class _Exclusive:
    run: Callable[[], Any]
    future: Future[Any]


def _ignore(error: MemosError) -> None:
    """No one wants to know of failures."""


class ShardWriter(Generic[D]):
    """Owns the writing side of one journal. Methods may be called from any thread but the writer's own.

    After Fenced, every later command raises Fenced. After a StorageUnavailable whose outcome is not known to
    be "none", or events that were committed but could not be applied, every later command raises that error:
    what is in memory may differ from what is stored, so the owner opens the shard anew.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        open_draft: Callable[[str], D],
        apply: Callable[[list[Event]], None],
        queue_limit: int,
        limits: RoundLimits | None = None,
        on_failure: Callable[[MemosError], None] = _ignore,
    ) -> None:
        """`open_draft(chain_id)` and `apply(events, with positions)` run on the writer's thread; `on_failure` too,
        once, when the writer stops.
        """
        self._journal = journal
        self._clock = clock
        self._open_draft = open_draft
        self._apply = apply
        self._queue_limit = queue_limit
        self._limits = limits or RoundLimits()
        self._on_failure = on_failure
        self._queue: deque[_Command | _Exclusive] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._failure: MemosError | None = None
        self._commits, self._events, self._last_commit_ms = 0, 0, 0.0
        self._maintain_at = 0
        self._thread = threading.Thread(target=self._run, name="shard-writer", daemon=True)
        self._thread.start()

    def submit(self, chain_id: str, decide: Callable[[D], R]) -> Future[R]:
        """Queue a command. Its future answers what `decide` returned, once its events are durable and applied.

        The future raises what `decide` raised (its events are dropped, those of others are not), or why the
        commit failed. Raises Overloaded, Unavailable when closing, and the error that stopped the writer.
        """
        future: Future[R] = Future()
        with self._changed:
            self._check_open()
            if len(self._queue) >= self._queue_limit:
                wait_s = max(0.1, round(2 * self._last_commit_ms / 1000, 1))
                raise Overloaded(f"{self._queue_limit} writes are waiting already", retry_after_s=wait_s)
            self._queue.append(_Command(chain_id, decide, future))
            self._changed.notify()
        return future

    def run_exclusive(self, run: Callable[[], R]) -> Future[R]:
        """Queue something that runs alone in the writer's sequence, between commits. Raises as `submit` does,
        save Overloaded.
        """
        future: Future[R] = Future()
        with self._changed:
            self._check_open()
            self._queue.append(_Exclusive(run, future))
            self._changed.notify()
        return future

    @property
    def failure(self) -> MemosError | None:
        """Why the writer stopped, None while it works."""
        return self._failure

    @property
    def counters(self) -> WriterCounters:
        return WriterCounters(len(self._queue), self._commits, self._events, self._last_commit_ms)

    def close(self) -> None:
        """Finish what is queued, refuse what comes, and stop. The journal stays open."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # the writer's thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    return
                exclusive = self._queue.popleft() if isinstance(self._queue[0], _Exclusive) else None
            if isinstance(exclusive, _Exclusive):
                self._run_alone(exclusive)
            else:
                self._round()
                self._maintain()

    def _run_alone(self, task: _Exclusive) -> None:
        if not task.future.set_running_or_notify_cancel():
            return
        try:
            result = task.run()
        except BaseException as error:  # noqa: BLE001 - the outer loop of the thread: the caller is told
            task.future.set_exception(error if isinstance(error, Exception) else _as_failure(error))
        else:
            task.future.set_result(result)

    def _round(self) -> None:
        commands, drafts = self._decide_all()
        events = [event for draft in drafts.values() for event in draft.events]
        try:
            if events:
                self._commit(events)
        except BaseException as error:  # noqa: BLE001 - as above; a panic in a store's Rust code is no Exception
            failure = _as_failure(error)
            for command in commands:
                command.error = copy(failure)
            self._after_failed_commit(failure)
        for command in commands:
            command.settle()

    def _decide_all(self) -> tuple[list[_Command], dict[str, D]]:
        """Let the waiting commands decide, in order, until the round is full or another kind of task is next."""
        commands: list[_Command] = []
        drafts: dict[str, D] = {}
        events = content_bytes = 0
        while events < self._limits.events and content_bytes < self._limits.content_bytes:
            with self._changed:
                if not self._queue or isinstance(self._queue[0], _Exclusive):
                    break
                command = self._queue.popleft()
            if isinstance(command, _Exclusive) or not command.future.set_running_or_notify_cancel():
                continue
            commands.append(command)
            fresh = self._decide(command, drafts)
            events += len(fresh)
            content_bytes += sum(len(event.content or b"") for event in fresh)
        return commands, drafts

    def _decide(self, command: _Command, drafts: dict[str, D]) -> list[Event]:
        """Run one command on its chain's draft; what it emitted. One that raises leaves nothing behind."""
        try:
            draft = drafts.get(command.chain_id)
            if draft is None:
                draft = drafts[command.chain_id] = self._open_draft(command.chain_id)
        except Exception as error:  # noqa: BLE001 - the outer loop of the thread: the command is told
            command.error = error
            return []
        length, version, head = len(draft.events), draft.version, draft.head
        try:
            command.result = command.decide(draft)
        except Exception as error:  # the outer loop of the thread: the command is told
            if not isinstance(error, MemosError):
                log.exception("a command on %s failed; its events are dropped", command.chain_id)
            draft.rewind(length, version, head)
            command.error = error
        return draft.events[length:]

    def _commit(self, events: list[Event]) -> None:
        began_us = self._clock.now_us()
        placed = self._journal.append(events)
        self._last_commit_ms = (self._clock.now_us() - began_us) / 1000
        self._commits += 1
        self._events += len(placed)
        try:
            self._apply(placed)
        except Exception as error:
            log.exception("committed events could not be applied")
            raise StorageUnavailable(
                f"events up to {placed[-1].position} are committed, but could not be applied: {error}",
                outcome="committed",
            ) from error

    def _maintain(self) -> None:
        if self._failure is not None or self._commits < self._maintain_at:
            return
        try:
            self._journal.maintain()
        except BaseException as error:  # the outer loop of the thread: appends go on, or say why they cannot
            log.exception("maintenance of the journal failed")
            self._maintain_at = self._commits + MAINTENANCE_PAUSE_ROUNDS
            if isinstance(error, Fenced):
                self._stop(error)

    def _after_failed_commit(self, failure: MemosError) -> None:
        if not (isinstance(failure, StorageUnavailable) and failure.facts.get("outcome") == "none"):
            self._stop(failure)

    def _stop(self, failure: MemosError) -> None:
        """Refuse whatever waits and whatever comes, and tell the owner."""
        with self._changed:
            self._failure, self._closing = failure, True
            waiting = list(self._queue)
            self._queue.clear()
        for task in waiting:
            if task.future.set_running_or_notify_cancel():
                task.future.set_exception(copy(failure))
        try:
            self._on_failure(failure)
        except Exception:
            log.exception("the owner could not take the writer's failure in")

    def _check_open(self) -> None:
        if self._failure is not None:
            raise copy(self._failure)
        if self._closing:
            raise Unavailable("the shard is closing", retry_after_s=1.0)


def _as_failure(error: BaseException) -> MemosError:
    """The error of a commit, as one of our tree: what is not is a bug, with an unknown outcome."""
    if isinstance(error, MemosError):
        return error
    log.error("a commit failed in an unforeseen way", exc_info=error)
    return StorageUnavailable(f"a commit failed: {type(error).__name__}: {error}", outcome="unknown")
