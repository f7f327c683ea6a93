"""What a graphd does with the statements that are sent to it, in memory: a strict reader of that part of nGQL.

It follows NebulaGraph's manual, not the module that makes the statements: it knows no default, refuses what it does
not know, checks types, lengths and numbers of values, and that an index covers what is looked up. It is no NebulaGraph:
what it takes, a real one may refuse.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')|(?P<number>-?\d+)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<mark>->|\$-|==|<=|>=|[<>=(){}\[\],.:@|*]))"""
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class SyntaxRefused(Exception):
    """Not of the language, as far as it is known here."""


class SemanticsRefused(Exception):
    """Of the language, and not possible: a name, a type, a missing index."""


@dataclass
class Space:
    vid_chars: int
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    edges: dict[str, dict[str, str]] = field(default_factory=dict)
    indexes: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    vertices: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    ties: dict[tuple[str, str, int, str], dict[str, Any]] = field(default_factory=dict)
    """(source, type, rank, target) -> values."""


Table = tuple[list[str], list[list[Any]]]


class NebulaEngine:
    """The spaces of a server, which outlive its process when they are handed to another."""

    def __init__(self) -> None:
        self.spaces: dict[str, Space] = {}
        self.lock = threading.Lock()

    def run(self, statement: str, space: str) -> tuple[str, Table]:
        """(The space that is used afterwards, rows.) Raises SyntaxRefused, SemanticsRefused."""
        with self.lock:
            return _Reading(self, statement, space).run()


def tokens_of(statement: str) -> list[tuple[str, str]]:
    """(kind, text) of every token. Raises SyntaxRefused for anything else, a second statement included."""
    found, at, end = [], 0, len(statement.rstrip())
    while at < end:
        match = TOKEN.match(statement, at)
        if match is None:
            raise SyntaxRefused(f"syntax error near `{statement[at : at + 20]}'")
        found.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        at = match.end()
    return found


def shape_of(statement: str) -> str:
    """The statement without its values: what is between quotes, numbers, and how often a thing is listed."""
    words = [{"text": '"?"', "number": "0"}.get(kind, text) for kind, text in tokens_of(statement)]
    shape = " ".join(words)
    for listed in (r'"\?" : \( [^()]* \)', r'"\?" -> "\?" @ 0 : \( [^()]* \)', r'"\?" -> "\?" @ 0', r'"\?"'):
        shape = re.sub(rf"({listed})(?: , {listed})+(?! :)(?! [-@])", r"\1 , ...", shape)
    return shape


class _Reading:
    def __init__(self, engine: NebulaEngine, statement: str, space: str) -> None:
        self._engine, self._name = engine, space
        self._tokens, self._at = tokens_of(statement), 0

    # tokens

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise SyntaxRefused(f"syntax error near `{self._peek()}': a {kind} is due")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _say(self, *words: str) -> None:
        for word in words:
            if self._peek() != word:
                raise SyntaxRefused(f"syntax error near `{self._peek()}': {word} is due")
            self._at += 1

    def _if(self, *words: str) -> bool:
        there = [text for _, text in self._tokens[self._at : self._at + len(words)]] == list(words)
        self._at += len(words) if there else 0
        return there

    def _listed(self, one: Callable[[], Any]) -> list[Any]:
        items = [one()]
        while self._if(","):
            items.append(one())
        return items

    def _value(self) -> Any:
        if self._tokens[self._at : self._at + 1] and self._tokens[self._at][0] == "number":
            value = int(self._next("number"))
            if not -(1 << 63) <= value < 1 << 63:
                raise SyntaxRefused("out of range of an int64")
            return value
        return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), self._next("text")[1:-1])

    def _vid(self) -> str:
        value = self._value()
        if not isinstance(value, str) or len(value.encode()) > self._space.vid_chars:
            raise SemanticsRefused(f"Wrong vertex id type or length: {value!r}")
        return value

    @property
    def _space(self) -> Space:
        if self._name not in self._engine.spaces:
            raise SemanticsRefused("Space was not chosen.")
        return self._engine.spaces[self._name]

    # statements

    def run(self) -> tuple[str, Table]:
        verbs: dict[str, Callable[[], Table]] = {
            "CREATE": self._create,
            "USE": self._use,
            "CLEAR": self._clear,
            "INSERT": self._insert,
            "FETCH": self._fetch,
            "UPDATE": self._update,
            "DELETE": self._delete,
            "GO": self._go,
            "LOOKUP": self._lookup,
        }
        verb = self._next("word")
        if verb not in verbs:
            raise SyntaxRefused(f"syntax error near `{verb}'")
        table = self._piped(verbs[verb]())
        if self._at != len(self._tokens):
            raise SyntaxRefused(f"syntax error near `{self._peek()}'")
        return self._name, table

    def _create(self) -> Table:
        kind = self._next("word")
        if self._if("INDEX"):
            self._create_index(kind)
            return [], []
        self._say("IF", "NOT", "EXISTS")
        name = self._next("word")
        self._say("(")
        if kind == "SPACE":
            self._say("partition_num", "=")
            self._next("number")
            self._say(",", "replica_factor", "=")
            self._next("number")
            self._say(",", "vid_type", "=", "FIXED_STRING", "(")
            self._engine.spaces.setdefault(name, Space(int(self._next("number"))))
            self._say(")")
        else:
            fields = dict(self._listed(lambda: (self._next("word"), self._type())))
            {"TAG": self._space.tags, "EDGE": self._space.edges}[kind].setdefault(name, fields)
        self._say(")")
        return [], []

    def _create_index(self, kind: str) -> None:
        self._say("IF", "NOT", "EXISTS")
        name = self._next("word")
        self._say("ON")
        on = self._next("word")
        self._say("(")
        fields = tuple(self._listed(lambda: self._next("word")))
        self._say(")")
        known = {"TAG": self._space.tags, "EDGE": self._space.edges}[kind]
        if on not in known or any(known[on].get(each) in (None, "string") for each in fields):
            raise SemanticsRefused(f"no index on {on}{fields}: unknown, or a string without a length")
        self._space.indexes.setdefault(name, (on, fields))

    def _type(self) -> str:
        if self._if("FIXED_STRING", "("):
            chars = self._next("number")
            self._say(")")
            return chars
        kind = self._next("word")
        if kind not in ("string", "int64"):
            raise SyntaxRefused(f"no type: {kind}")
        return kind

    def _use(self) -> Table:
        name = self._next("word")
        if name not in self._engine.spaces:
            raise SemanticsRefused(f"SpaceNotFound: {name}")
        self._name = name
        return [], []

    def _clear(self) -> Table:
        self._say("SPACE", "IF", "EXISTS")
        space = self._engine.spaces.get(self._next("word"))
        if space is not None:
            space.vertices.clear()
            space.ties.clear()
        return [], []

    def _insert(self) -> Table:
        kind, name = self._next("word"), self._next("word")
        known = {"VERTEX": self._space.tags, "EDGE": self._space.edges}[kind]
        if name not in known:
            raise SemanticsRefused(f"No schema found for `{name}'")
        self._say("(")
        fields = self._listed(lambda: self._next("word"))
        self._say(")", "VALUES")
        for ends, values in self._listed(lambda: self._insertion(kind, name)):
            self._say_types(known[name], fields, values)
            if kind == "VERTEX":
                self._space.vertices.setdefault(ends, {})[name] = dict(zip(fields, values, strict=True))
            else:
                self._space.ties[ends] = dict(zip(fields, values, strict=True))
        return [], []

    def _insertion(self, kind: str, name: str) -> tuple[Any, list[Any]]:
        ends = self._vid() if kind == "VERTEX" else self._tie(name)
        self._say(":", "(")
        values = self._listed(self._value)
        self._say(")")
        return ends, values

    def _tie(self, name: str) -> tuple[str, str, int, str]:
        source = self._vid()
        self._say("->")
        target = self._vid()
        self._say("@")
        return source, name, int(self._next("number")), target

    def _say_types(self, types: dict[str, str], fields: list[str], values: list[Any]) -> None:
        if set(fields) != set(types) or len(values) != len(fields):
            raise SemanticsRefused("Column count doesn't match value count.")
        for each, value in zip(fields, values, strict=True):
            if isinstance(value, int) != (types[each] == "int64"):
                raise SemanticsRefused(f"The data type does not meet the requirements: {each}")
            if types[each].isdecimal() and len(value.encode()) > int(types[each]):
                raise SemanticsRefused(f"too long for its fixed string: {each}")

    def _fetch(self) -> Table:
        self._say("PROP", "ON")
        tag = self._next("word")
        vids = self._listed(self._vid)
        held = [self._space.vertices.get(vid, {}) for vid in vids]
        if tag not in self._space.tags:
            raise SemanticsRefused(f"`{tag}' not found")
        return self._yielded([{"vertex": tags[tag]} for tags in held if tag in tags])

    def _update(self) -> Table:
        self._say("VERTEX", "ON")
        tag, vid = self._next("word"), self._vid()
        held = self._space.vertices.get(vid, {}).get(tag)
        if held is None:
            raise SemanticsRefused("Storage Error: Vertex or edge not found.")
        self._say("SET")
        changed, _, value = self._next("word"), self._say("="), self._value()
        self._say("WHEN")
        condition, _, wanted = self._next("word"), self._say("=="), self._value()
        if held[condition] == wanted:
            held[changed] = value
        return self._yielded([{"": held}])

    def _delete(self) -> Table:
        kind = self._next("word")
        if kind == "VERTEX":
            vids = set(self._listed(self._vid))
            self._say("WITH", "EDGE")
            for vid in vids:
                self._space.vertices.pop(vid, None)
            for ends in [ends for ends in self._space.ties if {ends[0], ends[3]} & vids]:
                del self._space.ties[ends]
        else:
            self._say_kind(kind, "EDGE")
            name = self._next("word")
            for ends in self._listed(lambda: self._tie(name)):
                self._space.ties.pop(ends, None)
        return [], []

    def _say_kind(self, kind: str, wanted: str) -> None:
        if kind != wanted:
            raise SyntaxRefused(f"syntax error near `{kind}'")

    def _go(self) -> Table:
        self._say("FROM")
        vids = self._listed(self._vid)
        self._say("OVER")
        name = self._next("word")
        self._say("BIDIRECT")
        found = []
        for vid in vids:  # an edge of a node to itself is walked both ways
            found += [ends for ends in self._space.ties if ends[0] == vid and ends[1] == name]
            found += [ends for ends in self._space.ties if ends[3] == vid and ends[1] == name]
        return self._yielded(self._matching([(ends, self._space.ties[ends]) for ends in found], name)[0])

    def _lookup(self) -> Table:
        self._say("ON")
        name = self._next("word")
        rows: list[tuple[Any, dict[str, Any]]]
        if name in self._space.tags:
            rows = [((vid,), tags[name]) for vid, tags in self._space.vertices.items() if name in tags]
        else:
            rows = [(ends, values) for ends, values in self._space.ties.items() if ends[1] == name]
        matching, asked = self._matching(rows, name)
        covered = [fields for on, fields in self._space.indexes.values() if on == name and fields[0] in asked]
        if not covered:
            raise SemanticsRefused("There is no index to use at runtime")
        return self._yielded(matching)

    def _matching(self, rows: list[tuple[Any, dict[str, Any]]], name: str) -> tuple[list[dict[str, Any]], set[str]]:
        """The rows that pass the WHERE, and which fields are compared for equality there."""
        tests, equal = [], set()
        while self._if("AND") if tests else self._if("WHERE"):
            self._say(name, ".")
            asked = self._next("word")
            types = {**self._space.tags, **self._space.edges}[name]
            if asked not in types:
                raise SemanticsRefused(f"`{name}.{asked}' not found")
            if self._if("IN", "["):
                listed = self._listed(self._value)
                self._say("]")
                tests.append((asked, "in", listed))
                continue
            operator, value = self._next("mark"), self._value()
            if isinstance(value, int) != (types[asked] == "int64"):
                raise SemanticsRefused(f"`{name}.{asked}' is compared with another type")
            equal |= {asked} if operator == "==" else set()
            tests.append((asked, operator, value))
        passed = [(ends, held) for ends, held in rows if all(_holds(held[each], op, v) for each, op, v in tests)]
        return [{"ends": ends, "edge": held, "vertex": held} for ends, held in passed], equal

    # what is answered

    def _yielded(self, rows: list[dict[str, Any]]) -> Table:
        self._say("YIELD")
        distinct = self._if("DISTINCT")
        columns = self._listed(self._column)
        table = [[read(row) for _, read in columns] for row in rows]
        if distinct:
            table = [list(row) for row in dict.fromkeys(map(tuple, table))]
        return [name for name, _ in columns], table

    def _column(self) -> tuple[str, Callable[[dict[str, Any]], Any]]:
        what, of, read = self._next("word"), "", None
        if self._if("("):
            of = self._next("word")
            self._say(")")
        if what == "properties":
            self._say(".")
            name = self._next("word")
            read = lambda row: row[of][name]  # noqa: E731
        elif of:
            place = {("src", "edge"): 0, ("dst", "edge"): 3, ("id", "vertex"): 0}[what, of]
            read = lambda row: row["ends"][place]  # noqa: E731
        else:
            read = lambda row: row[""][what]  # noqa: E731
        self._say("AS")
        return self._next("word"), read

    def _piped(self, table: Table) -> Table:
        names, rows = table
        while self._if("|"):
            if self._if("LIMIT"):
                rows = rows[: int(self._next("number"))]
                continue
            self._say("ORDER", "BY")
            for name, descending in reversed(self._listed(self._order)):
                rows = sorted(rows, key=itemgetter(names.index(name)), reverse=descending)
        return names, rows

    def _order(self) -> tuple[str, bool]:
        self._say("$-", ".")
        name = self._next("word")
        return name, not self._if("ASC") and self._if("DESC")


def _holds(held: Any, operator: str, value: Any) -> bool:
    return bool(
        {
            "==": lambda: held == value,
            "<=": lambda: held <= value,
            ">=": lambda: held >= value,
            "<": lambda: held < value,
            ">": lambda: held > value,
            "in": lambda: held in value,
        }[operator]()
    )
