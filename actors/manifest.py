"""A cube's manifest, from its state and from who may do what on it."""

from __future__ import annotations

from actors.memory.cube import CubeState
from actors.memory.governance import CubeAccess
from actors.memory.requests import CubeView, ForkPoint, RedactionView
from actors.memory.screening import RedactionMode, total


def view_of(state: CubeState, access: CubeAccess, fork: ForkPoint | None = None) -> CubeView:
    """Call it with the cube's lock held. Where a policy is about personal data, it looks at every memory."""
    return CubeView(
        id=state.cube_id,
        name=state.name,
        owner=access.owner,
        version=state.version,
        created_at_us=state.created_at_us,
        counts=state.counts(),
        policy=state.policy,
        grants={access.owner: "owner", **{who: role.label for who, role in access.grants.items()}},
        fork=fork,
        redaction=_redaction(state),
    )


def _redaction(state: CubeState) -> RedactionView:
    policy = state.policy["redaction"]
    mode, entities = RedactionMode(policy["mode"]), tuple(policy["entities"])
    if mode is RedactionMode.OFF:
        return RedactionView()
    screenings = [memory.screening for memory in state.memories(None)]
    left = sum(s is None or not s.covers(entities) for s in screenings) if mode is RedactionMode.MASK else 0
    return RedactionView(total(screenings), left)
