"""A search of an earlier version answers what it answered then, bit for bit, whatever was done since."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.lexical_channel import WordLimits
from actors.memory.commands import change, move
from actors.memory.lifecycle import State
from actors.memory.ports import LexicalIndex, VectorIndex
from actors.memory.requests import ChangeMemory, Moment, MoveMemory, NewMemory
from actors.memory.search_requests import CubeHits
from actors.memory.time_commands import roll_back
from actors.row_deltas import NO_POSITION, RowDelta
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.lexical.tantivy_index import TantivyIndex
from actors.stores.location import StorageSpec
from actors.stores.vectors.faiss_index import FaissVectorIndex
from actors.stores.vectors.plain import PlainVectorIndex
from tests.unit.cubes import HandDriven, allow_all
from tests.unit.indexing import DIMENSION, remember
from tests.unit.test_cube_search import Rig
from tests.unit.test_time_machine import fork_of

WORDS = ("tea", "coffee", "garden", "harbour", "Ann", "Ben", "Friday", "music", "rain", "letters")

Stores = Callable[[Path], tuple[VectorIndex, LexicalIndex]]


def on_files(folder: Path) -> tuple[VectorIndex, LexicalIndex]:
    vectors = FaissVectorIndex(StorageSpec(str(folder / "vectors")), "words", DIMENSION, 1)
    return vectors, TantivyIndex(folder / "words", "1")


def in_memory(folder: Path) -> tuple[VectorIndex, LexicalIndex]:
    return PlainVectorIndex(), PlainLexicalIndex()


def step(cube: HandDriven, chance: random.Random) -> None:
    """Add, change, archive, revive, freeze, or go back."""
    known = [memory for memory in cube.state.memories(None) if memory.state is not State.FROZEN]
    kind = chance.choice(("add", "add", "change", "move", "move", "back"))
    text = " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))
    if kind == "add" or not known:
        remember(cube, *(NewMemory(text, speaker=chance.choice(WORDS)) for _ in range(chance.randint(1, 3))))
    elif kind == "back":
        to = Moment(version=chance.randint(1, cube.state.version))
        cube.run(lambda d, o: roll_back(d, o, to, ""))
    else:
        memory = chance.choice(known)
        if kind == "change":
            cube.run(lambda d, o: change(d, o, ChangeMemory(memory.id, {"text": text})))
        elif memory.state is State.ARCHIVED:
            cube.run(lambda d, o: move(d, o, MoveMemory(memory.id, State.ACTIVATED), allow_all))
        else:
            to_state = State.FROZEN if chance.random() < 0.1 else State.ARCHIVED
            cube.run(lambda d, o: move(d, o, MoveMemory(memory.id, to_state), allow_all))


@pytest.mark.parametrize("words", [WordLimits(), WordLimits(rows_at_once=-1)], ids=["words in memory", "words stored"])
@pytest.mark.parametrize("stores", [in_memory, on_files])
@pytest.mark.parametrize("seed", range(2))
def test_recorded_answers_are_given_again(stores: Stores, words: WordLimits, seed: int, tmp_path: Path) -> None:
    chance, rig, cube = random.Random(seed), Rig(*stores(tmp_path), words=words), HandDriven(seed=seed)
    recorded: list[tuple[int, str, CubeHits]] = []
    followed = 0
    for _ in range(40):
        step(cube, chance)
        rig.projector.feed(RowDelta.since(cube.state, followed + 1))
        followed = cube.state.version
        assert rig.projector.drain(10)
        question = " ".join(chance.choices(WORDS, k=2))
        recorded.append((followed, question, rig.search(cube, question, top_k=8)))
    for version, question, answer in recorded:
        assert rig.search(cube, question, top_k=8, as_of=Moment(version=version)) == answer, version
    embedded = [text for batch in rig.embedder.batches for text in batch if ": " in text]
    assert len(embedded) == len(cube.state.rows), "what comes back is not embedded again"
    rig.close()


def test_a_replay_of_a_forks_first_event_brings_every_row_that_it_inherits() -> None:
    cube = HandDriven()
    known, gone = remember(cube, NewMemory("tea"), NewMemory("coffee"))
    cube.run(lambda d, o: move(d, o, MoveMemory(gone, State.ARCHIVED), allow_all))
    fork = fork_of(cube, cube.state.version, "f")
    remember(fork, NewMemory("water"))
    first = fork.state.version - 1
    replayed = RowDelta.since(fork.state, first)
    opened = [(row.text, row.place) for delta in replayed if (row := delta.opened) is not None]
    assert opened == [("tea", None), ("coffee", None), ("water", 0)], "inherited vectors are the origin's"
    assert [delta.closed.text for delta in replayed if delta.closed is not None] == ["coffee"]
    later = RowDelta.since(fork.state, first + 1)
    assert [delta.opened.text for delta in later if delta.opened is not None] == ["water"]
    assert known in fork.state.history


def test_only_the_last_part_of_what_an_event_did_moves_the_position() -> None:
    cube = HandDriven()
    remember(cube, *(NewMemory(f"tea {n}") for n in range(3)))
    remembered = cube.state.version
    cube.run(lambda d, o: roll_back(d, o, Moment(version=1), ""))
    event = cube.events[-1].at_position(70)
    replayed = RowDelta.since(cube.state, event.version)
    assert [(delta.version, delta.position) for delta in replayed] == [
        (remembered, NO_POSITION),
        (remembered, NO_POSITION),
        (event.version, NO_POSITION),
    ]
    again = HandDriven()
    for past in cube.events[1:remembered]:
        again.state.apply(past)
    parts = RowDelta.of(event, again.state.apply(event), again.state.rows)
    assert [(part.version, part.position) for part in parts] == [(remembered, 0), (remembered, 0), (event.version, 70)]
    assert all(part.closed is not None and part.opened is None for part in parts)
