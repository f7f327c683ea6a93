"""What is said to NebulaGraph: no text gets out of its literal, and the golden file lists every shape of statement."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.memory.graph import Edge, EdgeKind, Node, NodeKind
from actors.stores.graph import nebula_statements as say
from tests.contracts.graph_contract import NASTY
from tests.contracts.nebula_engine import NebulaEngine, shape_of, tokens_of

GOLDEN = Path(__file__).parents[1] / "contracts" / "nebula_statements.golden"

TEXTS = st.one_of(
    st.sampled_from(NASTY),
    st.text(),
    st.text("\"'`\\;|$%(){}[]<>=@#\n\r\0 aZ0é名"),
    st.text().map(lambda text: f'"); {text} //'),
)


def edge_of(text: str, other: str, number: int = 1) -> Edge:
    cube_id = f"{text}{other}"
    source, target = Node(cube_id, NodeKind.MEMORY, text), Node(cube_id, NodeKind.ENTITY, other)
    return Edge(EdgeKind.MENTIONS, source, target, text, number, 1, evidence=other, words=text)


def every_statement(text: str = "a", other: str = "b", number: int = 1) -> list[str]:
    """One of each that is ever sent, about these texts."""
    edge, incarnation = edge_of(text, other, number), "f" * 32
    nodes = [edge.source, edge.target]
    return [
        say.create_space("memos_000", 10, 1),
        say.use("memos_000"),
        *say.schema(),
        say.clear("memos_000"),
        say.make_record(1, incarnation),
        say.read_record(),
        say.move_record(number, incarnation),
        say.insert_nodes(nodes),
        say.insert_edges([edge, edge]),
        say.touching(nodes, number, [EdgeKind.NEXT, EdgeKind.MENTIONS], 9),
        say.ever_touching(edge.source.key),
        say.ever_told(edge.cube_id, edge.memory_id),
        say.page(edge.cube_id, number, edge.since, edge.id, 9),
        say.one_touching(edge.target.key),
        say.some_of_cube(edge.cube_id, 9),
        say.delete_edges([edge, edge]),
        say.delete_nodes([node.key for node in nodes]),
    ]


def test_the_golden_file_lists_every_shape_of_statement_that_is_sent() -> None:
    """To renew it, write what this compares it with, and read what changed."""
    assert GOLDEN.read_text() == "\n".join(shape_of(statement) for statement in every_statement()) + "\n"


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, st.integers(-(1 << 63) + 1, (1 << 63) - 1))
def test_no_text_changes_what_a_statement_says(text: str, other: str, number: int) -> None:
    for statement, plain in zip(every_statement(text, other, number), every_statement(), strict=True):
        assert shape_of(statement) == shape_of(plain)
        assert not set(statement) & set("\\\n\r\0';`#")


@given(TEXTS)
def test_a_text_is_one_literal_of_harmless_characters_and_comes_back(text: str) -> None:
    literal = say.quoted(text)
    assert tokens_of(literal) == [("text", literal)]
    assert all(each.isalnum() or each in " _-.:/@%" for each in literal[1:-1])
    assert say.unquoted(literal[1:-1]) == text


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS)
def test_a_server_keeps_texts_as_they_were(text: str, other: str) -> None:
    engine, space = NebulaEngine(), ""
    edge = edge_of(text, other)
    for statement in (say.create_space("s", 1, 1), say.use("s"), *say.schema()):
        space, _ = engine.run(statement, space)
    for statement in (say.insert_nodes([edge.source, edge.target]), say.insert_edges([edge])):
        engine.run(statement, space)
    for statement in (
        say.touching([edge.target], 1, [EdgeKind.MENTIONS], 9),
        say.page(edge.cube_id, 1, 0, "", 9),
        say.ever_told(edge.cube_id, edge.memory_id),
    ):
        assert say.edges_of(engine.run(statement, space)[1][1]) == [edge]
    assert engine.run(say.ever_told(edge.cube_id, edge.memory_id + "x"), space)[1][1] == []


@given(st.lists(st.text(), min_size=1, max_size=3), st.lists(st.text(), min_size=1, max_size=3))
def test_texts_have_a_key_of_their_own(some: list[str], others: list[str]) -> None:
    assert (say.digest(*some) == say.digest(*others)) == (some == others)
    assert say.key(say.digest(*some))


@pytest.mark.parametrize("no_key", ["", "a", "G" * 32, "a" * 33, '"' * 32, "a" * 31 + "\n", "A" * 32])
def test_what_is_no_key_is_refused(no_key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        say.key(no_key)


@pytest.mark.parametrize("no_number", [1 << 63, -(1 << 63), True, 1.0, "1", None])
def test_what_is_no_integer_of_64_bits_is_refused(no_number: object) -> None:
    with pytest.raises(ValueError, match="no integer"):
        say.number(no_number)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", "1", "a b", "a`b", "a;b", "ü", "a" * 99])
def test_what_cannot_name_a_space_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="no name of a space"):
        say.space_name(prefix, "000")


def test_places_sort_as_versions_and_ids_do() -> None:
    places = [(since, digit * 32) for since in (0, 1, 9, 10, 99, 100, 10**18) for digit in "09af"]
    assert sorted(say.place(*each) for each in places) == [say.place(*each) for each in sorted(places)]


@pytest.mark.parametrize(("package", "extra"), [("nebula3", "nebula"), ("neo4j", "neo4j")])
def test_the_statements_need_no_driver(package: str, extra: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; import actors.stores.graph.{extra}_statements"
    subprocess.run([sys.executable, "-c", program], check=True)
