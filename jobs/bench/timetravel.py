"""The time machine through HTTP: does a search of an earlier version answer what it answered then, bit for bit, and
how soon do a rollback and a fork of a large cube serve, from the request to the first search that answers rightly?

    python -m jobs.bench.timetravel --url URL --key KEY --path FILE --memories 100000 --json FILE

A conversation of a file in LoCoMo's format is added turn by turn, while memories are changed, archived and revived and
the cube is rolled back. At so many versions a question is searched and the whole answer kept; in the end each is asked
again `as_of` its version, of the cube and of a fork of it. Without a file, made-up turns take the conversation's place.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import Field

from actors.errors import InvalidRequest, Unavailable
from jobs.bench.contract import Benchmark, Count, Progress, ServerArguments
from jobs.bench.locomo import read_conversations
from jobs.bench.report import Json
from jobs.bench.served import SETTLE_S, Served, served
from jobs.bench.turns import turns

Answers = list[tuple[str, float]]

GIVEN_UP_S = 60.0
"""A search that is still not right after this is reported as wrong."""

LIMIT_S = 2.0
"""How soon a rollback or fork must be searched in full, from the request on."""

QUESTIONS = ("What happened at the harbour?", "Who went there on Friday?", "What did they say about the garden?")


class TimetravelArguments(ServerArguments):
    path: str = Field("", description="a file in LoCoMo's format; made-up turns without it")
    turns: Count = Field(400, description="of the conversation that are added")
    versions: Count = Field(100, description="random versions whose answers are recorded")
    memories: Annotated[int, Field(ge=0, description="of the large cube; 0 for none")] = 100_000
    seed: int = 0


@dataclass(slots=True)
class Recorded:
    """What a search answered when the cube was at a version."""

    version: int
    question: str
    results: Json


@dataclass(slots=True)
class Traveller:
    """Changes a cube at random, and records answers. `api` reaches the system."""

    api: httpx.Client
    cube: str
    random: random.Random
    ids: list[str] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    rollbacks: int = 0

    def version(self) -> int:
        return int(self._call("GET", f"/v1/cubes/{self.cube}")["version"])

    def add(self, messages: Sequence[Json]) -> None:
        added = self._call("POST", f"/v1/cubes/{self.cube}/memories", {"messages": list(messages)})
        self.ids += [memory["id"] for memory in added["memories"]]

    def meddle(self) -> None:
        """Change, archive or revive a memory, or roll the cube back a little."""
        path = f"/v1/cubes/{self.cube}/memories/{self.random.choice(self.ids)}"
        state = self._call("GET", path)["state"]
        kind = self.random.choice(("change", "move", "move", "rollback"))
        if kind == "rollback":
            to = max(1, self.version() - self.random.randint(1, 12))
            self._call("POST", f"/v1/cubes/{self.cube}/rollback", {"to": to})
            self.rollbacks += 1
        elif kind == "move":
            to_state = "archived" if state == "activated" else "activated"
            self._call("POST", f"{path}/transition", {"to": to_state})
        else:
            self._call("PATCH", path, {"text": f"That was {self.random.choice(QUESTIONS)} {self.random.random()}"})

    def record(self, question: str) -> None:
        self.recorded.append(Recorded(self.version(), question, self.search(self.cube, question)))

    def search(self, cube: str, question: str, as_of: int | None = None) -> Json:
        """The results of a search that missed nothing."""
        body: Json = {"query": question, "cubes": [cube], "top_k": 20, "explain": True}
        answer = self._call("POST", "/v1/search", body if as_of is None else {**body, "as_of": as_of})
        if answer["degraded"]:
            raise InvalidRequest(f"a search of {cube} is degraded: {answer['degraded']}")
        return {"results": [{**result, "cube": ""} for result in answer["results"]]}

    def differing(self, cube: str, until: int) -> list[int]:
        """The recorded versions, up to `until`, at which the cube answers otherwise now."""
        return [
            then.version
            for then in self.recorded
            if then.version <= until and self.search(cube, then.question, then.version) != then.results
        ]

    def _call(self, method: str, path: str, body: Json | None = None) -> Any:
        return self.api.request(method, path, json=body).raise_for_status().json()


def measure(args: TimetravelArguments, progress: Progress) -> Json:
    with served(args.url, args.key) as system:
        made: Json = {"as_of": _travelled(system, args, lambda part: progress(0.4 * part))}
        passed = not made["as_of"]["differing"] and not made["as_of"]["differing_in_fork"]
        if args.memories:
            made["large"] = _large(system, args.memories, turns(args.seed))
            progress(1.0)
            steps = made["large"]["steps"].values()
            passed = passed and all(step["right"] and step["serves_s"] < LIMIT_S for step in steps)
            passed = passed and not made["large"]["embedded"]
        return {**made, "passed": passed}


def _travelled(system: Served, args: TimetravelArguments, progress: Progress) -> Json:
    messages, questions = _conversation(args)
    rng = random.Random(args.seed)
    with system.cubes("timetravel", 1) as (cube,):
        traveller = Traveller(system.control, cube, rng)
        steps = [messages[start : start + 2] for start in range(0, len(messages), 2)]
        chosen = sorted(rng.choices(range(len(steps)), k=args.versions))
        for number, step in enumerate(steps):
            traveller.add(step)
            if rng.random() < 0.5:
                traveller.meddle()
            for _ in range(chosen.count(number)):
                if rng.random() < 0.5:
                    traveller.meddle()
                traveller.record(rng.choice(questions))
            progress((number + 1) / len(steps))
        last = traveller.version()
        fork = _fork(system.control, cube, last)
        try:
            return {
                "turns": len(messages),
                "versions": last,
                "recorded": len(traveller.recorded),
                "rollbacks": traveller.rollbacks,
                "differing": traveller.differing(cube, last),
                "differing_in_fork": traveller.differing(fork, last),
            }
        finally:
            _archive(system.control, fork)


def _conversation(args: TimetravelArguments) -> tuple[list[Json], list[str]]:
    if not args.path:
        said = islice(turns(args.seed), args.turns)
        return [{"role": "user", "content": text} for text in said], list(QUESTIONS)
    conversation = read_conversations(Path(args.path))[0]
    return list(conversation.messages[: args.turns]), [question.text for question in conversation.questions]


def _large(system: Served, memories: int, texts: Iterator[str]) -> Json:
    """Rollbacks and forks of a large cube. `embedded`: texts that all of them took to the model."""
    api = system.control
    with system.cubes("large", 1) as (cube,):
        filled_s = system.fill([cube], memories, texts)
        before = _version(api, cube)
        _found(api, cube)
        system.fill([cube], max(1, memories // 100), texts)
        later = _version(api, cube)
        _at_rest(system, cube)
        embedded, load = system.status()["embedder"]["embedded"], os.getloadavg()[0]
        steps: dict[str, Json] = {}
        for name, to in (("a_hundredth", before), ("back", later), ("half", before // 2), ("half_back", later)):
            expected = _found(api, cube, to)
            steps[f"rollback_{name}"] = _timed(api, cube, partial(_rollback, api, cube, to), expected)
            _at_rest(system, cube)
        for name, version in (("fork", _version(api, cube)), ("fork_of_the_past", before // 2)):
            fork, expected = f"bench-{name}-{uuid.uuid4().hex[:8]}", _found(api, cube, version)
            act = partial(_fork, api, cube, version, fork)
            steps[name] = _timed(api, fork, act, expected)
            _at_rest(system, fork)
            _archive(api, fork)
        return {
            "memories": memories + memories // 100,
            "fill_s": round(filled_s, 1),
            "load_average_before": round(load, 1),
            "steps": steps,
            "embedded": system.status()["embedder"]["embedded"] - embedded,
        }


def _at_rest(system: Served, cube: str) -> None:
    """Return once the indexes have followed: what one step left to them is no part of the next."""
    deadline = time.monotonic() + SETTLE_S
    while any(
        index["lag"]
        for host in system.status()["hosts"]
        for shard in host["shards"]
        for index in shard["indexes"].values()
    ):
        if time.monotonic() > deadline:
            raise Unavailable(f"the indexes of {cube} do not catch up")
        time.sleep(0.5)


def _timed(api: httpx.Client, cube: str, act: Callable[[], object], expected: Answers | None) -> Json:
    """Seconds until the call answers, and until a search answers in full what is expected; how much it changed."""
    began = time.perf_counter()
    done = act()
    answered_s = time.perf_counter() - began
    while (found := _found(api, cube)) != expected and time.perf_counter() - began < GIVEN_UP_S:
        time.sleep(0.01)
    serves_s = time.perf_counter() - began
    made: Json = {"answers_s": round(answered_s, 3), "serves_s": round(serves_s, 3), "right": found == expected}
    return {**made, "changed": done} if isinstance(done, int) else made


def _found(api: httpx.Client, cube: str, as_of: int | None = None) -> Answers | None:
    """(text, score) of the best memories; None when something was missed."""
    body: Json = {"query": QUESTIONS[0], "cubes": [cube], "top_k": 10}
    answer = api.post("/v1/search", json=body if as_of is None else {**body, "as_of": as_of}).raise_for_status().json()
    return None if answer["degraded"] else [(hit["text"], hit["score"]) for hit in answer["results"]]


def _version(api: httpx.Client, cube: str) -> int:
    return int(api.get(f"/v1/cubes/{cube}").raise_for_status().json()["version"])


def _rollback(api: httpx.Client, cube: str, to: int) -> int:
    done = api.post(f"/v1/cubes/{cube}/rollback", json={"to": to}).raise_for_status().json()
    return int(done["changed"])


def _fork(api: httpx.Client, cube: str, version: int, fork: str = "") -> str:
    body = {"as_of": version, **({"id": fork} if fork else {})}
    made = api.post(f"/v1/cubes/{cube}/fork", json=body).raise_for_status().json()
    return str(made["id"])


def _archive(api: httpx.Client, cube: str) -> None:
    api.delete(f"/v1/cubes/{cube}", params={"reason": "benchmark over"}).raise_for_status()


BENCHMARK = Benchmark("timetravel", __doc__, TimetravelArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
