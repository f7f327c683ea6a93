"""What every graph index must keep to: inherit `GraphIndexContract`, or `StoredGraphIndexContract`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.memory.graph import EVERY_KIND, Edge, EdgeKind, Ending, Node, NodeKind
from actors.memory.graph_ports import GraphIndex, neighbourhood
from actors.memory.rows import OPEN
from actors.stores.graph.plain import PlainGraphIndex


def memory(name: str, cube_id: str = "c") -> Node:
    return Node(cube_id, NodeKind.MEMORY, name)


def entity(name: str, cube_id: str = "c") -> Node:
    return Node(cube_id, NodeKind.ENTITY, name)


def mention(memory_id: str, name: str, since: int = 1, until: int = OPEN, cube_id: str = "c", words: str = "") -> Edge:
    source, target = memory(memory_id, cube_id), entity(name, cube_id)
    return Edge(EdgeKind.MENTIONS, source, target, memory_id, 1, since, until, words=words)


def follows(earlier: str, later: str, since: int, cube_id: str = "c") -> Edge:
    return Edge(EdgeKind.NEXT, memory(earlier, cube_id), memory(later, cube_id), later, 1, since)


def alias(memory_id: str, name: str, other: str, since: int = 1) -> Edge:
    return Edge(EdgeKind.SAME_ENTITY, entity(name), entity(other), memory_id, 1, since)


NASTY = (
    "plain",
    'O\'Brien "the" \\ back\\slash\\',
    '"); DROP SPACE memos; //',
    "$id `tick` {x: 1} }) DETACH DELETE n //",
    "%41 %% %",
    "tab\tnew\nline\rnul\x00bell\x07",
    "\u00fcber \u540d\u524d \U0001f4a5 \u202eltr",
    "",
)
"""Texts that would do something else than be stored, if they got out of where they are put."""


class GraphIndexContract(ABC):
    """Behaviour of an open index."""

    examples = 25
    """How many made-up graphs it is compared with the reference on."""

    @abstractmethod
    def open(self, folder: Path) -> GraphIndex:
        """An index that keeps what it stores in `folder`, if it stores anything."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> Iterator[GraphIndex]:
        index = self.open(tmp_path / "graph")
        yield index
        index.close()

    def test_an_edge_comes_back_as_it_was_put(self, index: GraphIndex) -> None:
        put = [
            Edge(EdgeKind.MENTIONS, memory("m"), entity(text), "m", 3, 2, 9, 1_700_000_000_000_000, -5, text, text)
            for text in NASTY
        ]
        index.put(put)
        assert sorted(index.touching([memory("m")], {"c": 2}, 99), key=lambda e: e.id) == sorted(
            put, key=lambda e: e.id
        )
        for edge in put:
            assert index.touching([edge.target], {"c": 8}, 9) == [edge]

    def test_any_text_is_a_name_like_others(self, index: GraphIndex) -> None:
        for cube_id in NASTY:
            index.put([mention(text, text, cube_id=cube_id) for text in NASTY])
        for cube_id in NASTY:
            assert len(index.page({cube_id: 1}, 99)) == len(NASTY)
        assert index.erase_memories({NASTY[1]: [NASTY[2]], NASTY[2]: None}) is not None
        left = {cube_id: len(index.page({cube_id: 1}, 99)) for cube_id in NASTY}
        assert left == {c: {NASTY[1]: len(NASTY) - 1, NASTY[2]: 0}.get(c, len(NASTY)) for c in NASTY}

    def test_what_was_put_last_of_an_edge_counts(self, index: GraphIndex) -> None:
        index.put([mention("m", "x", words="first")])
        index.put([mention("m", "x", words="second"), mention("m", "x", until=4, words="third")])
        assert index.touching([memory("m")], {"c": 1}, 9) == [mention("m", "x", until=4, words="third")]
        assert index.touching([memory("m")], {"c": 4}, 9) == []

    def test_edges_are_live_from_their_version_until_they_end(self, index: GraphIndex) -> None:
        index.put([mention("m", "x", since=2), mention("m", "x", since=5), alias("m", "x", "y", since=2)])
        index.end([Ending("c", "m", 2, 4), Ending("c", "nobody", 2, 3), Ending("nowhere", "m", 2, 3)])
        seen = [[edge.since for edge in index.touching([entity("x")], {"c": version}, 9)] for version in range(1, 7)]
        assert seen == [[], [2, 2], [2, 2], [], [5], [5]]
        index.end([Ending("c", "m", 2, 4)])
        assert len(index.page({"c": 3}, 9)) == 2

    def test_the_newest_edges_come_first(self, index: GraphIndex) -> None:
        index.put([mention(f"m{number}", "x", since=number) for number in (3, 1, 7, 5)])
        assert [edge.since for edge in index.touching([entity("x")], {"c": 9}, 3)] == [7, 5, 3]
        assert [edge.since for edge in index.touching([entity("x")], {"c": 6}, 2)] == [5, 3]

    def test_edges_are_found_from_both_ends_once(self, index: GraphIndex) -> None:
        index.put([follows("a", "b", 2), follows("b", "c", 3), mention("a", "x")])
        assert index.touching([memory("b")], {"c": 3}, 9) == [follows("b", "c", 3), follows("a", "b", 2)]
        assert index.touching([memory("a"), memory("b"), memory("c")], {"c": 2}, 9, [EdgeKind.NEXT]) == [
            follows("a", "b", 2)
        ]
        assert index.touching([memory("a")], {"c": 3}, 9, [EdgeKind.MENTIONS]) == [mention("a", "x")]
        assert index.touching([], {"c": 3}, 9) == []
        assert index.touching([memory("a")], {"c": 3}, 9, []) == []

    def test_an_edge_of_a_node_to_itself_is_found_once(self, index: GraphIndex) -> None:
        index.put([alias("m", "x", "x"), mention("m", "x")])
        assert len(index.touching([entity("x")], {"c": 1}, 9)) == 2

    def test_a_cube_that_is_not_asked_for_is_not_seen(self, index: GraphIndex) -> None:
        index.put([mention("m", "x"), mention("m", "x", cube_id="d")])
        both = [entity("x"), entity("x", "d")]
        assert index.touching(both, {"c": 1}, 9) == [mention("m", "x")]
        assert index.page({"d": 1}, 9) == [mention("m", "x", cube_id="d")]
        assert index.touching(both, {}, 9) == index.page({}, 9) == []

    def test_cubes_are_seen_each_at_its_version(self, index: GraphIndex) -> None:
        for cube_id in "cd":
            index.put([mention(f"m{since}", "x", since=since, cube_id=cube_id) for since in (1, 2, 3)])
        found = index.touching([entity("x"), entity("x", "d")], {"c": 1, "d": 3}, 9)
        assert [(edge.cube_id, edge.since) for edge in found] == [("d", 3), ("d", 2), *sorted_ones(found)]
        assert len(sorted_ones(found)) == 2

    def test_a_neighbourhood_goes_from_cube_to_cube_by_names(self, index: GraphIndex) -> None:
        index.put([mention("m", "caroline"), mention("n", "caroline", cube_id="d"), mention("n", "pride", cube_id="d")])
        index.put([mention("o", "pride", cube_id="e"), mention("o", "secret", cube_id="e")])
        seen = {"c": 1, "d": 1}
        steps = neighbourhood(index, [memory("m")], seen, hops=4, limit=99)
        assert [(step.distance, step.edge.target.name, step.edge.cube_id) for step in steps] == [
            (1, "caroline", "c"),
            (2, "caroline", "d"),
            (3, "pride", "d"),
        ]
        assert len(neighbourhood(index, [memory("m")], seen, hops=2, limit=99)) == 2
        assert len(neighbourhood(index, [memory("m")], seen, hops=4, limit=1)) == 1
        assert neighbourhood(index, [memory("o", "e")], seen, hops=4, limit=9) == []

    def test_pages_hold_every_live_edge_once(self, index: GraphIndex) -> None:
        edges = [mention(f"m{n}", f"x{n % 3}", since=1 + n % 4, cube_id="cd"[n % 2]) for n in range(23)]
        index.put(edges)
        index.put([mention("late", "x", since=9), mention("early", "x", since=1, until=2)])
        found, place = [], None
        while page := index.page({"c": 4, "d": 4}, 5, place):
            found, place = [*found, *page], page[-1].place
        assert found == sorted(edges, key=lambda edge: edge.place)

    def test_an_erased_memory_leaves_nothing_and_others_everything(self, index: GraphIndex) -> None:
        index.put([mention("a", "x"), mention("a", "only a's"), alias("a", "only a's", "another of a's")])
        index.put([mention("b", "x"), follows("a", "b", 2), follows("b", "c", 3), mention("a", "x", cube_id="d")])
        index.flush(7)
        index.erase_memories({"c": ["a", "never there"]})
        assert index.page({"c": 9}, 9) == [mention("b", "x"), follows("b", "c", 3)]
        assert index.page({"d": 9}, 9) == [mention("a", "x", cube_id="d")]
        for gone in (memory("a"), entity("only a's"), entity("another of a's")):
            assert index.touching([gone], {"c": 9}, 9) == []
        assert index.position == 7
        index.erase_memories({"c": ["a"]})

    def test_what_other_memories_tell_of_an_entity_stays_when_one_is_erased(self, index: GraphIndex) -> None:
        index.put([mention("a", "x"), alias("a", "x", "y"), mention("b", "x"), alias("b", "x", "y")])
        index.erase_memories({"c": ["a"]})
        assert sorted(edge.memory_id for edge in index.touching([entity("x")], {"c": 1}, 9)) == ["b", "b"]

    def test_an_erased_cube_is_gone_and_can_be_filled_again(self, index: GraphIndex) -> None:
        index.put([mention("a", "x"), mention("a", "x", cube_id="d")])
        index.flush(3)
        index.erase("c")
        index.erase("never there")
        assert (index.page({"c": 9}, 9), len(index.page({"d": 9}, 9)), index.position) == ([], 1, 3)
        index.put([mention("a", "y")])
        assert index.page({"c": 9, "d": 9}, 9) == [mention("a", "y"), mention("a", "x", cube_id="d")]
        index.erase_memories({"d": None})
        assert index.page({"d": 9}, 9) == []

    def test_clearing_forgets_everything_and_the_position(self, index: GraphIndex) -> None:
        index.put([mention("a", "x")])
        index.flush(4)
        index.clear()
        assert (index.position, index.page({"c": 9}, 9)) == (0, [])
        index.put([mention("a", "y")])
        assert len(index.page({"c": 9}, 9)) == 1

    def test_nothing_to_do_is_done(self, index: GraphIndex) -> None:
        index.put([])
        index.end([])
        index.erase_memories({})
        index.erase_memories({"c": []})
        index.flush(0)
        assert index.position == 0

    def test_it_answers_what_the_reference_answers(self, index: GraphIndex) -> None:
        reference, numbers = PlainGraphIndex(), count()

        @settings(max_examples=self.examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(edges=st.lists(_edges(), max_size=14), ended=_endings(), gone=st.sampled_from(["m0", "m1", "m2"]))
        def holds(edges: list[Edge], ended: list[Ending], gone: str) -> None:
            number = next(numbers)  # cubes of its own for each example
            edges = [_in_cube(edge, f"{edge.cube_id}{number}") for edge in edges]
            ended = [replace(ending, cube_id=f"{ending.cube_id}{number}") for ending in ended]
            nodes = [replace(node, cube_id=f"{node.cube_id}{number}") for node in _NODES]
            seen = {f"c{number}": 2, f"d{number}": 3}
            for target in (index, reference):
                target.put(edges[::2])
                target.put(edges[1::2])
                target.end(ended)
                target.put(edges[:1])
            for _ in range(2):
                for after in (None, *(edge.place for edge in edges[:1])):
                    assert index.page(seen, 7, after) == reference.page(seen, 7, after)
                for asked, kinds in ((nodes[:1], EVERY_KIND), (nodes[3:], (EdgeKind.MENTIONS,)), (nodes, EVERY_KIND)):
                    assert index.touching(asked, seen, 4, kinds) == reference.touching(asked, seen, 4, kinds)
                around = [neighbourhood(each, nodes[:1], seen, hops=3, limit=6) for each in (index, reference)]
                assert around[0] == around[1]
                for target in (index, reference):
                    target.erase_memories({f"c{number}": [gone]})

        holds()

    def test_readers_and_a_writer_do_not_disturb_each_other(self, index: GraphIndex) -> None:
        index.put([mention("m", "x")])
        wrong: list[list[Edge]] = []

        def read() -> None:
            for _ in range(15):
                found = index.touching([memory("m")], {"c": 1}, 9)
                if found != [mention("m", "x")]:
                    wrong.append(found)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(15):
            index.put([mention(f"m{number}", "x", since=2)])
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(index.page({"c": 2}, 99)) == 16


def sorted_ones(edges: list[Edge]) -> list[tuple[str, int]]:
    """(cube, since) of the edges of version 1, in the order of their ids, which says nothing of cubes."""
    ones = sorted((edge for edge in edges if edge.since == 1), key=lambda edge: edge.id)
    return [(edge.cube_id, edge.since) for edge in ones]


_NODES = [entity("x"), entity("y"), entity("x", "d"), memory("m0"), memory("m1"), memory("m2", "d")]


@st.composite
def _edges(draw: st.DrawFn) -> Edge:
    cube_id = draw(st.sampled_from("cd"))
    teller, other = draw(st.sampled_from(["m0", "m1", "m2"])), draw(st.sampled_from(["m0", "m1"]))
    name = draw(st.sampled_from(["x", "y"]))
    since = draw(st.integers(1, 3))
    edge = draw(st.sampled_from([mention(teller, name, since), follows(other, teller, since)]))
    until = draw(st.sampled_from([since + 1, OPEN]))
    return _in_cube(replace(edge, until=until, words=draw(st.sampled_from(["", "w"]))), cube_id)


def _in_cube(edge: Edge, cube_id: str) -> Edge:
    source, target = (replace(node, cube_id=cube_id) for node in (edge.source, edge.target))
    return replace(edge, source=source, target=target)


def _endings() -> st.SearchStrategy[list[Ending]]:
    ending = st.builds(Ending, st.sampled_from("cd"), st.sampled_from(["m0", "m1"]), st.integers(1, 2), st.just(3))
    return st.lists(ending, max_size=3, unique_by=lambda each: (each.cube_id, each.memory_id, each.since))


class StoredGraphIndexContract(GraphIndexContract):
    """What an index that keeps its edges on storage promises besides."""

    def test_what_was_flushed_is_there_after_reopening(self, tmp_path: Path) -> None:
        first = self.open(tmp_path / "g")
        assert first.position == 0
        first.put([mention("m", "x"), follows("m", "n", 2)])
        first.end([Ending("c", "n", 2, 5)])
        first.flush(11)
        first.close()
        second = self.open(tmp_path / "g")
        assert second.position == 11
        assert second.page({"c": 2}, 9) == [mention("m", "x"), replace(follows("m", "n", 2), until=5)]
        second.put([mention("m", "x", until=2)])
        assert len(second.page({"c": 2}, 9)) == 1
        second.close()

    def test_what_was_erased_stays_erased(self, tmp_path: Path) -> None:
        first = self.open(tmp_path / "g")
        first.put([mention("m", "x"), mention("n", "y"), mention("m", "x", cube_id="d")])
        first.flush(1)
        first.erase_memories({"c": ["m"], "d": None})
        first.close()
        second = self.open(tmp_path / "g")
        assert second.page({"c": 9, "d": 9}, 9) == [mention("n", "y")]
        second.close()
