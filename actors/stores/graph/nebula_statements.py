"""What is said to NebulaGraph: every statement that is sent is made here. Pure.

nGQL takes no parameters in most of these statements, so values are literals, of three kinds only: keys, which are 32
hex digits; integers; and texts, of which nothing but letters, digits and harmless marks stands as it is (`quoted`). So
nothing depends on how a server reads escapes: none is sent.

A space belongs to a shard. Nodes are vertices, named by their keys. Edges carry their nodes' names too, so that one
statement reads them whole; what they are listed by, `place`, sorts as text as (since, id) does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from actors.memory.graph import Edge, EdgeKind, Node
from actors.stores.graph.edge_rows import EDGE_FIELDS, NODE_FIELDS, edge_fields, edge_of, node_fields, node_of

NODE, TIE, RECORD = "memos_node", "memos_tie", "memos_record"
RECORD_KEY = "0" * 32
KEY_CHARS = 32
_PLACE_CHARS = 19 + KEY_CHARS

_NODE_TEXTS = tuple(f"{end}_{field}" for end in ("source", "target") for field in NODE_FIELDS)
_TIE_FIELDS = ("place", "cube_key", "memory_key", *_NODE_TEXTS, *EDGE_FIELDS)
_NUMBERS = ("memory_version", "since", "until", "recorded_us", "occurred_us")
_KEYS = {"place": _PLACE_CHARS, "cube_key": KEY_CHARS, "memory_key": KEY_CHARS}

_PLAIN = frozenset(" _-.:/@")
"""Marks that stand in a literal as they are; '%' begins what is written in hex."""


# values


def quoted(text: str) -> str:
    """The text within double quotes: letters, digits and harmless marks as they are, the bytes of all else as %XX."""
    return '"' + "".join(each if each.isalnum() or each in _PLAIN else _hex(each) for each in text) + '"'


def unquoted(stored: str) -> str:
    """What `quoted` was given, of what a server holds."""
    parts = re.split(r"((?:%[0-9A-F]{2})+)", stored)
    return "".join(_from_hex(part) if at % 2 else part for at, part in enumerate(parts))


def _hex(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _from_hex(part: str) -> str:
    return bytes.fromhex(part.replace("%", "")).decode("utf-8", "surrogatepass")


def key(value: str) -> str:
    """A key as a literal. Raises ValueError for anything else."""
    if not re.fullmatch(r"[0-9a-f]{32}", value):
        raise ValueError(f"no key: {value!r}")
    return f'"{value}"'


def number(value: int) -> str:
    """Raises ValueError for what is no integer of 64 bits, or the smallest of them, which no literal can be."""
    if type(value) is not int or not -(1 << 63) < value < 1 << 63:
        raise ValueError(f"no integer of 64 bits: {value!r}")
    return str(value)


def digest(*parts: str) -> str:
    """A key that stands for texts."""
    state = hashlib.blake2b(digest_size=KEY_CHARS // 2)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


def space_name(prefix: str, shard: str) -> str:
    """Raises ValueError for what is more than letters, digits and '_'."""
    name = f"{prefix}_{shard}"
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,60}", name):
        raise ValueError(f"no name of a space: {name!r}")
    return name


# the space


def create_space(space: str, partitions: int, replicas: int) -> str:
    return (
        f"CREATE SPACE IF NOT EXISTS {space} (partition_num = {number(partitions)}, "
        f"replica_factor = {number(replicas)}, vid_type = FIXED_STRING({KEY_CHARS}))"
    )


def use(space: str) -> str:
    return f"USE {space}"


def clear(space: str) -> str:
    return f"CLEAR SPACE IF EXISTS {space}"


def schema() -> list[str]:
    node = ["cube_key FIXED_STRING(32)", *(f"{field} string" for field in NODE_FIELDS)]
    return [
        f"CREATE TAG IF NOT EXISTS {RECORD} (position int64, form int64, incarnation FIXED_STRING(32))",
        f"CREATE TAG IF NOT EXISTS {NODE} ({', '.join(node)})",
        f"CREATE EDGE IF NOT EXISTS {TIE} ({', '.join(f'{field} {_type(field)}' for field in _TIE_FIELDS)})",
        f"CREATE TAG INDEX IF NOT EXISTS {NODE}_cube ON {NODE}(cube_key)",
        f"CREATE EDGE INDEX IF NOT EXISTS {TIE}_place ON {TIE}(cube_key, place)",
        f"CREATE EDGE INDEX IF NOT EXISTS {TIE}_told ON {TIE}(cube_key, memory_key)",
    ]


def _type(field: str) -> str:
    if field in _KEYS:
        return f"FIXED_STRING({_KEYS[field]})"
    return "int64" if field in _NUMBERS else "string"


# the record


def make_record(form: int, incarnation: str) -> str:
    values = f"{key(RECORD_KEY)}:(0, {number(form)}, {key(incarnation)})"
    return f"INSERT VERTEX {RECORD} (position, form, incarnation) VALUES {values}"


def read_record() -> str:
    fields = ", ".join(f"properties(vertex).{field} AS {field}" for field in ("position", "form", "incarnation"))
    return f"FETCH PROP ON {RECORD} {key(RECORD_KEY)} YIELD {fields}"


def move_record(position: int, incarnation: str) -> str:
    """Moves nothing when the incarnation is another one; answers the position that there is then."""
    return (
        f"UPDATE VERTEX ON {RECORD} {key(RECORD_KEY)} SET position = {number(position)} "
        f"WHEN incarnation == {key(incarnation)} YIELD position AS position"
    )


# writing


def insert_nodes(nodes: Iterable[Node]) -> str:
    fields = ", ".join(("cube_key", *NODE_FIELDS))
    return f"INSERT VERTEX {NODE} ({fields}) VALUES {', '.join(map(_node_values, nodes))}"


def _node_values(node: Node) -> str:
    texts = node_fields(node)
    values = [key(digest(node.cube_id)), *(quoted(texts[field]) for field in NODE_FIELDS)]
    return f"{key(node.key)}:({', '.join(values)})"


def insert_edges(edges: Iterable[Edge]) -> str:
    return f"INSERT EDGE {TIE} ({', '.join(_TIE_FIELDS)}) VALUES {', '.join(map(_tie_values, edges))}"


def _tie_values(edge: Edge) -> str:
    fields: dict[str, Any] = edge_fields(edge)
    for end, node in (("source", edge.source), ("target", edge.target)):
        fields |= {f"{end}_{name}": value for name, value in node_fields(node).items()}
    values = [f'"{place(edge.since, edge.id)}"', key(digest(edge.cube_id)), key(digest(edge.memory_id))]
    values += [quoted(fields[name]) for name in _NODE_TEXTS]
    values += [number(fields[name]) if name in _NUMBERS else quoted(fields[name]) for name in EDGE_FIELDS]
    return f"{_ends(edge)}:({', '.join(values)})"


def place(since: int, edge_id: str) -> str:
    if not 0 <= since < 10**19:
        raise ValueError(f"no version: {since!r}")
    return f"{since:019d}{edge_id if edge_id == '' else key(edge_id)[1:-1]}"


def _ends(edge: Edge) -> str:
    """An edge as it is named: where it begins and ends, and a rank that tells it from others between the two."""
    rank = int(edge.id[:15], 16)
    return f"{key(edge.source.key)}->{key(edge.target.key)}@{rank}"


def delete_edges(edges: Iterable[Edge]) -> str:
    return f"DELETE EDGE {TIE} {', '.join(map(_ends, edges))}"


def delete_nodes(keys: Iterable[str]) -> str:
    return f"DELETE VERTEX {_keys(keys)} WITH EDGE"


# reading

_YIELD_TIE = ", ".join(f"properties(edge).{field} AS {field}" for field in ("place", *_NODE_TEXTS, *EDGE_FIELDS))


def touching(nodes: Collection[Node], version: int, kinds: Sequence[EdgeKind], limit: int) -> str:
    """Rows that `edges_of` reads."""
    named = ", ".join(quoted(kind.value) for kind in kinds)
    return (
        f"GO FROM {_keys(sorted(node.key for node in nodes))} OVER {TIE} BIDIRECT WHERE {_live(version)} "
        f"AND {TIE}.kind IN [{named}] YIELD DISTINCT {_YIELD_TIE} "
        f"| ORDER BY $-.since DESC, $-.place ASC | LIMIT {number(limit)}"
    )


def ever_touching(node_key: str) -> str:
    return f"GO FROM {key(node_key)} OVER {TIE} BIDIRECT YIELD DISTINCT {_YIELD_TIE}"


def ever_told(cube_id: str, memory_id: str) -> str:
    return (
        f"LOOKUP ON {TIE} WHERE {_of_cube(TIE, cube_id)} AND {TIE}.memory_key == {key(digest(memory_id))} "
        f"YIELD {_YIELD_TIE}"
    )


def page(cube_id: str, version: int, since: int, edge_id: str, limit: int) -> str:
    return (
        f'LOOKUP ON {TIE} WHERE {_of_cube(TIE, cube_id)} AND {TIE}.place > "{place(since, edge_id)}" '
        f"AND {_live(version)} YIELD {_YIELD_TIE} | ORDER BY $-.place ASC | LIMIT {number(limit)}"
    )


def one_touching(node_key: str) -> str:
    return f"GO FROM {key(node_key)} OVER {TIE} BIDIRECT YIELD src(edge) AS source | LIMIT 1"


def some_of_cube(cube_id: str, limit: int) -> str:
    return f"LOOKUP ON {NODE} WHERE {_of_cube(NODE, cube_id)} YIELD id(vertex) AS node | LIMIT {number(limit)}"


def edges_of(rows: Sequence[Sequence[Any]]) -> list[Edge]:
    """The edges of rows as the statements above answer them."""
    width = 1 + len(NODE_FIELDS)
    ends = width + len(NODE_FIELDS)
    read = [[unquoted(each) if isinstance(each, str) else each for each in row] for row in rows]
    return [edge_of(node_of(row[1:width]), node_of(row[width:ends]), row[ends:]) for row in read]


def _live(version: int) -> str:
    return f"{TIE}.since <= {number(version)} AND {TIE}.until > {number(version)}"


def _of_cube(what: str, cube_id: str) -> str:
    return f"{what}.cube_key == {key(digest(cube_id))}"


def _keys(keys: Iterable[str]) -> str:
    return ", ".join(map(key, keys))
