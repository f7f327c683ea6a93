"""The source files as syntax trees, for the tests that guard the architecture."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("actors", "cluster", "serve", "jobs")


@dataclass(frozen=True)
class Source:
    """One module. `path` is relative to the repository's root, with forward slashes."""

    path: str
    text: str

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    def imports(self) -> tuple[tuple[str, int], ...]:
        """(name, line) of everything imported, at any depth: `a.b` and `a.b.c` for `from a.b import c`."""
        return self._imports

    @cached_property
    def _imports(self) -> tuple[tuple[str, int], ...]:
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
                found += [(name, node.lineno) for name in names]
        return tuple(found)


@cache
def sources() -> dict[str, Source]:
    """Every module of the packages, by path."""
    found = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    names = [path.relative_to(ROOT).as_posix() for path in found]
    return {name: Source(name, (ROOT / name).read_text(encoding="utf-8")) for name in names}
