"""The architecture: which file may import which, and where Ray, torch, I/O and the environment may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.source_tree import PACKAGES, ROOT, Source, sources

FLOORS = (
    ("actors/errors.py", 0),
    ("actors/memory/*", 1),
    ("actors/stores/*", 2),
    ("actors/models/*", 2),
    ("actors/*_actor.py", 4),
    ("actors/*", 3),
    ("cluster/*", 5),
    ("serve/*", 6),
    ("jobs/*", 6),
)
"""The first pattern that matches says a file's floor."""

RAY = (
    "actors/*_actor.py",
    "cluster/directory.py",
    "cluster/placement.py",
    "cluster/jobs.py",  # the client of Ray's job interface
    "cluster/loopback.py",  # where a Serve replica binds its own server
    "serve/app.py",
    "serve/ingress.py",
    "serve/*_deployment.py",
    "jobs/*",
)
"""Where `ray` may be imported: everything else can be tested, and thought about, without a cluster."""

ENVIRONMENT = {
    "cluster/settings.py": "the only reader of configuration",
}
"""Who may read or write the process's environment, and why."""

DOMAIN_THIRD_PARTIES = {"numpy", "Stemmer"}
"""Pure computation. Whatever else the domain needs of the world is a port."""

IO_MODULES = {
    *("asyncio", "ftplib", "glob", "http", "io", "logging.handlers", "multiprocessing", "os", "pathlib", "pickle"),
    *("select", "shelve", "shutil", "signal", "smtplib", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile"),
    *("time", "urllib", "random", "secrets"),
}
"""Standard modules that touch the world: a clock and randomness are ports too."""

Sources = Mapping[str, Source]


def floor_of(path: str) -> int:
    return next(floor for pattern, floor in FLOORS if fnmatch(path, pattern))


def project_imports(all_sources: Sources, source: Source) -> list[tuple[Source, int]]:
    """The project's modules that a source imports, with the line."""
    by_module = {other.module: other for other in all_sources.values()}
    named = {(by_module[name], line) for name, line in source.imports() if name in by_module}
    return sorted(((other, line) for other, line in named if other is not source), key=lambda pair: pair[1])


def imports_above_the_floor(all_sources: Sources) -> list[str]:
    return [
        f"{source.path}:{line} is on floor {floor_of(source.path)} and imports {other.path} on {floor_of(other.path)}"
        for source in all_sources.values()
        for other, line in project_imports(all_sources, source)
        if floor_of(other.path) > floor_of(source.path)
    ]


def imports_between_serve_and_jobs(all_sources: Sources) -> list[str]:
    apart = {"serve", "jobs"}
    return [
        f"{source.path}:{line} imports {other.path}"
        for source in all_sources.values()
        for other, line in project_imports(all_sources, source)
        if {source.path.split("/")[0], other.path.split("/")[0]} == apart
    ]


def import_circles(all_sources: Sources) -> list[str]:
    graph = {
        source.path: {other.path for other, _ in project_imports(all_sources, source) if other.text.strip()}
        for source in all_sources.values()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(reversed(error.args[1]))]
    return []


def ray_imports_elsewhere(all_sources: Sources) -> list[str]:
    return [
        f"{source.path}:{line} imports {name}"
        for source in all_sources.values()
        if not any(fnmatch(source.path, pattern) for pattern in RAY)
        for name, line in source.imports()
        if name.split(".")[0] == "ray"
    ]


def worldly_domain(all_sources: Sources) -> list[str]:
    """What the domain imports beyond computation, and the files it opens."""
    found = []
    for source in all_sources.values():
        if floor_of(source.path) > 1:
            continue
        for name, line in source.imports():
            top = name.split(".")[0]
            pure = (
                top in DOMAIN_THIRD_PARTIES
                or top in PACKAGES
                or (top in sys.stdlib_module_names and top not in IO_MODULES and name not in IO_MODULES)
            )
            if not pure:
                found.append(f"{source.path}:{line} imports {name}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print"):
                found.append(f"{source.path}:{node.lineno} calls {node.func.id}")
    return found


def environment_uses_elsewhere(all_sources: Sources) -> list[str]:
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    found = []
    for source in all_sources.values():
        if source.path in ENVIRONMENT:
            continue
        for node in ast.walk(source.tree):
            direct = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
            if direct and node.attr in names:  # type: ignore[union-attr]
                found.append(f"{source.path}:{node.lineno} uses os.{node.attr}")  # type: ignore[union-attr]
        found += [
            f"{source.path}:{line} imports {n}" for n, line in source.imports() if n in {f"os.{x}" for x in names}
        ]
    return found


def yaml_readers_elsewhere(all_sources: Sources) -> list[str]:
    return [
        f"{source.path}:{line} imports yaml"
        for source in all_sources.values()
        if source.path != "cluster/settings.py"
        for name, line in source.imports()
        if name == "yaml"
    ]


RULES: tuple[tuple[Callable[[Sources], list[str]], tuple[Source, ...]], ...] = (
    (imports_above_the_floor, (Source("actors/host.py", ""), Source("actors/stores/x.py", "import actors.host"))),
    (imports_above_the_floor, (Source("actors/host.py", ""), Source("actors/errors.py", "from actors import host"))),
    (
        imports_between_serve_and_jobs,
        (Source("serve/x.py", "def late():\n    from jobs import y"), Source("jobs/y.py", "")),
    ),
    (
        import_circles,
        (
            Source("cluster/a.py", "import cluster.b"),
            Source("cluster/b.py", "from cluster import c"),
            Source("cluster/c.py", "def late():\n    from cluster.a import x"),
        ),
    ),
    (ray_imports_elsewhere, (Source("actors/host.py", "def late():\n    from ray import serve"),)),
    (ray_imports_elsewhere, (Source("serve/client.py", "import ray.serve"),)),
    (worldly_domain, (Source("actors/memory/x.py", "import torch"),)),
    (worldly_domain, (Source("actors/memory/x.py", "from pathlib import Path"),)),
    (worldly_domain, (Source("actors/memory/x.py", "text = open('x').read()"),)),
    (environment_uses_elsewhere, (Source("actors/host.py", "import os\nos.environ['X']"),)),
    (environment_uses_elsewhere, (Source("serve/x.py", "from os import getenv"),)),
    (yaml_readers_elsewhere, (Source("serve/x.py", "import yaml"),)),
)
"""Each rule with a planted violation."""


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _ in RULES), ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule_against(rule: Callable[[Sources], list[str]]) -> None:
    assert rule(sources()) == []


@pytest.mark.parametrize(("rule", "planted"), RULES)
def test_a_planted_violation_is_found(rule: Callable[[Sources], list[str]], planted: tuple[Source, ...]) -> None:
    assert rule({source.path: source for source in planted})


@pytest.mark.parametrize("module", ["serve.client", "serve.cli.main", "actors.memory.cube"])
def test_what_a_client_imports_needs_neither_ray_nor_a_model_library(module: str) -> None:
    blocked = ("ray", "torch", "transformers", "faiss", "tantivy", "deltalake", "pyarrow")
    program = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
