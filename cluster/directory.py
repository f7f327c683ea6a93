"""Finds the parts of a running system by name and calls them; what goes wrong comes out as our errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from ray.exceptions import RayError

from actors.errors import Unavailable
from actors.remote_actor import RETRY_AFTER_S, translated

NAMESPACE = "memos"
SYSTEM = "system"
EMBEDDER = "embedder"
REDACTOR = "redactor"
"""There once a cube needs it."""


def host_name(host: int) -> str:
    return f"host-{host}"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, as Ray counts it. One that left stays listed, not alive."""

    id: str
    address: str
    alive: bool
    head: bool
    resources: Mapping[str, float]


class Directory(Protocol):
    """Calls a named part. An answer that is lost may still have taken effect: only repeat what may be repeated."""

    async def call(self, name: str, method: str, *args: Any) -> Any:
        """Raises the part's own MemosError, or Unavailable when it does not answer (in time)."""
        ...

    async def nodes(self) -> tuple[Node, ...]:
        """The machines of the cluster. Raises Unavailable when their registry does not answer (in time)."""
        ...


class LocalDirectory:
    """Parts in this process, their blocking methods on threads. For tests and tools without a cluster."""

    def __init__(self, parts: Mapping[str, Any], timeout_s: float = 30.0) -> None:
        self._parts = parts
        self._timeout_s = timeout_s

    async def call(self, name: str, method: str, *args: Any) -> Any:
        part = self._parts.get(name)
        if part is None:
            raise Unavailable(f"{name} is down, it should be back soon", part=name, retry_after_s=RETRY_AFTER_S)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.to_thread(getattr(part, method), *args)
        except TimeoutError as error:
            raise Unavailable(f"{name} did not answer in time", part=name, retry_after_s=RETRY_AFTER_S) from error

    async def nodes(self) -> tuple[Node, ...]:
        return (Node("", "127.0.0.1", alive=True, head=True, resources={}),)


class RayDirectory:
    """Named actors of one Ray namespace. A handle is kept until a call through it fails."""

    def __init__(self, timeout_s: float, namespace: str = NAMESPACE) -> None:
        self._timeout_s = timeout_s
        self._namespace = namespace
        self._handles: dict[str, Any] = {}

    async def call(self, name: str, method: str, *args: Any) -> Any:
        try:
            handle = await self._handle(name)
            async with asyncio.timeout(self._timeout_s):
                return await getattr(handle, method).remote(*args)
        except TimeoutError as error:
            raise Unavailable(f"{name} did not answer in time", part=name, retry_after_s=RETRY_AFTER_S) from error
        except (RayError, ValueError) as error:
            ours = translated(error, name)
            if isinstance(ours, Unavailable):
                self._handles.pop(name, None)
            raise ours from error

    async def nodes(self) -> tuple[Node, ...]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return tuple(_node(found) for found in await asyncio.to_thread(ray.nodes))
        except (TimeoutError, RayError) as error:
            raise Unavailable("Ray does not tell its nodes", part="nodes", retry_after_s=RETRY_AFTER_S) from error

    async def _handle(self, name: str) -> Any:
        handle = self._handles.get(name)
        if handle is None:
            # Blocks on the cluster's registry, so off the event loop. Raises ValueError for a missing actor.
            handle = await asyncio.to_thread(ray.get_actor, name, namespace=self._namespace)
            self._handles[name] = handle
        return handle


def _node(found: Mapping[str, Any]) -> Node:
    resources: dict[str, float] = found["Resources"]
    return Node(
        id=found["NodeID"],
        address=found["NodeManagerAddress"],
        alive=found["Alive"],
        head="node:__internal_head__" in resources,
        resources={name: amount for name, amount in resources.items() if not name.startswith("node:")},
    )
