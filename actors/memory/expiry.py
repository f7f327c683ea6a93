"""Which rows of a cube a search may answer at a time: those that are live, and whose memories have not expired."""

from __future__ import annotations

from actors.memory.cube import CubeState
from actors.memory.ports import Mask
from actors.memory.requests import Moment
from actors.memory.retention import expired


def time_of(state: CubeState, moment: Moment | None, now_us: int) -> int:
    """The time that a moment names: of an earlier version when it was recorded, of the newest one now."""
    if moment is None:
        return now_us
    if moment.version is None:
        return now_us if moment.time_us is None else min(moment.time_us, now_us)
    return state.recorded_at_us[moment.version - 1] if 0 < moment.version < state.version else now_us


def retrievable(state: CubeState, version: int, at_us: int) -> Mask:
    """Of shape (rows,): live at a version, and not expired at a time."""
    mask = state.rows.live(version)
    for memory_id, rows in state.rows.expiring.items():
        memory = state.was(memory_id, version)
        if memory is not None and expired(memory, at_us):
            mask[rows] = False
    return mask
