"""The estimate of what an open cube holds, against what Python allocates for it."""

from __future__ import annotations

import gc
import random
import tracemalloc

import orjson
import pytest

from actors.memory.commands import add, create
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.draft import Origin, Sealer
from actors.memory.requests import AddMemories, NewMemory

MEMORIES = 1000
WORDS = "the garden with my sister went to a support group last week and it was really great".split()


def _filled(seed: int, **more: object) -> CubeState:
    rng = random.Random(seed)
    state = CubeState("c")
    draft = CubeDraft(state, Sealer(b"k" * 32, rng.randbytes))
    create(draft, Origin("o", "r", 1), "o", "c", {})
    for start in range(0, MEMORIES, 100):
        batch = tuple(
            NewMemory(
                " ".join(rng.choices(WORDS, k=rng.randint(5, 40))),
                speaker=rng.choice(("Caroline", "Melanie")),
                session=f"session-{start}",
                ref=f"D{start}:{n}",
                **more,  # type: ignore[arg-type]
            )
            for n in range(100)
        )
        add(draft, Origin("o", "r", start + 2), AddMemories(batch), rng.randbytes)
    for event in draft.events:
        state.apply(event)
    return state


@pytest.mark.parametrize(
    "more", [{}, {"metadata": {"topic": "a topic of its own", "weight": 0.5}}, {"tags": ("a", "b")}]
)
def test_it_is_near_what_a_cube_takes_when_it_is_opened(more: dict[str, object]) -> None:
    stored = orjson.dumps(snapshot_of(_filled(1, **more)))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        state = state_of(orjson.loads(stored))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.85 * taken <= state.held_bytes <= 1.3 * taken


def test_it_is_the_same_after_a_snapshot_as_after_a_fold() -> None:
    state = _filled(2)
    assert state_of(orjson.loads(orjson.dumps(snapshot_of(state)))) == state


def test_texts_are_held_once() -> None:
    state = state_of(orjson.loads(orjson.dumps(snapshot_of(_filled(3)))))
    for row, memory_id in enumerate(state.rows.memory_ids):
        memory = state.current(memory_id)
        assert state.rows.memories[row] is memory
        assert state.rows.texts[row] == f"{memory.speaker}: {memory.text}"
