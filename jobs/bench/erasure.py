"""Kill a host while it writes and while it erases: `python -m jobs.bench.erasure --rounds 100 --json FILE`.

Each round a process adds memories to a host on files, one of them with a secret, and another one derived from it, then
erases the secret; it is killed with SIGKILL just before one of the things that it does to storage, another one each
round. A second process opens what is left, is killed likewise in every other round, and a last one finishes. Then
the whole state folder is searched for the secret, its vector and the vector of what was derived from it, decoded in
every way (`jobs/bench/state_search.py`), every mode of search is asked for it, and every chain is verified. A round
whose erasure did not begin before the kill must have left the memory as it was. Needs no running system.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from actors.errors import MemoryErased
from actors.host import CubeHost, HostSpec
from actors.memory.analysis import terms_of
from actors.memory.erasure import EraseMemories
from actors.memory.item import Reference
from actors.memory.requests import AddMemories, ChangeMemory, Moment, NewMemory
from actors.memory.search_requests import Channel, SearchCube
from actors.shard import ShardLimits
from jobs.bench.contract import Arguments, Benchmark, Count, Progress
from jobs.bench.kill_switch import KillSwitch, in_child
from jobs.bench.open_cubes import CALLER, EveryCube, RandomEmbedder
from jobs.bench.report import Json
from jobs.bench.state_search import find

WORD = "zyzzyvaplover"
SECRET = f"the {WORD} code is qx77mumble"
DERIVED = f"a summary that tells of {WORD} in other words"
CHANGED = f"the {WORD} code was changed to qx78mumble"
FRIENDS = 8
"""Memories before the secret, and as many behind it."""

LIMITS = ShardLimits(snapshot_events=7)
"""Often enough that old generations of snapshots lie about."""

READY_WITHIN_S = 60.0


class ErasureArguments(Arguments):
    rounds: Count = Field(100, description="how often a process is killed and the rest looked at")
    first: Count = Field(1, description="the step of storage that the first round is killed at")
    step: Count = Field(1, description="how many steps later each next round is killed")


@dataclass(frozen=True, slots=True)
class Planted:
    memory_id: str
    derived_id: str


def opened(state: Path) -> CubeHost:
    spec = HostSpec("host-0", str(state / "shards"), str(state / "indexes"), (0,), 1, b"k" * 32, limits=LIMITS)
    return CubeHost.open(spec, RandomEmbedder(), EveryCube())


def plant(host: CubeHost) -> Planted:
    """Memories around the secret, which has two versions, and one that is derived from it in another cube. Some are
    added together, so that they share segments and blocks.
    """
    friends = [NewMemory(f"note {n} about the garden") for n in range(FRIENDS)]
    together = host.add(CALLER, "home", AddMemories((*friends, NewMemory(SECRET), NewMemory("a note behind it"))))
    memory_id = together.memories[FRIENDS].id
    host.change_memory(CALLER, "home", ChangeMemory(memory_id, {"text": CHANGED}, reason=f"{WORD} changed"))
    parent = Reference("home", memory_id, 1)
    derived = host.add(CALLER, "other", AddMemories((NewMemory(DERIVED, derived_from=(parent,)),)))
    add(host, [f"note {n} about the lake" for n in range(FRIENDS - 1)])
    return Planted(memory_id, derived.memories[0].id)


def add(host: CubeHost, texts: list[str]) -> list[str]:
    done = [host.add(CALLER, "home", AddMemories((NewMemory(text),))) for text in texts]
    return [memory.id for added in done for memory in added.memories]


def erase(host: CubeHost, planted: Planted) -> None:
    """As the gateway does: first what was derived, in the other cube, then the memory itself."""
    root = ("home", planted.memory_id)
    found = host.derived([root])
    for cube_id, memory_id in found:
        host.erase_derived(CALLER, cube_id, EraseMemories((memory_id,), "asked for", origins=(root,)))
    host.erase(CALLER, "home", EraseMemories((planted.memory_id,), "asked for", elsewhere=tuple(found)))


# killing


def _note(path: Path, planted: Planted) -> None:
    path.write_text(f"{planted.memory_id} {planted.derived_id}")


def write_and_erase(state: Path, note: Path, kill_at: int) -> None:
    switch = KillSwitch(kill_at)
    switch.install()
    host = opened(state)
    planted = plant(host)
    _note(note, planted)
    switch.armed = True
    add(host, ["one more note"])
    erase(host, planted)
    host.close()


def open_again(state: Path, kill_at: int) -> None:
    switch = KillSwitch(kill_at)
    switch.install()
    switch.armed = True
    host = opened(state)
    _await_ready(host)
    host.close()


def _await_ready(host: CubeHost) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while host.ready():
        if time.monotonic() > until:
            raise SystemExit(f"not ready: {host.ready()}")
        time.sleep(0.02)


# judging


def finish_and_judge(state: Path, planted: Planted, report: Path) -> None:
    """Open what is left; an erasure that had begun must be finished. Writes what is wrong, and whether it had begun."""
    host = opened(state)
    _await_ready(host)
    try:
        host.read_memory(CALLER, "home", planted.memory_id, None)
        begun = False
        erase(host, planted)
    except MemoryErased:
        begun = True
    problems = searched(host, planted)
    _settle(host)
    problems += [f"before the end: {where}" for where in traces(state)]
    host.close()
    problems += traces(state)
    report.write_text("\n".join(["begun" if begun else "not begun", *problems]))


def _settle(host: CubeHost) -> None:
    """Until every index has followed: what a killed one had missed is replayed behind the answers."""
    until = time.monotonic() + READY_WITHIN_S
    while any(lag for shard in host.status()["shards"].values() for lag in shard["lag"].values()):
        if time.monotonic() > until:
            raise SystemExit("the indexes do not follow")
        time.sleep(0.02)


def traces(state: Path) -> list[str]:
    """Where the secret, or a vector made of it, still is."""
    embedder = RandomEmbedder()
    needles = {"the word": WORD.encode(), "its code": b"qx77mumble", "its new code": b"qx78mumble"}
    for name, text in (("secret", SECRET), ("changed", CHANGED), ("derived", DERIVED)):
        [vector] = embedder.embed([text])
        needles[f"vector of {name}, 32 bits"] = vector.tobytes()
        needles[f"vector of {name}, 16 bits"] = vector.astype(np.float16).tobytes()
    words = frozenset(terms_of(f"{WORD} qx77mumble qx78mumble"))  # as the index has them, stemmed
    needles |= {f"the term {word}": word.encode() for word in words}
    return find(state, needles, words)


def searched(host: CubeHost, planted: Planted) -> list[str]:
    """What is wrong in the answers of the host."""
    problems = []
    embedder = RandomEmbedder()
    for cube_id, gone in (("home", planted.memory_id), ("other", planted.derived_id)):
        view = host.read_cube(CALLER, cube_id)
        for channels in (frozenset(Channel), {Channel.DENSE}, {Channel.LEXICAL}):
            for version in (None, *range(1, view.version + 1)):
                moment = None if version is None else Moment(version=version)
                for text in (SECRET, DERIVED):
                    vector = embedder.embed([text])[0]
                    request = SearchCube(
                        text, vector, embedder.model_id, 50, as_of=moment, channels=frozenset(channels)
                    )
                    hits = host.search(CALLER, cube_id, request).hits
                    if any(hit.memory.id == gone or WORD in hit.memory.text for hit in hits):
                        problems.append(f"a search of {cube_id} finds it, as of {version}, in {sorted(channels)}")
        try:
            host.history(CALLER, cube_id, gone)
            problems.append(f"the history of {gone} is answered")
        except MemoryErased:
            pass
        problems += host.verify(CALLER, cube_id).problems
    left = sum(host.read_cube(CALLER, "home").counts.get("plaintext", {}).values())
    if left not in (2 * FRIENDS, 2 * FRIENDS + 1):
        problems.append(f"{left} memories are left, of {2 * FRIENDS}")
    return problems


def one_round(state: Path, kill_at: int) -> tuple[str, list[str]]:
    """How a round went, in a word, and what was wrong."""
    note, report = state.parent / f"{state.name}.note", state.parent / f"{state.name}.report"
    code = in_child(lambda: write_and_erase(state, note, kill_at))
    if code not in (0, -signal.SIGKILL):
        return "failed", [f"the first process ended with {code}"]
    memory_id, derived_id = note.read_text().split()
    planted = Planted(memory_id, derived_id)
    if kill_at % 2:
        again = in_child(lambda: open_again(state, kill_at))
        if again not in (0, -signal.SIGKILL):
            return "failed", [f"the second process ended with {again}"]
    if in_child(lambda: finish_and_judge(state, planted, report)) != 0:
        return "failed", ["the last process could not finish"]
    begun, *problems = report.read_text().splitlines()
    return "not killed" if code == 0 else begun, problems


def measure(args: ErasureArguments, progress: Progress) -> Json:
    outcomes: Counter[str] = Counter()
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="erasure-") as folder:
        for number in range(args.rounds):
            kill_at = args.first + number * args.step
            state = Path(folder) / f"round-{number}"
            state.mkdir()
            outcome, wrong = one_round(state, kill_at)
            outcomes[outcome] += 1
            problems += [f"killed at step {kill_at}: {problem}" for problem in wrong]
            shutil.rmtree(state)
            progress((number + 1) / args.rounds)
    return {"rounds": args.rounds, "outcomes": dict(outcomes), "problems": problems, "passed": not problems}


BENCHMARK = Benchmark("erasure", __doc__, ErasureArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
