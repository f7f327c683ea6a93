"""The projector brings the indexes up to the events: in order, once more after a failure, and says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from actors.errors import StorageUnavailable
from actors.memory.commands import change, move
from actors.memory.lifecycle import State
from actors.memory.ports import CorpusStatistics, LexicalDocument
from actors.memory.requests import ChangeMemory, MoveMemory, NewMemory
from actors.memory.rows import OPEN
from actors.projector import Projector, ProjectorPace
from actors.row_deltas import NO_POSITION, RowDelta
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.vectors.plain import PlainVectorIndex
from tests.unit.cubes import HandDriven, allow_all
from tests.unit.indexing import WordEmbedder, remember, replay

PACE = ProjectorPace(embed_batch=4, idle_s=0.01, first_pause_s=0.01, longest_pause_s=0.02)


class FlakyLexical(PlainLexicalIndex):
    """Raises while `fail` is set, half of the documents taken."""

    fail = False

    def put(self, documents: Sequence[LexicalDocument]) -> None:
        super().put(documents[: len(documents) // 2])
        if self.fail:
            raise StorageUnavailable("disk is gone")
        super().put(documents)


class Rig:
    def __init__(self) -> None:
        self.vectors, self.lexical, self.embedder = PlainVectorIndex(), FlakyLexical(), WordEmbedder()
        self.projector = Projector(self.vectors, self.lexical, self.embedder, PACE)
        self.cube = HandDriven()
        self.fed = 1

    def follow(self) -> int:
        """Feed the cube's events since the last time; the version reached."""
        deltas = RowDelta.since(self.cube.state, self.fed + 1)
        self.projector.feed([replace(delta, position=delta.version) for delta in deltas])
        self.fed = self.cube.state.version
        return self.fed

    def documents(self, version: int) -> CorpusStatistics:
        return self.lexical.statistics("c", ["tea"], version)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.embedder.gate.set()
    rig.projector.close()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    import time

    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it never happened")


def test_what_was_waited_for_is_searchable_by_every_channel(rig: Rig) -> None:
    remember(rig.cube, *(NewMemory(f"tea number {n}", speaker="Ann") for n in range(10)))
    version = rig.follow()
    assert rig.projector.wait("c", version, 5)
    assert rig.vectors.present("c") == 10
    assert rig.documents(version).document_frequency == (10,)
    assert rig.projector.behind("c", version) == {}
    assert rig.embedder.batches[0][0] == "Ann: tea number 0"


def test_a_changed_text_ends_one_row_and_begins_another(rig: Rig) -> None:
    (memory_id,) = remember(rig.cube, NewMemory("tea"))
    first = rig.follow()
    rig.cube.run(lambda draft, origin: change(draft, origin, ChangeMemory(memory_id, {"text": "coffee"})))
    second = rig.follow()
    rig.cube.run(lambda d, o: move(d, o, MoveMemory(memory_id, State.ARCHIVED), allow_all))
    third = rig.follow()
    assert rig.projector.wait("c", third, 5)
    assert rig.documents(first) == CorpusStatistics(1, 1, (1,))
    assert rig.documents(second) == CorpusStatistics(1, 1, (0,))
    assert rig.documents(third) == CorpusStatistics(0, 0, (0,))
    assert rig.vectors.present("c") == 2


def test_a_changed_speaker_is_indexed_too(rig: Rig) -> None:
    (memory_id,) = remember(rig.cube, NewMemory("hello", speaker="Ann"))
    rig.cube.run(lambda draft, origin: change(draft, origin, ChangeMemory(memory_id, {"speaker": "Tea"})))
    version = rig.follow()
    assert rig.projector.wait("c", version, 5)
    assert rig.documents(version).document_frequency == (1,)


def test_lexical_goes_on_while_the_embedder_fails_and_dense_catches_up_in_order(rig: Rig) -> None:
    rig.embedder.fail = "no model"
    remember(rig.cube, *(NewMemory(f"tea {n}") for n in range(6)))
    version = rig.follow()
    eventually(lambda: bool(rig.projector.failures()))
    assert not rig.projector.wait("c", version, 5)
    eventually(lambda: rig.documents(version).documents == 6)
    assert rig.projector.lag() == {"dense": 6, "lexical": 0}
    assert rig.projector.behind("c", version) == {"dense": "RuntimeError: no model"}
    rig.embedder.fail = ""
    eventually(lambda: rig.projector.wait("c", version, 5))
    assert rig.projector.failures() == {}
    assert [text for batch in rig.embedder.batches for text in batch] == [f"tea {n}" for n in range(6)]


def test_dense_goes_on_while_lexical_fails_and_nothing_is_counted_twice(rig: Rig) -> None:
    rig.lexical.fail = True
    remember(rig.cube, *(NewMemory(f"tea {n}") for n in range(6)))
    version = rig.follow()
    eventually(lambda: rig.vectors.present("c") == 6)
    eventually(lambda: "disk is gone" in rig.projector.behind("c", version).get("lexical", ""))
    rig.lexical.fail = False
    eventually(lambda: rig.projector.wait("c", version, 5))
    assert rig.documents(version) == CorpusStatistics(6, 12, (6,))


def test_waiting_ends_with_the_time_given(rig: Rig) -> None:
    rig.embedder.gate.clear()
    remember(rig.cube, NewMemory("tea"))
    version = rig.follow()
    assert not rig.projector.wait("c", version, 0.05)
    assert rig.projector.behind("c", version)["dense"] == "changes not indexed yet: 1"
    assert rig.projector.wait("c", version - 1, 0.05), "what came before is there"
    assert rig.projector.wait("another", 7, 0.05), "a cube without news has nothing to wait for"


def test_positions_follow_the_events_even_those_without_rows(rig: Rig) -> None:
    remember(rig.cube, NewMemory("tea"))
    rig.follow()
    rig.projector.feed([RowDelta(9, "c", 9)])
    assert rig.projector.drain(5)
    rig.projector.feed([RowDelta(NO_POSITION, "d", 1)])
    assert rig.projector.drain(5)
    eventually(lambda: (rig.vectors.position, rig.lexical.position) == (9, 9))


def test_a_replay_moves_the_position_at_its_end_alone(rig: Rig) -> None:
    remember(rig.cube, *(NewMemory(f"tea {n}") for n in range(5)))
    *deltas, end = replay(rig.cube, position=77)
    rig.projector.feed(deltas)
    assert rig.projector.drain(5)
    rig.projector.close()
    assert (rig.vectors.position, rig.lexical.position) == (0, 0)
    rig.projector = Projector(rig.vectors, rig.lexical, rig.embedder, PACE)
    rig.projector.feed([*deltas, end])
    assert rig.projector.drain(5)
    rig.projector.close()
    assert (rig.vectors.position, rig.lexical.position) == (77, 77)
    assert rig.vectors.present("c") == 5


def test_one_channel_can_be_replayed_without_embedding_again(rig: Rig) -> None:
    remember(rig.cube, NewMemory("tea"))
    rig.projector.feed(replay(rig.cube, position=5), channels=["lexical"])
    assert rig.projector.drain(5)
    assert rig.documents(rig.cube.state.version).documents == 1
    assert (rig.vectors.present("c"), rig.embedder.batches) == (0, [])


def test_a_replay_holds_what_closed_since_and_what_opened() -> None:
    cube = HandDriven()
    old, kept = remember(cube, NewMemory("old"), NewMemory("kept"))
    before = cube.state.version
    cube.run(lambda draft, origin: change(draft, origin, ChangeMemory(old, {"text": "new"})))
    (delta,) = RowDelta.since(cube.state, before + 1)
    assert delta.closed is not None
    assert delta.opened is not None
    assert (delta.closed.text, delta.closed.until) == ("old", before + 1)
    assert (delta.opened.text, delta.opened.until) == ("new", OPEN)
    assert kept in cube.state.rows.open_row
    assert len(RowDelta.since(cube.state, 1)) == 3


def test_an_index_that_was_away_gets_what_it_missed_before_what_came_meanwhile(rig: Rig) -> None:
    cube = rig.cube
    remember(cube, *(NewMemory(f"old {n}") for n in range(3)))
    missed = RowDelta.since(cube.state, 1)
    rig.fed = before = cube.state.version
    rig.projector.begin_replay(["dense"])
    rig.projector.fail("dense", "away since the start")
    assert not rig.projector.wait("c", before, 5), "it is known to fail, so nobody waits"
    assert not rig.projector.wait("a cube that it knows nothing of", 1, 5)
    remember(cube, NewMemory("new"))
    version = rig.follow()
    eventually(lambda: rig.documents(version).documents == 1)
    assert rig.projector.behind("c", version) == {"dense": "away since the start"}
    rig.projector.replay(missed, "dense")
    rig.projector.end_replay(before, "dense")
    eventually(lambda: rig.projector.wait("c", version, 5))
    assert [text for batch in rig.embedder.batches for text in batch] == ["old 0", "old 1", "old 2", "new"]
    eventually(lambda: rig.vectors.position == version)
    assert rig.projector.failures() == {}


def test_closing_while_an_index_is_away_claims_nothing(rig: Rig) -> None:
    rig.projector.begin_replay(["dense"])
    rig.projector.fail("dense", "away")
    remember(rig.cube, NewMemory("tea"))
    rig.follow()
    rig.projector.close()
    assert (rig.vectors.position, rig.embedder.batches) == (0, [])


def test_closing_stores_what_was_projected(rig: Rig) -> None:
    rig.projector.close()
    slow = replace(PACE, idle_s=60.0)
    rig.projector = Projector(rig.vectors, rig.lexical, rig.embedder, slow)
    remember(rig.cube, NewMemory("tea"))
    version = rig.follow()
    assert rig.projector.wait("c", version, 5)
    rig.projector.close()
    assert rig.vectors.position == version


def test_closing_does_not_claim_what_could_not_be_put(rig: Rig) -> None:
    rig.projector.close()
    slow = replace(PACE, idle_s=60.0)
    rig.projector = Projector(rig.vectors, rig.lexical, rig.embedder, slow)
    remember(rig.cube, NewMemory("tea"))
    first = rig.follow()
    assert rig.projector.wait("c", first, 5)
    rig.lexical.fail = True
    remember(rig.cube, NewMemory("more tea"))
    version = rig.follow()
    eventually(lambda: "lexical" in rig.projector.failures())
    rig.projector.close()
    assert rig.lexical.position == first, "a restart replays only what lies beyond the position"
    assert rig.vectors.position == version
