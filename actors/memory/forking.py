"""How a fork begins: with its origin's state as it was at a version. Memories are shared, being immutable."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import fields, replace

from actors.memory.cube import CubeState, Revisions
from actors.memory.events import GENESIS, Event
from actors.memory.footprint import CUBE_BYTES, EVENT_BYTES, memory_bytes
from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State
from actors.memory.relations import Relations


def cut(state: CubeState, version: int, fork_id: str, head: bytes) -> CubeState:
    """The state as the events up to `version` made it, the last of them with the hash `head`, under another id.

    Remembered idempotency keys stay behind: they are digests that name the cube.
    """
    history = _history(state, version)
    meta_history = [meta for meta in state.meta_history if meta[0] <= version]
    result = CubeState(
        cube_id=fork_id,
        owner=state.owner if meta_history else "",
        version=version,
        head=head if version else GENESIS,
        created_at_us=state.created_at_us if meta_history else 0,
        history=history,
        rows=state.rows.cut(version, state.cube_id),
        recorded_at_us=state.recorded_at_us[:version],
        meta_history=meta_history,
        origins=state.origins.cut(version),
        erased={mid: replace(gone, version=min(gone.version, version), rows=()) for mid, gone in state.erased.items()},
        receipts=dict(state.receipts),
        relations=state.relations.copy() if version == state.version else Relations.of(history),
    )
    if meta_history:
        _, result.name, result.policy = meta_history[-1]
    if version == state.version:
        result.tally, result.held_bytes = dict(state.tally), state.held_bytes
    else:
        memories = (memory for revisions in history.values() for _, memory in revisions)
        result.tally = dict(Counter(_counted_as(revisions[-1][1]) for revisions in history.values()))
        result.held_bytes = CUBE_BYTES + EVENT_BYTES * version + sum(map(memory_bytes, memories))
        result.held_bytes += result.origins.held_bytes + result.relations.held_bytes
    for memory_id in state.rows.expiring:
        if any(memory.expires_at_us is not None for _, memory in history.get(memory_id, ())):
            result.rows.note_expiry(memory_id)
    return result


def _history(state: CubeState, version: int) -> dict[str, Revisions]:
    if version == state.version:
        return dict(state.history)
    history = {}
    for memory_id, revisions in state.history.items():
        if revisions[-1][0] <= version:
            history[memory_id] = revisions
        elif revisions[0][0] <= version:
            history[memory_id] = revisions[: bisect_right(revisions, version, key=lambda revision: revision[0])]
    return history


def begin(state: CubeState, base: CubeState) -> None:
    """Give a cube without events what its fork begins with; its own first event comes next."""
    if state.version:
        raise ValueError(f"cube {state.cube_id} has {state.version} events already")
    for each in fields(CubeState):
        setattr(state, each.name, getattr(base, each.name))


def begin_erased(state: CubeState, event: Event) -> None:
    """As `begin`, of a fork that was erased: its first own event names no origin any more, and nothing is to be had."""
    state.version, state.head = event.version - 1, event.previous_hash
    state.recorded_at_us = array("q", [event.recorded_at_us] * state.version)


def _counted_as(memory: Memory) -> tuple[Form, State]:
    return memory.form, memory.state
