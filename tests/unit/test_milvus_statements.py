"""What is said to Milvus: no text enters it, and a mask's expressions match that mask's rows."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.stores.vectors import milvus_statements as say
from actors.stores.vectors.milvus_statements import SearchBounds

BOUNDS = SearchBounds(listed_rows=5, lists=3, fetched_rows=16)
SPARSE, DENSE = st.sets(st.integers(0, 80), min_size=1), st.sets(st.integers(20, 40), min_size=7)
ROWS = st.one_of(SPARSE, DENSE).map(lambda rows: np.array(sorted(rows), dtype=np.int64))


def matched(expression: str) -> list[int]:
    """The rows up to 99 that an expression of the cube matches, read as Python, which has the same words."""
    cube, _, rows = expression.partition(" and ")
    assert cube == say.of_cube("k")
    return [row for row in range(100) if eval(rows, {}, {"row": row})]


@given(st.text(), st.text())
def test_any_cube_id_is_a_plain_value_of_its_own(one: str, other: str) -> None:
    assert re.fullmatch(r'cube == "[0-9a-f]{48}"', say.of_cube(say.cube_key(one)))
    assert (say.cube_key(one) == say.cube_key(other)) == (one == other)
    assert len(say.entity_key(say.cube_key(one), 2**63 - 1)) <= say.ENTITY_CHARS


def test_a_text_that_utf8_cannot_hold_is_a_cube_id_too() -> None:
    assert say.cube_key("\ud800") != say.cube_key("\ud801")


@given(ROWS)
def test_listed_rows_are_those_of_the_mask_and_no_others(rows: say.Rows) -> None:
    expressions = say.lists("k", rows, BOUNDS)
    if expressions is None:
        dense = 2 * len(rows) >= rows[-1] - rows[0] + 1
        assert dense or len(rows) > BOUNDS.listed_rows * BOUNDS.lists
        return
    assert len(expressions) <= BOUNDS.lists
    assert sorted(row for text in expressions for row in matched(text)) == rows.tolist()
    assert all(len(matched(text)) <= BOUNDS.listed_rows for text in expressions)


def test_more_rows_than_fit_the_lists_are_not_listed() -> None:
    fitting = np.arange(0, 10 * BOUNDS.listed_rows * BOUNDS.lists, 10)
    assert len(say.lists("k", fitting, BOUNDS) or ()) == BOUNDS.lists
    assert say.lists("k", np.append(fitting, 10_000), BOUNDS) is None


def test_a_cube_with_few_rows_gone_is_not_listed_however_small_it_is() -> None:
    assert say.lists("k", np.array([3, 4, 6]), SearchBounds()) is None
    assert say.lists("k", np.array([3, 9]), SearchBounds()) == ['cube == "k" and row in [3, 9]']


@given(st.integers(0, 50), st.integers(0, 49))
def test_pieces_cover_a_span_once_and_fit_an_answer(first: int, length: int) -> None:
    rows = [matched(piece) for piece in say.pieces("k", first, first + length, BOUNDS)]
    assert [row for piece in rows for row in piece] == list(range(first, first + length + 1))
    assert all(len(piece) <= BOUNDS.fetched_rows for piece in rows)


@pytest.mark.parametrize("model", ["hash@1", "sentence-transformers/all-MiniLM-L6-v2", '\u00fc"; drop'])
def test_a_collections_name_is_one_that_milvus_takes(model: str) -> None:
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", say.collection_name("memos", "007", model))


def test_without_the_extra_the_way_out_is_named_and_faiss_needs_none_of_it() -> None:
    program = (
        "import sys; sys.modules['pymilvus'] = None\n"
        "from actors.errors import ConfigError\n"
        "from actors.shard_opening import VectorBackend, VectorStoreSpec, _open_milvus\n"
        "from tests.unit.hosts import HashEmbedder\n"
        "try: _open_milvus(VectorStoreSpec(VectorBackend.MILVUS, 'http://127.0.0.1:1'), 0, HashEmbedder())\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "memory-os[milvus]" in done.stdout
    assert "faiss" in done.stdout
