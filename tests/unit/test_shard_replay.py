"""A shard that was just opened answers at once, while its indexes catch up behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from actors.errors import StorageUnavailable
from actors.memory.events import Event
from actors.memory.ports import Vectors
from actors.stores.journal.plain import PlainJournal
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.vectors.plain import PlainVectorIndex
from tests.unit.hosts import OWNER, HashEmbedder, PlainRig, query, texts


class HeldEmbedder(HashEmbedder):
    """Embeds once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.go.wait()
        return super().embed(texts)


def moved(rig: PlainRig) -> None:
    """The host comes back on another node: the journal is there, its indexes are not."""
    rig.vectors, rig.lexical = PlainVectorIndex(), PlainLexicalIndex()
    rig.reopen()


def held_rig(memories: int) -> tuple[PlainRig, HeldEmbedder]:
    rig = PlainRig()
    rig.catalogue.register("c")
    embedder = HeldEmbedder()
    rig.embedder = embedder
    rig.reopen()
    for start in range(0, memories, 50):
        rig.host.add(OWNER, "c", texts(*(f"note number{n}" for n in range(start, min(memories, start + 50)))))
    return rig, embedder


def test_a_host_that_moved_answers_before_anything_is_embedded_and_says_what_is_missing() -> None:
    rig, embedder = held_rig(150)
    vector = query("number7", embedder)
    embedder.go.clear()
    moved(rig)
    assert rig.host.add(OWNER, "c", texts("written meanwhile")).version == 152
    answer = rig.host.search(OWNER, "c", vector)
    assert "dense" in [part.part for part in answer.degraded]
    embedder.go.set()
    _until(lambda: not rig.host.search(OWNER, "c", vector).degraded)
    assert rig.host.search(OWNER, "c", query("meanwhile", embedder)).hits[0].memory.text == "written meanwhile"
    assert rig.host.search(OWNER, "c", vector).hits[0].memory.text == "note number7"


def test_a_replay_that_was_cut_short_is_begun_again_with_what_was_written_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig, embedder = held_rig(100)
    hold = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(PlainJournal, "read", _replays(hold.wait))
        moved(rig)
        rig.host.add(OWNER, "c", texts("written meanwhile"))  # waits for the index, in vain
        assert (rig.vectors.position, rig.lexical.position) == (0, 0)  # or what is missed would be hidden behind it
    rig.reopen()  # no close: the host was killed
    for text in ("written meanwhile", "note number42"):
        asked = query(text.split()[-1], embedder)
        _until(lambda asked=asked: not rig.host.search(OWNER, "c", asked).degraded)  # type: ignore[misc]
        assert rig.host.search(OWNER, "c", asked).hits[0].memory.text == text
    hold.set()


def test_a_replay_whose_storage_is_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, embedder = held_rig(20)
    failures = iter([StorageUnavailable("the bucket is away"), StorageUnavailable("and still")])

    def fail() -> None:
        for failure in failures:
            raise failure

    monkeypatch.setattr(PlainJournal, "read", _replays(fail))
    moved(rig)
    asked = query("number3", embedder)
    _until(lambda: not rig.host.search(OWNER, "c", asked).degraded)
    assert rig.host.search(OWNER, "c", asked).hits[0].memory.text == "note number3"


def _replays(first: Callable[[], object]) -> Callable[[PlainJournal, int], Iterator[Event]]:
    """PlainJournal.read, with something that a replay's reading does first."""
    whole = PlainJournal.read

    def read(journal: PlainJournal, after: int = 0) -> Iterator[Event]:
        if threading.current_thread().name.startswith("replay"):
            first()
        return whole(journal, after)

    return read


def _until(done: Callable[[], bool], within_s: float = 30.0) -> None:
    until = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)
