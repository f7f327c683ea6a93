"""A cube's state as JSON values, and back: what a snapshot holds."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

from actors.errors import NewerFormat
from actors.memory.cube import CubeState
from actors.memory.erasure import Erased, Receipt
from actors.memory.footprint import EVENT_BYTES, OUTCOME_BYTES, memory_bytes
from actors.memory.item import from_fields, to_fields
from actors.memory.origins import Origins
from actors.memory.outcomes import Outcome
from actors.memory.relations import Relations
from actors.memory.requests import ForkPoint
from actors.memory.rows import Rows

SNAPSHOT_FORMAT = 4
"""Of the JSON values of a state. 2 has rows of one interval each, and no forks."""


def snapshot_of(state: CubeState) -> dict[str, Any]:
    """The whole state as JSON values; `state_of` is the inverse."""
    return {**snapshot_without_history(state), "history": list(history_of(state))}


def history_of(state: CubeState) -> Iterator[list[Any]]:
    """Each memory after each of its events, as JSON values."""
    for mid, revisions in state.history.items():
        yield [mid, [[at, m.version, m.recorded_at_us, to_fields(m)] for at, m in revisions]]


def snapshot_without_history(state: CubeState) -> dict[str, Any]:
    """All but the memories themselves."""
    return {
        "format": SNAPSHOT_FORMAT,
        "cube_id": state.cube_id,
        "name": state.name,
        "owner": state.owner,
        "policy": state.policy,
        "version": state.version,
        "head": state.head.hex(),
        "created_at_us": state.created_at_us,
        "outcomes": [[k, o.request_digest, o.version, list(o.memory_ids)] for k, o in state.outcomes.items()],
        "recorded_at_us": state.recorded_at_us.tolist(),
        "imported": state.imported,
        "meta_history": [list(m) for m in state.meta_history],
        "origins": state.origins.to_snapshot(),
        "erased": [[mid, *astuple(erased)] for mid, erased in state.erased.items()],
        "receipts": {root: receipt.to_fields() for root, receipt in state.receipts.items()},
        "rows": state.rows.to_snapshot(),
        "fork": None if state.fork is None else [state.fork.cube_id, state.fork.version],
    }


def state_of(data: dict[str, Any]) -> CubeState:
    """The state of a snapshot. Raises NewerFormat for a snapshot of a newer version."""
    cube_id = data["cube_id"]
    if data["format"] > SNAPSHOT_FORMAT:
        raise NewerFormat(f"the snapshot of cube {cube_id} was written by a newer version")
    history = {
        mid: tuple(
            (at, from_fields(fields, id=mid, cube_id=cube_id, version=version, recorded_at_us=recorded))
            for at, version, recorded, fields in revisions
        )
        for mid, revisions in data["history"]
    }
    state = CubeState(
        cube_id=cube_id,
        name=data["name"],
        owner=data["owner"],
        policy=data["policy"],
        version=data["version"],
        head=bytes.fromhex(data["head"]),
        created_at_us=data["created_at_us"],
        history=history,
        outcomes={k: Outcome(request, version, tuple(ids)) for k, request, version, ids in data["outcomes"]},
        recorded_at_us=array("q", data["recorded_at_us"]),
        meta_history=[(at, name, policy) for at, name, policy in data["meta_history"]],
        rows=Rows.from_snapshot(data["rows"], history),
        origins=Origins.from_snapshot(data.get("origins")),
        relations=Relations.of(history),
        erased={mid: Erased.from_values(*values) for mid, *values in data.get("erased", ())},
        receipts={root: Receipt.from_fields(said) for root, said in data.get("receipts", {}).items()},
        fork=ForkPoint(*data["fork"]) if data.get("fork") else None,
        imported=data.get("imported", {}),
    )
    state.held_bytes += EVENT_BYTES * state.version + OUTCOME_BYTES * len(state.outcomes)
    state.held_bytes += state.origins.held_bytes + state.relations.held_bytes
    for revisions in history.values():
        memory = revisions[-1][1]
        state.tally[memory.form, memory.state] = state.tally.get((memory.form, memory.state), 0) + 1
        state.held_bytes += sum(memory_bytes(revision) for _, revision in revisions)
        if any(revision.expires_at_us is not None for _, revision in revisions):
            state.rows.note_expiry(memory.id)
    return state
