"""The committer: groups what waits, keeps commands apart, answers only what is durable, stops when it must."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_all

import pytest

from actors.errors import CubeNotFound, Fenced, MemosError, Overloaded, StaleVersion, StorageUnavailable, Unavailable
from actors.memory.commands import add, create, idempotency_of
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin, Sealer
from actors.memory.events import Event
from actors.memory.requests import Added, AddMemories, NewMemory
from actors.stores.journal import PlainJournal, PlainStorage
from actors.writer import RoundLimits, ShardWriter

KEY = b"k" * 32
SEALER = Sealer(KEY, lambda n: bytes(n))
TIMEOUT_S = 30


class Ticking:
    def __init__(self) -> None:
        self.now = 0

    def now_us(self) -> int:
        self.now += 1000
        return self.now


class HeldJournal(PlainJournal):
    """Holds every append until it is let go, so that a test decides what waits meanwhile."""

    def __init__(self, storage: PlainStorage) -> None:
        super().__init__(storage, KEY)
        self.appending = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.batches: list[int] = []
        self.held = False
        self.fail: MemosError | None = None
        self.maintained = 0

    def append(self, events: Sequence[Event]) -> list[Event]:
        if self.held:
            self.appending.release()
            assert self.let_go.acquire(timeout=TIMEOUT_S)
        if self.fail is not None:
            raise self.fail
        self.batches.append(len(events))
        return super().append(events)

    def maintain(self) -> bool:
        self.maintained += 1
        return False


class Bench:
    """A writer on cubes in memory."""

    def __init__(self, queue_limit: int = 100, limits: RoundLimits | None = None) -> None:
        self.storage = PlainStorage()
        self.journal = HeldJournal(self.storage)
        self.cubes: dict[str, CubeState] = {}
        self.failures: list[MemosError] = []
        self.fail_apply = False
        self.writer: ShardWriter[CubeDraft] = ShardWriter(
            self.journal,
            clock=Ticking(),
            open_draft=self._open,
            apply=self._apply,
            queue_limit=queue_limit,
            limits=limits,
            on_failure=self.failures.append,
        )

    def _open(self, cube_id: str) -> CubeDraft:
        if cube_id == "lost":
            raise CubeNotFound("no such cube")
        return CubeDraft(self.cubes.setdefault(cube_id, CubeState(cube_id)), SEALER)

    def _apply(self, events: list[Event]) -> None:
        if self.fail_apply:
            raise RuntimeError("a bug")
        for event in events:
            assert event.position > 0
            self.cubes[event.cube_id].apply(event)

    def hold(self) -> Future[None]:
        """Let one command get as far as its append, where it waits for `release`."""
        self.journal.held = True
        first = self.writer.submit("holder", lambda draft: create(draft, _origin(), "o", "", {}))
        assert self.journal.appending.acquire(timeout=TIMEOUT_S)
        return first

    def release(self) -> None:
        self.journal.held = False
        self.journal.let_go.release()

    def texts(self, cube_id: str) -> list[str]:
        return [memory.text for memory in self.cubes[cube_id].memories(None)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.writer.close()


def _origin(idempotency: str = "") -> Origin:
    return Origin("alice", "req", 1, idempotency)


_counter = iter(range(1 << 40))


def _add(text: str, key: str = "") -> Callable[[CubeDraft], Added]:
    request = AddMemories((NewMemory(text),), key)

    def decide(draft: CubeDraft) -> Added:
        origin = _origin(idempotency_of(KEY, draft.cube_id, "alice", request))
        return add(draft, origin, request, lambda n: next(_counter).to_bytes(n, "big"))

    return decide


def test_what_waits_is_committed_at_once_and_each_command_gets_its_own_answer(bench: Bench) -> None:
    bench.hold()
    futures = [bench.writer.submit(f"c{i % 3}", _add(f"text {i}")) for i in range(30)]
    bench.release()
    answers = [future.result(TIMEOUT_S) for future in futures]
    assert bench.journal.batches == [1, 30]
    assert [answer.version for answer in answers] == [1 + i // 3 for i in range(30)]
    assert bench.texts("c0") == [f"text {i}" for i in range(0, 30, 3)]
    assert bench.journal.verify() == []
    counters = bench.writer.counters
    assert (counters.queued, counters.commits, counters.events) == (0, 2, 31)


def test_nothing_is_answered_or_seen_before_it_is_durable(bench: Bench) -> None:
    first = bench.hold()
    assert not first.done()
    assert bench.cubes["holder"].version == 0
    bench.release()
    first.result(TIMEOUT_S)
    assert bench.cubes["holder"].version == 1


def test_a_command_that_fails_takes_nothing_of_the_others_along(bench: Bench) -> None:
    def fails(draft: CubeDraft) -> None:
        _add("half done")(draft)
        raise StaleVersion("too late")

    def bug(draft: CubeDraft) -> None:
        _add("half done")(draft)
        raise RuntimeError("a bug")

    bench.hold()
    before = bench.writer.submit("c", _add("before"))
    stale, broken = bench.writer.submit("c", fails), bench.writer.submit("c", bug)
    lost = bench.writer.submit("lost", _add("nowhere"))
    after = bench.writer.submit("c", _add("after"))
    bench.release()
    assert after.result(TIMEOUT_S).version == 2
    assert before.result(TIMEOUT_S).version == 1
    with pytest.raises(StaleVersion):
        stale.result(TIMEOUT_S)
    with pytest.raises(RuntimeError):
        broken.result(TIMEOUT_S)
    with pytest.raises(CubeNotFound):
        lost.result(TIMEOUT_S)
    assert bench.texts("c") == ["before", "after"]
    assert bench.journal.verify() == []
    assert bench.failures == []


def test_a_repeat_in_the_same_round_is_not_recorded_and_waits_for_the_original(bench: Bench) -> None:
    bench.hold()
    original = bench.writer.submit("c", _add("once", "key"))
    repeat = bench.writer.submit("c", _add("once", "key"))
    bench.release()
    wait_all([original], TIMEOUT_S)
    assert repeat.result(TIMEOUT_S) == original.result()
    assert bench.writer.submit("c", _add("once", "key")).result(TIMEOUT_S) == original.result()
    assert bench.texts("c") == ["once"]


def test_a_repeat_fails_with_the_commit_that_the_original_was_in(bench: Bench) -> None:
    bench.hold().add_done_callback(lambda _: setattr(bench.journal, "fail", StorageUnavailable("gone")))
    original = bench.writer.submit("c", _add("once", "key"))
    repeat = bench.writer.submit("c", _add("once", "key"))
    bench.release()
    for future in (original, repeat):
        with pytest.raises(StorageUnavailable, match="gone"):
            future.result(TIMEOUT_S)


def test_a_full_queue_says_when_to_come_back() -> None:
    bench = Bench(queue_limit=3)
    bench.hold()
    futures = [bench.writer.submit("c", _add(f"{i}")) for i in range(3)]
    with pytest.raises(Overloaded) as refusal:
        bench.writer.submit("c", _add("one too many"))
    assert refusal.value.facts["retry_after_s"] > 0
    bench.release()
    wait_all(futures, TIMEOUT_S)
    bench.writer.submit("c", _add("later")).result(TIMEOUT_S)
    bench.writer.close()
    assert len(bench.texts("c")) == 4


@pytest.mark.parametrize("limits", [RoundLimits(events=10), RoundLimits(content_bytes=10 * 100)])
def test_a_round_is_bounded_by_events_and_by_bytes(limits: RoundLimits) -> None:
    bench = Bench(limits=limits)
    bench.hold()
    futures = [bench.writer.submit("c", _add("x" * 100)) for _ in range(30)]
    bench.release()
    wait_all(futures, TIMEOUT_S)
    bench.writer.close()
    assert sum(bench.journal.batches) == 31
    assert max(bench.journal.batches) <= 10


def test_after_fencing_everything_is_refused(bench: Bench) -> None:
    bench.hold()
    waiting = bench.writer.submit("c", _add("too late"))
    alone = bench.writer.run_exclusive(lambda: 1)
    PlainJournal(bench.storage, KEY)
    bench.release()
    for future in (waiting, alone):
        with pytest.raises(Fenced):
            future.result(TIMEOUT_S)
    with pytest.raises(Fenced):
        bench.writer.submit("c", _add("later"))
    assert isinstance(bench.writer.failure, Fenced)
    assert [type(failure) for failure in bench.failures] == [Fenced]
    assert bench.storage.events == []


def test_after_an_unknown_outcome_the_writer_waits_to_be_opened_anew(bench: Bench) -> None:
    bench.journal.fail = StorageUnavailable("the line went dead", outcome="unknown")
    with pytest.raises(StorageUnavailable):
        bench.writer.submit("c", _add("perhaps")).result(TIMEOUT_S)
    bench.journal.fail = None
    with pytest.raises(StorageUnavailable, match="the line went dead"):
        bench.writer.submit("c", _add("later"))
    assert len(bench.failures) == 1


def test_after_a_failure_that_changed_nothing_the_writer_goes_on(bench: Bench) -> None:
    bench.journal.fail = StorageUnavailable("disk full", outcome="none")
    with pytest.raises(StorageUnavailable, match="disk full"):
        bench.writer.submit("c", _add("lost")).result(TIMEOUT_S)
    bench.journal.fail = None
    bench.writer.submit("c", _add("kept")).result(TIMEOUT_S)
    assert bench.texts("c") == ["kept"]
    assert bench.failures == []


def test_events_that_cannot_be_applied_stop_the_writer(bench: Bench) -> None:
    bench.fail_apply = True
    with pytest.raises(StorageUnavailable, match="committed, but could not be applied"):
        bench.writer.submit("c", _add("text")).result(TIMEOUT_S)
    with pytest.raises(StorageUnavailable):
        bench.writer.submit("c", _add("later"))
    assert len(bench.storage.events) == 1


def test_what_runs_alone_sees_the_commits_before_it_and_none_behind(bench: Bench) -> None:
    bench.hold()
    bench.writer.submit("c", _add("before"))
    seen = bench.writer.run_exclusive(lambda: (bench.journal.position, bench.texts("c")))
    after = bench.writer.submit("c", _add("after"))
    bench.release()
    assert seen.result(TIMEOUT_S) == (2, ["before"])
    assert after.result(TIMEOUT_S).version == 2
    failing = bench.writer.run_exclusive(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(TIMEOUT_S)
    bench.writer.submit("c", _add("still there")).result(TIMEOUT_S)


def test_maintenance_follows_each_round_and_its_failure_does_not_stop_writing(bench: Bench) -> None:
    def fail() -> bool:
        bench.journal.maintained += 1
        raise StorageUnavailable("not now")

    bench.writer.submit("c", _add("one")).result(TIMEOUT_S)
    bench.writer.run_exclusive(lambda: None).result(TIMEOUT_S)
    assert bench.journal.maintained == 1
    bench.journal.maintain = fail  # type: ignore[method-assign]
    for text in ("two", "three"):
        bench.writer.submit("c", _add(text)).result(TIMEOUT_S)
    bench.writer.run_exclusive(lambda: None).result(TIMEOUT_S)
    assert bench.journal.maintained == 2
    assert bench.texts("c") == ["one", "two", "three"]


def test_a_cancelled_command_is_passed_over(bench: Bench) -> None:
    bench.hold()
    cancelled = bench.writer.submit("c", _add("not wanted"))
    kept = bench.writer.submit("c", _add("wanted"))
    assert cancelled.cancel()
    bench.release()
    kept.result(TIMEOUT_S)
    assert bench.texts("c") == ["wanted"]


def test_closing_finishes_what_is_queued_and_refuses_the_rest(bench: Bench) -> None:
    bench.hold()
    queued = [bench.writer.submit("c", _add(f"{i}")) for i in range(5)]
    closing = threading.Thread(target=bench.writer.close)
    closing.start()
    while True:
        try:
            queued.append(bench.writer.submit("c", _add("more")))
        except (Unavailable, Overloaded) as refusal:
            if not isinstance(refusal, Overloaded):
                break
    bench.release()
    closing.join(TIMEOUT_S)
    assert all(future.done() and future.exception() is None for future in queued)


def test_its_owner_may_close_it_when_it_fails() -> None:
    bench = Bench()
    closed = threading.Event()

    def close(error: MemosError) -> None:
        bench.writer.close()
        closed.set()

    bench.writer._on_failure = close
    bench.journal.fail = StorageUnavailable("gone", outcome="unknown")
    with pytest.raises(StorageUnavailable):
        bench.writer.submit("c", _add("text")).result(TIMEOUT_S)
    assert closed.wait(TIMEOUT_S)
    bench.writer.close()


class Panic(BaseException):
    """What pyo3 raises when Rust code panics: no Exception."""


def test_a_panic_in_the_journal_is_answered_and_stops_the_writer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(_: object) -> list[Event]:
        raise Panic("index out of bounds")

    monkeypatch.setattr(bench.journal, "append", panics)
    future = bench.writer.submit("c", lambda draft: create(draft, _origin(), "o", "", {}))
    with pytest.raises(StorageUnavailable) as caught:
        future.result(5)
    assert caught.value.facts["outcome"] == "unknown"
    with pytest.raises(StorageUnavailable):
        bench.writer.submit("c", lambda draft: create(draft, _origin(), "o", "", {}))
    assert len(bench.failures) == 1
