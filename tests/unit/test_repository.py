"""House rules that a machine can check: layout, sizes, broad excepts, loose ends, names, declared packages."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

from tests.source_tree import PACKAGES, ROOT, Source, sources

TOP_LEVEL = {
    *("actors", "cluster", "serve", "jobs", "configs", "tests", "docs", ".ci"),
    *("pyproject.toml", "README.md", "Makefile", "LICENSE", "CONTRIBUTING.md", ".gitignore"),
}

MAX_LINES = 300
MAX_TEST_LINES = 400
LONGER: dict[str, str] = {}
"""Files that may be longer, and why."""

MAX_FUNCTION_LINES = 40
LONGER_FUNCTIONS: dict[str, str] = {}
"""`path:function` that may be longer, and why."""

BROAD_EXCEPTS: dict[str, str] = {
    "actors/models/document_child.py": "the loop of a process: parsers of damaged documents raise anything",
    "actors/answers.py": "a call for several requests: each is told its own",
    "actors/audit.py": "the loop of an audit's thread: rows wait, and how many is bounded",
    "actors/audit_upkeep.py": "the loop of a thread that joins files: the table keeps its small ones",
    "actors/host_reading.py": "as in host.py",
    "actors/host.py": "a call for several requests: each is told its own",
    "actors/stores/vectors/graph_building.py": "the loop of a thread that builds graphs: exact search serves meanwhile",
    "cluster/coalescing.py": "the loop of a cube's calls: those behind a failed one must be sent all the same",
    "actors/consolidator.py": "the loop of a background thread: what it leaves undone, the job does",
    "actors/importing.py": "the loop of the thread that works an archive off: who waits for it is told",
    "actors/lane_follower.py": "the loop of an index's thread: an index that is down delays freshness, never a write",
    "actors/index_replay.py": "the loop of a replay's thread: the journal still holds everything",
    "actors/models/shared_batches.py": "a batch for several callers: each is told what concerns it",
    "actors/writer.py": "the loop of a shard's committer: the waiting callers are told",
    "cluster/placement.py": "the outer loop of the process that starts an instance: what was raised is told",
    "jobs/bench/kill_switch.py": "the outer loop of a child that is to be killed: its parent is told by the exit code",
    "jobs/run.py": "a job's outer loop: whatever it raised is its result",
    "actors/erasing.py": "the loop that finishes interrupted erasures: each is tried again",
    "actors/snapshotting.py": "the outer loop of a snapshot's thread: the journal still holds everything",
    "serve/middleware.py": "the outermost layer of HTTP: whatever escapes becomes a problem document without a trace",
}
"""Files with an outer loop that must go on whatever happens inside, each logged; and why."""


def broad_excepts(source: Source) -> Iterator[int]:
    """Lines that catch everything and do not end by raising it on."""
    for node in ast.walk(source.tree):
        raised_on = isinstance(node, ast.ExceptHandler) and isinstance(node.body[-1], ast.Raise)
        if isinstance(node, ast.ExceptHandler) and not raised_on:
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(k is None or (isinstance(k, ast.Name) and k.id in ("Exception", "BaseException")) for k in kinds):
                yield node.lineno


def loose_ends(source: Source) -> Iterator[int]:
    """Lines with a promise to do something later, or with nothing where something should be."""
    for number, line in enumerate(source.text.splitlines(), start=1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b|\bNotImplementedError\b", line):
            yield number


def run_time_asserts(source: Source) -> Iterator[int]:
    return (node.lineno for node in ast.walk(source.tree) if isinstance(node, ast.Assert))


def vague_names(source: Source) -> Iterator[int]:
    if re.search(r"(^|/)(utils?|helpers?|common|misc)(\.py|/)", source.path):
        yield 0
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and re.search(r"^Base\w*Manager$|Factory$|^MemoryError$", node.name):
            yield node.lineno


def long_functions(source: Source) -> Iterator[str]:
    """`path:name` of functions over the limit; the docstring does not count."""
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            has_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            doc_lines = (first.end_lineno or 0) - first.lineno + 1 if has_doc else 0
            if (node.end_lineno or 0) - node.lineno + 1 - doc_lines > MAX_FUNCTION_LINES:
                yield f"{source.path}:{node.name}"


def test_top_level_is_the_agreed_layout() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git work tree")
    assert {path.split("/")[0] for path in listed.stdout.splitlines()} <= TOP_LEVEL


def test_files_are_short_or_have_a_reason() -> None:
    tests = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    long = {source.path for source in sources().values() if len(source.text.splitlines()) > MAX_LINES}
    long |= {path for path, text in tests.items() if len(text.splitlines()) > MAX_TEST_LINES}
    assert long == set(LONGER)


def test_functions_are_short_or_have_a_reason() -> None:
    assert {name for source in sources().values() for name in long_functions(source)} == set(LONGER_FUNCTIONS)


def test_a_broad_except_is_only_where_its_reason_is_listed() -> None:
    assert {source.path for source in sources().values() if any(broad_excepts(source))} == set(BROAD_EXCEPTS)


@pytest.mark.parametrize("rule", [loose_ends, run_time_asserts, vague_names], ids=lambda rule: rule.__name__)
def test_the_source_has_no(rule) -> None:
    assert [f"{source.path}:{line}" for source in sources().values() for line in rule(source)] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (broad_excepts, "try:\n    x()\nexcept Exception:\n    pass"),
        (broad_excepts, "try:\n    x()\nexcept (OSError, BaseException):\n    pass"),
        (loose_ends, "x = 1  # TODO: more"),
        (loose_ends, "raise NotImplementedError"),
        (run_time_asserts, "assert x"),
        (vague_names, "class EngineFactory: ..."),
        (long_functions, "def f():\n" + "    x = 1\n" * 41),
    ],
)
def test_a_planted_breach_is_found(rule, text: str) -> None:
    assert list(rule(Source("serve/x.py", text)))


def test_every_imported_package_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(requirement for name in ("milvus", "neo4j", "nebula", "bench") for requirement in extras[name]),
    ]
    declared = {_normal(re.split(r"[\[<>=!~;\s]", requirement)[0]) for requirement in wanted}
    providers = importlib.metadata.packages_distributions()
    undeclared = {
        f"{source.path} imports {top}"
        for source in sources().values()
        for top in {name.split(".")[0] for name, _ in source.imports()}
        if top not in sys.stdlib_module_names
        and top not in PACKAGES
        and not declared & {_normal(distribution) for distribution in providers.get(top, [])}
    }
    assert undeclared == set()


def test_the_constraints_hold_one_exact_version_of_every_declared_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lines = (ROOT / "configs/constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    names = {_normal(re.split(r"[\[<>=!~;\s]", requirement)[0]) for requirement in wanted}
    assert names <= {_normal(name) for name in pins}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
