"""Journal, anchors and snapshots on an S3 server: the contract, and what a store that fails may cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from actors.errors import MemosError, StorageUnavailable
from actors.memory.events import Event
from actors.stores.journal import CompactionLimits, DeltaJournal, StorageSpec
from actors.stores.location import Location
from actors.stores.snapshots import SnapshotFolder
from tests.contracts.journal_contract import KEY, Chains, JournalContract
from tests.contracts.s3 import S3, Fault, no_faults, s3_server

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def s3() -> Iterator[S3]:
    with s3_server() as store:
        yield store


def spec(s3: S3, folder: str) -> StorageSpec:
    return StorageSpec(f"{s3.uri}/{folder}", s3.options)


def open_journal(s3: S3) -> DeltaJournal:
    return DeltaJournal(spec(s3, "000/journal"), spec(s3, "000/anchors"), KEY, CompactionLimits(appends=3))


class TestDeltaJournalOnS3(JournalContract):
    @pytest.fixture(autouse=True)
    def store(self, s3: S3) -> None:
        self._s3 = s3

    def open_journal(self) -> DeltaJournal:
        return open_journal(self._s3)


class Failing:
    """Fails a share of the requests, each in a way of its own; reproducible."""

    def __init__(self, seed: int, share: float) -> None:
        self._rng = random.Random(seed)
        self._share = share

    def __call__(self, method: str, path: str) -> Fault:
        if self._rng.random() >= self._share:
            return Fault.NONE
        return self._rng.choice([Fault.SLOW_DOWN, Fault.SERVER_ERROR, Fault.DROPPED, Fault.LOST_ANSWER])


def reopened(s3: S3) -> DeltaJournal:
    """As a host does: only what cannot pass by itself is raised."""
    for _ in range(50):
        try:
            return open_journal(s3)
        except StorageUnavailable:
            continue
    pytest.fail("the journal could not be opened in 50 tries")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_store_that_throttles_and_drops_loses_doubles_and_tears_nothing(s3: S3, seed: int) -> None:
    s3.faults = Failing(seed, 0.12)
    journal = reopened(s3)
    chains, acknowledged, refused = Chains(), list[Event](), list[list[Event]]()
    for number in range(20):
        batch = chains.batch(*[f"cube-{number}"] * 3)
        try:
            acknowledged += journal.append(batch)
            journal.maintain()
        except StorageUnavailable as error:
            if acknowledged[-3:] and acknowledged[-1].cube_id != batch[0].cube_id:
                refused.append(batch)
            if error.facts.get("outcome") != "none":
                journal = reopened(s3)
    s3.faults = no_faults
    after = open_journal(s3)
    stored = list(after.read())
    counts = Counter(event.cube_id for event in stored)
    assert [event.position for event in stored] == list(range(1, len(stored) + 1))
    assert {event.cube_id for event in acknowledged} <= set(counts)
    assert set(counts.values()) == {3}  # each batch whole, and once
    assert [event for event in stored if event.cube_id in {e.cube_id for e in acknowledged}] == acknowledged
    assert after.verify() == []
    assert {fault for _, fault in s3.seen} >= {Fault.SLOW_DOWN, Fault.SERVER_ERROR, Fault.DROPPED, Fault.LOST_ANSWER}


def test_a_commit_whose_answer_is_lost_is_known_to_have_landed(s3: S3) -> None:
    journal, chains = open_journal(s3), Chains()

    def lose(method: str, path: str) -> Fault:
        if method == "PUT" and "_delta_log" in path and not any(f is Fault.LOST_ANSWER for _, f in s3.seen):
            return Fault.LOST_ANSWER
        return Fault.NONE

    s3.faults = lose
    placed = journal.append(chains.batch("a", "b"))
    assert any(fault is Fault.LOST_ANSWER for _, fault in s3.seen)
    s3.faults = no_faults
    placed += journal.append(chains.batch("a"))
    assert list(open_journal(s3).read()) == placed


def test_snapshots_are_written_merged_found_and_discarded(s3: S3) -> None:
    snapshots = SnapshotFolder(spec(s3, "000/snapshots"), KEY)
    for position in range(1, 13):
        snapshots.write(position, [("a", b"state %d" % position), (f"cube-{position}", b"x")])
    again = SnapshotFolder(spec(s3, "000/snapshots"), KEY)
    assert (again.position, again.read("a"), again.read("cube-3"), again.read("nobody")) == (
        12,
        b"state 12",
        b"x",
        None,
    )
    assert len(Location(spec(s3, "000/snapshots")).sizes()) < 12
    again.discard()
    assert SnapshotFolder(spec(s3, "000/snapshots"), KEY).position == 0


@pytest.mark.parametrize("fault", [Fault.EXPIRED, Fault.READ_ONLY])
def test_what_the_store_refuses_is_no_damage(s3: S3, fault: Fault) -> None:
    open_journal(s3).append(Chains().batch("a"))
    s3.faults = lambda method, path: fault if fault is Fault.EXPIRED or method != "GET" else Fault.NONE
    with pytest.raises(MemosError) as raised:
        open_journal(s3)
    assert isinstance(raised.value, StorageUnavailable)
    assert s3.uri in raised.value.detail
