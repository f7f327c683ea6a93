"""Calls about the lineage of memories: to the host that owns the cube."""

from __future__ import annotations

from typing import Any

from actors.memory.consolidation import ConsolidateCube, Consolidated
from actors.memory.governance import Caller
from actors.memory.merging import Split, SplitMemory
from actors.memory.provenance import Provenance, ReadProvenance


class LineageCalls:
    """A part of the gateway, which routes the calls."""

    async def split(self, caller: Caller, cube_id: str, request: SplitMemory) -> Split:
        """Not repeated: a repeat of one that took effect would be refused."""
        done: Split = await self._once(cube_id, "split", caller, cube_id, request)
        return done

    async def consolidate(self, caller: Caller, cube_id: str, request: ConsolidateCube) -> Consolidated:
        """Repeated while the host restarts: what was merged already is not merged again."""
        done: Consolidated = await self._host(cube_id, "consolidate", caller, cube_id, request)
        return done

    async def provenance(self, caller: Caller, cube_id: str, request: ReadProvenance) -> Provenance:
        found: Provenance = await self._host(cube_id, "provenance", caller, cube_id, request)
        return found

    async def _host(self, cube_id: str, method: str, *args: Any) -> Any:
        """Call the cube's host, again while it restarts."""
        raise TypeError(f"{type(self).__name__} does not route calls")

    async def _once(self, cube_id: str, method: str, *args: Any) -> Any:
        """Call the cube's host, once."""
        raise TypeError(f"{type(self).__name__} does not route calls")
