"""What every lexical index must keep to: inherit `LexicalIndexContract`, or `StoredLexicalIndexContract`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.memory.ports import CorpusStatistics, LexicalDocument, LexicalIndex
from actors.memory.rows import OPEN
from actors.stores.lexical.plain import PlainLexicalIndex


def document(row: int, text: str, since: int = 1, until: int = OPEN, cube_id: str = "c") -> LexicalDocument:
    return LexicalDocument(cube_id, row, tuple(text.split()), since, until)


class LexicalIndexContract(ABC):
    """Behaviour of an open index."""

    @abstractmethod
    def open(self, folder: Path) -> LexicalIndex:
        """An index that keeps what it stores in `folder`, if it stores anything."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[LexicalIndex]:
        index = self.open(tmp_path / "lexical")
        yield index
        index.close()

    def test_rows_that_were_erased_are_found_no_more_and_others_are(self, index: LexicalIndex) -> None:
        index.put([document(0, "a b"), document(1, "b secret"), document(0, "b secret", cube_id="d")])
        index.flush(3)
        index.put([document(2, "b waiting")])
        index.erase_rows({"c": [1], "d": [5]})
        assert index.position == 3
        index.flush(4)
        assert index.candidates("c", [("secret", 1.0), ("b", 1.0)], 9, 10) == [2, 0]
        assert index.statistics("c", ["b", "secret"], 9) == CorpusStatistics(2, 4, (2, 0))
        assert index.candidates("d", [("secret", 1.0)], 9, 10) == [0]

    def test_candidates_come_by_the_weights_of_the_terms_they_hold(self, index: LexicalIndex) -> None:
        index.put([document(0, "a b"), document(1, "b c"), document(2, "c c c"), document(3, "d")])
        index.flush(1)
        assert index.candidates("c", [("a", 1.0), ("b", 2.0), ("c", 4.0)], 1, 10) == [1, 2, 0]
        assert index.candidates("c", [("a", 1.0), ("b", 2.0), ("c", 4.0)], 1, 1) == [1]
        assert index.candidates("c", [("nothing", 1.0)], 1, 10) == []
        assert index.candidates("c", [], 1, 10) == []

    def test_statistics_count_the_rows_live_at_the_version(self, index: LexicalIndex) -> None:
        index.put([document(0, "a a b", since=1, until=3), document(1, "a", since=2), document(2, "b b", since=3)])
        index.flush(1)
        assert index.statistics("c", ["a", "b", "z"], 1) == CorpusStatistics(1, 3, (1, 1, 0))
        assert index.statistics("c", ["a", "b", "z"], 2) == CorpusStatistics(2, 4, (2, 1, 0))
        assert index.statistics("c", ["a", "b", "z"], 3) == CorpusStatistics(2, 3, (1, 1, 0))
        assert index.statistics("nobody", ["a"], 3) == CorpusStatistics(0, 0, (0,))

    def test_candidates_are_live_at_the_version(self, index: LexicalIndex) -> None:
        index.put([document(0, "a", since=1, until=3), document(1, "a", since=2)])
        index.flush(1)
        assert [sorted(index.candidates("c", [("a", 1.0)], v, 9)) for v in range(4)] == [[], [0], [0, 1], [1]]

    def test_putting_a_row_again_replaces_it(self, index: LexicalIndex) -> None:
        index.put([document(0, "a")])
        index.flush(1)
        index.put([document(0, "a", until=5)])
        index.put([document(0, "b", until=5)])
        index.flush(2)
        assert index.statistics("c", ["a", "b"], 4) == CorpusStatistics(1, 1, (0, 1))
        assert index.statistics("c", ["a", "b"], 5) == CorpusStatistics(0, 0, (0, 0))

    def test_a_cube_whose_name_begins_with_anothers_is_another(self, index: LexicalIndex) -> None:
        index.put([document(0, "a", cube_id="c"), document(1, "a", cube_id="c1"), document(11, "a", cube_id="c")])
        index.put([document(1, "b", cube_id="c")])
        index.flush(1)
        assert sorted(index.candidates("c", [("a", 1.0)], 1, 9)) == [0, 11]
        assert index.candidates("c1", [("a", 1.0)], 1, 9) == [1]

    def test_ties_at_the_cut_go_to_the_newest_rows_whatever_lies_around_them(self, index: LexicalIndex) -> None:
        for row in (5, 1, 9, 3, 7):
            index.put([document(row, "a b"), document(row + 100, "a"), document(row, "a a b", cube_id="other")])
            index.flush(row)
        assert index.candidates("c", [("a", 1.0), ("b", 0.5)], 1, 3) == [9, 7, 5]
        assert index.candidates("c", [("a", 1.0), ("b", 0.5)], 1, 7) == [9, 7, 5, 3, 1, 109, 107]

    def test_it_proposes_what_the_reference_proposes(self, index: LexicalIndex) -> None:
        @settings(max_examples=20, deadline=None)
        @given(
            texts=st.lists(st.text("abcde", max_size=9), min_size=1, max_size=12),
            weights=st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0, 2.0]), min_size=5, max_size=5),
            limit=st.integers(1, 12),
        )
        def holds(texts: list[str], weights: list[float], limit: int) -> None:
            index.erase("c")
            documents = [document(row, " ".join(text)) for row, text in enumerate(texts)]
            others = [document(row, "a b c d e", cube_id="other") for row in range(3)]
            reference = PlainLexicalIndex()
            for target, first in ((index, documents[::2] + others), (reference, documents[::2])):
                target.put(first)
                target.flush(1)
                target.put(documents[1::2])
                target.flush(2)
            weighted = list(zip("abcde", weights, strict=True))
            assert index.candidates("c", weighted, 1, limit) == reference.candidates("c", weighted, 1, limit)
            assert index.statistics("c", list("abcdez"), 1) == reference.statistics("c", list("abcdez"), 1)

        holds()

    def test_another_cubes_documents_change_nothing(self, index: LexicalIndex) -> None:
        index.put([document(row, "a b" if row % 3 else "a c") for row in range(30)])
        index.flush(1)

        def seen() -> tuple[CorpusStatistics, list[int]]:
            weighted = [("a", 0.1), ("b", 0.7), ("c", 1.3)]
            return index.statistics("c", ["a", "b", "c"], 1), index.candidates("c", weighted, 1, 15)

        before = seen()
        assert len(before[1]) == 15
        index.put([document(row, "a b c", cube_id="other") for row in range(300)])
        index.flush(2)
        assert seen() == before

    def test_erasing_and_clearing(self, index: LexicalIndex) -> None:
        index.put([document(0, "a"), document(0, "a", cube_id="d")])
        index.flush(4)
        index.erase("c")
        assert index.statistics("c", ["a"], 1).documents == 0
        assert (index.statistics("d", ["a"], 1).documents, index.position) == (1, 4)
        index.clear()
        assert (index.statistics("d", ["a"], 1).documents, index.position) == (0, 0)
        index.put([document(0, "a")])
        index.flush(1)
        assert index.candidates("c", [("a", 1.0)], 1, 1) == [0]


class StoredLexicalIndexContract(LexicalIndexContract):
    """What an index on storage promises besides."""

    def test_what_was_flushed_is_there_after_reopening_and_no_more(self, tmp_path: Path) -> None:
        first = self.open(tmp_path / "l")
        first.put([document(0, "a")])
        first.flush(5)
        first.put([document(1, "a")])
        first.close()
        second = self.open(tmp_path / "l")
        assert (second.position, second.candidates("c", [("a", 1.0)], 1, 9)) == (5, [0])
        second.close()

    def test_a_position_without_documents_is_kept(self, tmp_path: Path) -> None:
        first = self.open(tmp_path / "l")
        first.flush(3)
        first.flush(8)
        first.close()
        second = self.open(tmp_path / "l")
        assert second.position == 8
        second.close()
