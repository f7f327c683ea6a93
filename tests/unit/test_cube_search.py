"""Search within a cube: what is found, what never is, and what its scores depend on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import InvalidRequest, StorageUnavailable, VersionNotFound
from actors.lexical_channel import WordLimits
from actors.memory.commands import change, move
from actors.memory.lifecycle import State
from actors.memory.ports import CorpusStatistics, LexicalIndex, VectorIndex
from actors.memory.requests import ChangeMemory, Moment, MoveMemory, NewMemory
from actors.memory.search_requests import Channel, CubeHits, SearchCube
from actors.open_cubes import OpenCube
from actors.projector import Projector, ProjectorPace
from actors.retrieval import CubeSearch, SearchDepth
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.lexical.tantivy_index import TantivyIndex
from actors.stores.location import StorageSpec
from actors.stores.vectors.faiss_index import FaissVectorIndex
from actors.stores.vectors.plain import PlainVectorIndex
from tests.unit.cubes import HandDriven, allow_all
from tests.unit.indexing import DIMENSION, WordEmbedder, remember, replay
from tests.unit.test_projection import eventually

SHALLOW = SearchDepth(floor=4, per_result=1)
"""Few enough rows a channel that the tests' cubes are not scored whole."""

WAYS = {"in memory": WordLimits(), "stored": WordLimits(rows_at_once=-1)}
"""Where the lexical channel finds a cube's words."""


class Rig:
    def __init__(
        self,
        vectors: VectorIndex,
        lexical: LexicalIndex,
        depth: SearchDepth | None = None,
        words: WordLimits | None = None,
    ) -> None:
        self.vectors, self.lexical, self.embedder = vectors, lexical, WordEmbedder()
        self.projector = Projector(vectors, lexical, self.embedder, ProjectorPace(idle_s=0.01))
        self.engine = CubeSearch(vectors, lexical, "words", depth, words)

    def index(self, *cubes: HandDriven) -> None:
        self.projector.feed(replay(*cubes))
        assert self.projector.drain(10)

    def search(self, cube: HandDriven, query: str, top_k: int = 5, **changed: Any) -> CubeHits:
        request = SearchCube(query, self.embedder.embed([query])[0], "words", top_k)
        return self.engine.search(OpenCube(cube.state), replace(request, **changed), self.projector, 0.0)

    def close(self) -> None:
        self.engine.close()
        self.projector.close()
        self.vectors.close()
        self.lexical.close()


@pytest.fixture(params=WAYS)
def words(request: pytest.FixtureRequest) -> WordLimits:
    return WAYS[request.param]


@pytest.fixture
def rig(words: WordLimits) -> Iterator[Rig]:
    rig = Rig(PlainVectorIndex(), PlainLexicalIndex(), words=words)
    yield rig
    rig.close()


def texts(hits: CubeHits) -> list[str]:
    return [hit.memory.text for hit in hits.hits]


def test_the_memory_asked_for_comes_first_with_its_reason(rig: Rig) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("Ann keeps bees in Kent"), NewMemory("Bob sails to Oslo"), NewMemory("Rain on Monday"))
    rig.index(cube)
    hits = rig.search(cube, "who keeps bees?", explain=True)
    assert texts(hits)[0] == "Ann keeps bees in Kent"
    assert hits.degraded == ()
    best = hits.hits[0]
    assert set(best.channels) == {"dense", "lexical"}
    assert "'bee'" in best.reason
    assert 0.0 < best.score <= 1.0
    assert [hit.score for hit in hits.hits] == sorted((hit.score for hit in hits.hits), reverse=True)


def test_a_speaker_is_found_by_name(rig: Rig) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("I like tea", speaker="Ann"), NewMemory("I like tea", speaker="Bob"))
    rig.index(cube)
    assert rig.search(cube, "What does Bob like?").hits[0].memory.speaker == "Bob"


def test_an_earlier_version_is_searched_as_it_was(rig: Rig) -> None:
    cube = HandDriven()
    moved, changed = remember(cube, NewMemory("the blue boat"), NewMemory("the green house"))
    before = cube.state.version
    cube.run(lambda d, o: move(d, o, MoveMemory(moved, State.ARCHIVED), allow_all))
    cube.run(lambda d, o: change(d, o, ChangeMemory(changed, {"text": "the red house"})))
    rig.index(cube)
    assert texts(rig.search(cube, "blue boat")) == ["the red house"]
    assert set(texts(rig.search(cube, "boat", as_of=Moment(version=before)))) == {"the blue boat", "the green house"}
    at = cube.state.recorded_at_us[before - 1]
    then = rig.search(cube, "boat", as_of=Moment(time_us=at))
    assert then == rig.search(cube, "boat", as_of=Moment(version=before))
    with pytest.raises(VersionNotFound):
        rig.search(cube, "boat", as_of=Moment(version=99))


def test_only_what_passes_the_filter_is_found(rig: Rig) -> None:
    cube = HandDriven()
    remember(cube, *(NewMemory(f"tea {n}", tags=("odd",) if n % 2 else ("even",)) for n in range(6)))
    rig.index(cube)
    assert {hit.memory.tags for hit in rig.search(cube, "tea", filter={"tags": "odd"}).hits} == {("odd",)}
    assert rig.search(cube, "tea", filter={"tags": "none"}).hits == ()
    with pytest.raises(InvalidRequest, match="colour"):
        rig.search(cube, "tea", filter={"colour": "red"})


def test_a_narrow_filter_finds_what_lies_far_below_the_depth(words: WordLimits) -> None:
    rig = Rig(PlainVectorIndex(), PlainLexicalIndex(), SHALLOW, words)
    cube = HandDriven()
    remember(cube, *(NewMemory(f"tea {n}", session="rare" if n < 3 else "usual") for n in range(100)))
    rig.index(cube)
    for channels in ({Channel.DENSE}, {Channel.LEXICAL}):
        hits = rig.search(cube, "tea", filter={"session": "rare"}, channels=frozenset(channels))
        assert set(texts(hits)) == {"tea 0", "tea 1", "tea 2"}
    rig.close()


def test_a_row_that_one_channel_proposes_is_scored_by_both(words: WordLimits) -> None:
    rig = Rig(PlainVectorIndex(), PlainLexicalIndex(), SHALLOW, words)
    cube = HandDriven()
    far = "saffron among " + " ".join(f"filler{n}" for n in range(8))
    remember(cube, NewMemory(far), *(NewMemory(f"tea number {n}") for n in range(40)))
    rig.index(cube)
    query = "any saffron tea"
    dense_alone = rig.search(cube, query, top_k=4, channels=frozenset({Channel.DENSE}))
    assert far not in texts(dense_alone), "else this shows nothing"
    hits = {hit.memory.text: hit for hit in rig.search(cube, query, top_k=4).hits}
    assert set(hits[far].channels) == {"dense", "lexical"}
    rig.close()


def test_neither_depth_nor_where_the_words_are_changes_a_score() -> None:
    cube = HandDriven()
    remember(cube, *(NewMemory(f"tea with {word}") for word in "milk lemon honey ginger sugar rum mint salt".split()))
    found = []
    for depth, words in itertools.product((SHALLOW, SearchDepth()), WAYS.values()):
        rig = Rig(PlainVectorIndex(), PlainLexicalIndex(), depth, words)
        rig.index(cube)
        found.append({hit.memory.id: hit.channels for hit in rig.search(cube, "ginger tea", top_k=3).hits})
        rig.close()
    assert all(other == found[0] for other in found)


def test_each_channel_answers_alone_when_asked_to(rig: Rig) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("Ann keeps bees"), NewMemory("Bob sails"))
    rig.index(cube)
    dense = rig.search(cube, "bees", channels=frozenset({Channel.DENSE}))
    lexical = rig.search(cube, "bees", channels=frozenset({Channel.LEXICAL}))
    assert [set(hit.channels) for hit in dense.hits] == [{"dense"}, {"dense"}]
    assert [set(hit.channels) for hit in lexical.hits] == [{"lexical"}]


def test_a_query_without_words_leaves_the_order_to_dense(rig: Rig) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("Ann keeps bees"), NewMemory("Bob sails"))
    rig.index(cube)
    hits = rig.search(cube, "who is it?")
    assert [set(hit.channels) for hit in hits.hits] == [{"dense"}, {"dense"}]
    assert rig.search(cube, "who is it?", channels=frozenset({Channel.LEXICAL})).hits == ()


def test_a_channel_that_cannot_answer_is_named_and_the_other_answers(rig: Rig) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("Ann keeps bees"))
    rig.index(cube)
    for changed, named in (({"query_vector": None}, "embedded"), ({"model_id": "other"}, "other")):
        hits = rig.search(cube, "bees", **changed)
        assert [(shortfall.part, named in shortfall.reason) for shortfall in hits.degraded] == [("dense", True)]
        assert texts(hits) == ["Ann keeps bees"]


def test_an_index_that_fails_is_named_unless_the_words_are_in_memory(
    rig: Rig, words: WordLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("Ann keeps bees"))
    rig.index(cube)

    def fail(*_: object) -> CorpusStatistics:
        raise StorageUnavailable("lexical index is down")

    monkeypatch.setattr(rig.lexical, "statistics", fail)
    hits = rig.search(cube, "bees")
    named = [("lexical", "lexical index is down")] if words is WAYS["stored"] else []
    assert [(shortfall.part, shortfall.reason) for shortfall in hits.degraded] == named
    assert texts(hits) == ["Ann keeps bees"]


def test_a_channel_that_lags_is_named(rig: Rig) -> None:
    cube = HandDriven()
    remember(cube, NewMemory("Ann keeps bees"))
    rig.index(cube)
    rig.embedder.gate.clear()
    remember(cube, NewMemory("Bob keeps goats"))
    vector = rig.embedder.batches[0]
    rig.projector.feed(replay(cube))
    request = SearchCube("who keeps goats", None, "words", 5, channels=frozenset(Channel))
    hits = rig.engine.search(OpenCube(cube.state), request, rig.projector, 0.05)
    rig.embedder.gate.set()
    assert vector
    assert {shortfall.part for shortfall in hits.degraded} == {"dense"}
    assert any("not indexed yet" in shortfall.reason for shortfall in hits.degraded)


WORDS = st.lists(st.sampled_from("tea milk bees goats Oslo Kent boat house rain".split()), min_size=1, max_size=6)


def test_another_cube_changes_no_score_and_no_order_bit_for_bit(tmp_path: Path, words: WordLimits) -> None:
    mine = HandDriven("mine")
    remember(mine, *(NewMemory(f"{a} {b} {n}") for n, (a, b) in enumerate(PAIRS * 8)))
    vectors = FaissVectorIndex(StorageSpec(str(tmp_path / "v")), "words", DIMENSION, epoch=1)
    rig = Rig(vectors, TantivyIndex(tmp_path / "l", "1"), SHALLOW, words)
    rig.index(mine)
    queries = ["tea and bees", "goats of Oslo", "boat", "a house in the rain in Kent"]
    before = [rig.search(mine, query, top_k=10) for query in queries]
    assert all(hits.hits for hits in before)

    @settings(max_examples=8, deadline=None)
    @given(st.lists(WORDS, min_size=1, max_size=30))
    def holds(others: list[list[str]]) -> None:
        neighbour = HandDriven("neighbour", seed=len(others))
        remember(neighbour, *(NewMemory(" ".join(words)) for words in others))
        rig.index(neighbour)
        assert [rig.search(mine, query, top_k=10) for query in queries] == before

    holds()
    rig.close()


PAIRS = [("tea", "milk"), ("bees", "goats"), ("Oslo", "Kent"), ("boat", "tea"), ("house", "rain"), ("rain", "rain")]


def test_reopened_indexes_give_the_same_scores_bit_for_bit(tmp_path: Path) -> None:
    cube = HandDriven()
    remember(cube, *(NewMemory(f"{a} {b} {n}") for n, (a, b) in enumerate(PAIRS * 4)))

    def found(epoch: int) -> CubeHits:
        vectors = FaissVectorIndex(StorageSpec(str(tmp_path / "v")), "words", DIMENSION, epoch)
        rig = Rig(vectors, TantivyIndex(tmp_path / "l", "1"))
        if rig.vectors.position == 0:
            rig.index(cube)
        hits = rig.search(cube, "tea in Oslo", top_k=24)
        rig.close()
        return hits

    first = found(1)
    assert len(first.hits) == 24
    assert found(2) == first


def test_words_that_were_forgotten_are_read_anew() -> None:
    rig = Rig(PlainVectorIndex(), PlainLexicalIndex())
    cube = HandDriven()
    remember(cube, *(NewMemory(f"tea with {n} sugars") for n in range(30)))
    rig.index(cube)
    first = rig.search(cube, "tea with 7 sugars")
    vectors_bytes = rig.vectors.held_bytes("c")  # which plain vectors hold for good
    assert rig.engine.held_bytes("c") > vectors_bytes
    rig.engine.forget("c")
    assert rig.engine.held_bytes("c") == vectors_bytes
    assert rig.search(cube, "tea with 7 sugars") == first
    assert texts(first)[0] == "tea with 7 sugars"
    rig.close()


class CountingLexicalIndex(PlainLexicalIndex):
    asked = 0

    def statistics(self, cube_id: str, terms: Sequence[str], version: int) -> CorpusStatistics:
        self.asked += 1
        return super().statistics(cube_id, terms, version)


def test_a_large_cube_answers_from_storage_while_its_words_are_read() -> None:
    index = CountingLexicalIndex()
    rig = Rig(PlainVectorIndex(), index, words=WordLimits(rows_at_once=10))
    cube = HandDriven()
    remember(cube, *(NewMemory(f"tea with {n} sugars") for n in range(2_000)))
    rig.index(cube)
    first = rig.search(cube, "tea with 7 sugars", top_k=3)
    assert index.asked == 1

    def answers_from_memory() -> bool:
        before = index.asked
        assert rig.search(cube, "tea with 7 sugars", top_k=3) == first
        return index.asked == before

    eventually(answers_from_memory)
    rig.close()
