"""Retention of a cube: its host archives what is due, then what has been archived long enough is erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from actors.errors import AccessError, Conflict
from actors.memory.erasure import Cause, EraseMemories
from actors.memory.governance import Caller
from actors.memory.retaining import Retained
from actors.memory.retention import Due, Step
from cluster.erasing import ClusterErasure, OnCube

AT_ONCE = 500
"""Memories that are archived, and that are erased, in one go."""


class ClusterRetention:
    """Safe to use from one event loop."""

    def __init__(self, on_cube: OnCube, erasure: ClusterErasure) -> None:
        self._on_cube = on_cube
        self._erasure = erasure

    async def due(self, caller: Caller, cube_id: str) -> Sequence[Due]:
        found: Sequence[Due] = await self._on_cube(cube_id, "due", caller, cube_id)
        return found

    async def apply(self, caller: Caller, cube_id: str) -> Retained:
        """Do what is due, up to `AT_ONCE` of each kind. A repeat goes on where this ended."""
        found: Sequence[Due] = await self._on_cube(cube_id, "archive_due", caller, cube_id, AT_ONCE)
        by_step = {step: [item for item in found if item.step is step] for step in Step}
        archived, erasing = by_step[Step.ARCHIVE][:AT_ONCE], by_step[Step.ERASE][:AT_ONCE]
        erased, derived, held = await self._erase(caller, cube_id, erasing)
        left = len(by_step[Step.ARCHIVE]) - len(archived) + len(by_step[Step.ERASE]) - len(erasing)
        return Retained(cube_id, tuple(archived), tuple(erased), tuple(derived), (*by_step[Step.HELD], *held), left > 0)

    async def _erase(self, caller: Caller, cube_id: str, due: Sequence[Due]) -> tuple[list[Due], list[str], list[Due]]:
        """(erased, derived, held). All at once, which costs about as much as one; where something holds one, each."""
        if not due:
            return [], [], []
        request = EraseMemories(tuple(item.memory_id for item in due), due[0].reason, cause=Cause.RETENTION)
        try:
            receipt = await self._erasure.erase(caller, cube_id, request)
        except (AccessError, Conflict) as refused:
            if len(due) == 1:
                return [], [], [replace(due[0], step=Step.HELD, reason=refused.detail)]
            return await self._erase_each(caller, cube_id, due)
        return list(due), [memory_id for _, memory_id in receipt.derived], []

    async def _erase_each(
        self, caller: Caller, cube_id: str, due: Sequence[Due]
    ) -> tuple[list[Due], list[str], list[Due]]:
        erased: list[Due] = []
        derived: list[str] = []
        held: list[Due] = []
        for item in due:
            gone, also, kept = await self._erase(caller, cube_id, [item])
            erased, derived, held = erased + gone, derived + also, held + kept
        return erased, derived, held
