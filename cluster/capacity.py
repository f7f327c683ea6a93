"""Whether a Ray cluster has room for the parts of an instance. Pure: what nodes have free comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.errors import ConfigError

Resources = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Wanted:
    """`count` parts of a kind, each taking `resources`; the settings that say so."""

    kind: str
    count: int
    resources: Resources
    count_setting: str
    resources_setting: str


def check_room(nodes: Mapping[str, Resources], wanted: Sequence[Wanted]) -> None:
    """Raise ConfigError with the numbers when the nodes (address -> what is free) cannot hold all that is wanted."""
    free = {node: dict(resources) for node, resources in nodes.items()}
    for kind in wanted:
        if not kind.resources:
            continue
        placed: Counter[str] = Counter()
        for _ in range(kind.count):
            # Of the nodes that can, the one with the fewest: that is what spreading does.
            fitting = [node for node in free if all(free[node].get(r, 0) >= n for r, n in kind.resources.items())]
            if not fitting:
                raise ConfigError(_refusal(kind, placed, free), setting=kind.resources_setting)
            node = min(fitting, key=lambda name: placed[name])
            placed[node] += 1
            for resource, amount in kind.resources.items():
                free[node][resource] -= amount


def _refusal(kind: Wanted, placed: Counter[str], free: Mapping[str, Resources]) -> str:
    each = ", ".join(f"{name} {amount:g}" for name, amount in sorted(kind.resources.items()))
    where = ", ".join(f"{node}: {placed[node]}" for node in sorted(free))
    lower = f", or lower {kind.count_setting}" if kind.count > 1 else ""
    return (
        f"{kind.count_setting} asks for {kind.count} {kind.kind}, each with {each} ({kind.resources_setting}): this "
        f"Ray has room for {placed.total()} ({where or 'it has no nodes'}); add nodes or resources{lower}"
    )


def ray_options(resources: Mapping[str, float]) -> dict[str, Any]:
    """A part's resources as Ray's options. CPUs are Ray's to count only where the settings say so."""
    named = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    options: dict[str, Any] = {"num_cpus": 0}
    options.update({named[name]: amount for name, amount in resources.items() if name in named})
    options["resources"] = {name: amount for name, amount in resources.items() if name not in named}
    return options
