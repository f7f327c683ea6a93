"""Erasure and retention of the plain backend: the real commands, and no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from actors.memory import erasing, erasure, retaining
from actors.memory.erasure import EraseMemories, Receipt
from actors.memory.governance import Action, Caller, authorise
from actors.memory.retaining import Retained
from actors.memory.retention import Due


class PlainErasing:
    """A part of PlainBackend."""

    clock: Any
    _enter: Any
    _run: Any
    _cluster: Any

    async def erase_cube(self, caller: Caller, cube_id: str, reason: str) -> Receipt:
        cube = self._enter(caller, Action.ERASE_CUBE, cube_id)

        def allow(action: Action) -> None:
            authorise(caller, action, cube_id, self._cluster(), cube.access)

        root = self._run(caller, cube, lambda d, o: erasing.erase_cube(d, o, reason, [], allow))
        cube.access = replace(cube.access, archived=True)
        return erasure.receipt_of(cube.state, root, [], self.clock.now_us())

    async def erase_memories(self, caller: Caller, cube_id: str, request: EraseMemories) -> Receipt:
        cube = self._enter(caller, Action.READ, cube_id)

        def allow(action: Action) -> None:
            authorise(caller, action, cube_id, self._cluster(), cube.access)

        root = self._run(caller, cube, lambda d, o: erasing.erase(d, o, request, allow))
        receipt = erasure.receipt_of(cube.state, root, [], self.clock.now_us())
        return self._run(caller, cube, lambda d, o: erasing.complete(d, o, root, receipt))

    async def due(self, caller: Caller, cube_id: str) -> Sequence[Due]:
        cube = self._enter(caller, Action.READ, cube_id)
        return self._run(caller, cube, lambda d, o: retaining.all_due(d, o.at_us))

    async def apply_retention(self, caller: Caller, cube_id: str) -> Retained:
        cube = self._enter(caller, Action.ERASE, cube_id)
        found = self._run(caller, cube, lambda d, o: retaining.archive_due(d, o, 500))
        return Retained(cube_id, tuple(found))
