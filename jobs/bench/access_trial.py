"""Principals, cubes and random grants; requests of every kind; and what may be in their answers and audits.

Pure: whoever runs it sends the requests, by whatever way, and hands the answers back.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ROLES = ("reader", "writer", "curator", "owner")
GHOSTS = 20
"""Cubes that requests name and that do not exist: what is hidden must look like them."""

NEEDS = {
    "read": 1,
    "memories": 1,
    "memory": 1,
    "history": 1,
    "verify": 1,
    "search": 1,
    "search many": 1,
    "chat": 1,
    "add": 2,
    "change": 2,
    "transition": 2,
    "configure": 4,
    "grant": 4,
    "ungrant": 4,
    "audit": 4,
    "archive": 4,
    "job": 4,
}
"""Kinds of requests on cubes, and the smallest role for each, as a number from 1."""

_NAMED = re.compile(r"trial-[0-9a-f]+-[cg]\d+")
_MEMORY = re.compile(r"mem_[0-9a-f]{32}")
_SECRET = re.compile(r"secretof(c\d+)x")


@dataclass(frozen=True, slots=True)
class Deed:
    """One request of a principal. `cubes` are those that it names; `request` is the id it is sent with."""

    request: str
    principal: str
    kind: str
    method: str
    path: str
    body: Any
    cubes: tuple[str, ...]


@dataclass(slots=True)
class World:
    """Who has which role where (numbers from 1), and which memories there are."""

    label: str
    principals: tuple[str, ...]
    cubes: tuple[str, ...]
    ghosts: tuple[str, ...]
    roles: dict[str, dict[str, int]]
    memories: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, label: str, seed: int, principals: int, cubes: int, density: float = 0.15) -> World:
        """Every cube has an owner; every other principal has a role on it with this probability."""
        chance = random.Random(seed)
        names = tuple(f"trial-{label}-p{n}" for n in range(principals))
        made = tuple(f"trial-{label}-c{n}" for n in range(cubes))
        roles: dict[str, dict[str, int]] = {}
        for cube in made:
            owner = chance.choice(names)
            others = (name for name in names if name != owner and chance.random() < density)
            roles[cube] = {owner: 5, **{name: chance.randint(1, 4) for name in others}}
        return cls(label, names, made, tuple(f"trial-{label}-g{n}" for n in range(GHOSTS)), roles)

    def owner(self, cube: str) -> str:
        return next(name for name, role in self.roles[cube].items() if role == 5)

    def role(self, principal: str, cube: str) -> int:
        return self.roles.get(cube, {}).get(principal, 0)

    def visible(self, principal: str) -> set[str]:
        return {cube for cube in self.cubes if self.role(principal, cube)}

    def secret(self, cube: str) -> str:
        """A word that only this cube's memories hold."""
        return f"secretof{cube.rpartition('-')[2]}x"


def deeds(world: World, seed: int, count: int, chats: int) -> Iterator[Deed]:
    """Requests of every kind, a third on cubes with a role, a third on hidden ones, a third on ones that are none."""
    chance = random.Random(seed)
    kinds = [kind for kind in NEEDS if kind != "chat"]
    for number in range(count):
        principal = chance.choice(world.principals)
        request = f"trial-{world.label}-{number}"
        if number % 20 == 0:
            yield Deed(request, principal, "list", "GET", "/v1/cubes?limit=200", None, ())
            continue
        kind = "chat" if number % max(count // max(chats, 1), 1) == 1 and chats else chance.choice(kinds)
        yield _deed(world, chance, request, principal, kind)


def _deed(world: World, chance: random.Random, request: str, principal: str, kind: str) -> Deed:
    visible = sorted(world.visible(principal))
    hidden = sorted(set(world.cubes) - set(visible))
    cube = chance.choice(chance.choice([group for group in (visible, hidden, world.ghosts) if group]))
    if kind == "archive" and world.role(principal, cube) >= NEEDS[kind]:
        kind = "read"  # what is archived could not be asked for any more
    if kind == "job" and world.role(principal, cube) >= NEEDS[kind]:
        kind = "memories"  # its process would take longer than everything else
    home, memory = f"/v1/cubes/{cube}", _memory(world, chance, cube)
    holders = world.roles.get(cube, {})
    granted = sorted((who, role) for who, role in holders.items() if role < 5)
    who, role = chance.choice(granted) if granted else (f"trial-{world.label}-nobody", 1)
    without = [name for name in world.principals if name not in holders]
    asked = {"query": world.secret(cube), "cubes": [cube], "top_k": 5}
    several = list(dict.fromkeys([*chance.sample(visible, min(len(visible), chance.randint(0, 3))), cube]))
    made: dict[str, tuple[str, str, Any]] = {
        "read": ("GET", home, None),
        "memories": ("GET", f"{home}/memories?limit=3", None),
        "memory": ("GET", f"{home}/memories/{memory}", None),
        "history": ("GET", f"{home}/memories/{memory}/history", None),
        "verify": ("GET", f"{home}/verify", None),
        "search": ("POST", "/v1/search", asked),
        "search many": ("POST", "/v1/search", {**asked, "cubes": several}),
        "chat": ("POST", "/v1/chat/completions", _chat(world.secret(cube), cube)),
        "add": ("POST", f"{home}/memories", {"texts": [{"text": _text(world, cube, request)}]}),
        "change": ("PATCH", f"{home}/memories/{memory}", {"tags": [request]}),
        "transition": ("POST", f"{home}/memories/{memory}/transition", {"to": "archived", "reason": "trial"}),
        "configure": ("PATCH", home, {"name": request}),
        "grant": ("PUT", f"{home}/grants/{who}", {"role": ROLES[role - 1]}),
        "ungrant": ("DELETE", f"{home}/grants/{without[0] if without else who}", None),
        "audit": ("GET", f"{home}/audit?limit=2", None),
        "archive": ("DELETE", home, None),
        "job": ("POST", "/v1/jobs", {"name": "bench_search", "cube": cube}),
    }
    method, path, body = made[kind]
    return Deed(request, principal, kind, method, path, body, tuple(several) if kind == "search many" else (cube,))


def _memory(world: World, chance: random.Random, cube: str) -> str:
    known = world.memories.get(cube)
    return chance.choice(known) if known else f"mem_{chance.getrandbits(128):032x}"


def _text(world: World, cube: str, request: str) -> str:
    return f"{world.secret(cube)} is remembered by {request}"


def _chat(query: str, cube: str) -> dict[str, Any]:
    memory = {"cubes": [cube], "top_k": 2, "remember": False}
    return {"model": "default", "messages": [{"role": "user", "content": query}], "memory": memory, "max_tokens": 2}


class Judge:
    """Takes answers in, then audit rows, and says what should not have been."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wrong: list[str] = []
        self.answers: Counter[str] = Counter()
        self._refusals: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"hidden": set(), "missing": set()})
        self._seen: list[tuple[Deed, set[str]]] = []
        self._expected: Counter[tuple[str, str]] = Counter()
        self._cube_of = {memory: cube for cube, ids in world.memories.items() for memory in ids}

    def answered(self, deed: Deed, status: int, body: bytes) -> None:
        text = body.decode()
        self.answers[f"{deed.kind} {status}"] += 1
        self._expect_rows(deed, status, text)
        self._check_status(deed, status, text)
        self._check_leaks(deed, text)
        if deed.kind == "add" and status == 201:
            self._cube_of[json.loads(text)["memories"][0]["id"]] = deed.cubes[0]

    def _check_status(self, deed: Deed, status: int, text: str) -> None:
        roles = [self.world.role(deed.principal, cube) for cube in deed.cubes]
        if deed.kind == "list":
            listed = {cube["id"] for cube in json.loads(text)["items"]} if status == 200 else set()
            if listed != self.world.visible(deed.principal):
                self._note(deed, status, "the list is not of the cubes with a role")
        elif 0 in roles:
            document = json.loads(text)
            if status != 404 or not document["type"].endswith(":cube-not-found"):
                self._note(deed, status, "not answered as a cube that does not exist")
            hidden = any(r == 0 and c in self.world.roles for r, c in zip(roles, deed.cubes, strict=True))
            self._refusals[deed.kind]["hidden" if hidden else "missing"].add(_normal(text))
        elif min(roles) < NEEDS[deed.kind]:
            if status != 403:
                self._note(deed, status, "not refused though the role is too small")
        elif status not in (200, 201) and not self._may_fail(deed, status, text):
            self._note(deed, status, f"refused though the role allows it: {text[:200]}")

    def _may_fail(self, deed: Deed, status: int, text: str) -> bool:
        moved = deed.kind in ("transition", "change") and status == 409
        nobody = deed.kind == "grant" and status == 404 and ":principal-not-found" in text
        owner = deed.kind == "ungrant" and status == 422
        return moved or nobody or owner

    def _check_leaks(self, deed: Deed, text: str) -> None:
        world, may_see = self.world, self.world.visible(deed.principal)
        for cube in set(_NAMED.findall(text)) - may_see - set(deed.cubes):
            self._note(deed, 0, f"names {cube}")
        secrets = {f"trial-{world.label}-{short}" for short in _SECRET.findall(text)}
        for cube in secrets - may_see:
            self._note(deed, 0, f"shows what {cube} holds")
        asked_for = set(_MEMORY.findall(deed.path))
        self._seen.append((deed, set(_MEMORY.findall(text)) - asked_for))

    def _expect_rows(self, deed: Deed, status: int, text: str) -> None:
        """One row for every cube that a request touched; one of the system for a list and for what does not exist."""
        for cube in deed.cubes:
            self._expected[deed.request, cube] += 1
        if deed.kind == "list" and status == 200:
            self._expected[deed.request, ""] += 1
            for cube in json.loads(text)["items"]:
                self._expected[deed.request, cube["id"]] += 1

    def settle(self, rows: Sequence[Mapping[str, Any]], sent: Mapping[str, Deed]) -> None:
        """Judge what needs every answer: the ids shown, refusals alike, and the audit's rows, each given once."""
        for deed, ids in self._seen:
            may_see = self.world.visible(deed.principal)
            for memory in ids:
                if self._cube_of.get(memory) not in may_see:
                    self._note(deed, 0, f"shows {memory} of {self._cube_of.get(memory)}")
        for kind, found in self._refusals.items():
            if found["hidden"] and found["missing"] and found["hidden"] != found["missing"]:
                self.wrong.append(f"{kind}: hidden and missing cubes are told apart: {found}")
        counted = Counter((row["request"], row["cube"] or "") for row in rows if row["request"] in sent)
        for place in sorted(self._expected.keys() | counted.keys()):
            if counted[place] != self._expected[place]:
                kind = sent[place[0]].kind
                self.wrong.append(f"{place} ({kind}): {counted[place]} audit rows in place of {self._expected[place]}")
        for row in rows:
            known = sent.get(row["request"])
            if known is not None and row["principal"] != known.principal:
                self.wrong.append(f"{known.request}: the audit names {row['principal']}")

    @property
    def rows_expected(self) -> int:
        return self._expected.total()

    def _note(self, deed: Deed, status: int, what: str) -> None:
        self.wrong.append(f"{deed.request} {deed.kind} by {deed.principal} on {deed.cubes} ({status}): {what}")


def _normal(text: str) -> str:
    """A problem document with the names taken out that the caller gave itself."""
    document = json.loads(text)
    document.pop("instance")
    return _NAMED.sub("CUBE", json.dumps(document, sort_keys=True))
