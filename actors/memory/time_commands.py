"""Commands that move a cube in time: going back to an earlier version, and beginning as a fork of another cube."""

from __future__ import annotations

from typing import Any

from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.events import EventType
from actors.memory.policy import merged_policy
from actors.memory.requests import ForkPoint, Moment
from actors.memory.rollback import changes_of, restored
from actors.memory.time_requests import RolledBack


def roll_back(draft: CubeDraft, origin: Origin, to: Moment, reason: str) -> RolledBack:
    """Record one event that gives every memory the content and state of an earlier version, and archives what was not
    there. Frozen memories stay as they are and are listed. When nothing would change, nothing is recorded.
    """
    version = draft.version_of(to)
    found = list(restored(draft.history, version, draft.time_of(origin), reason))
    kept = [each.before.id for each in found if each.kept]
    changed = len(found) - len(kept)
    if changed:
        payload: dict[str, Any] = {"to": version}
        if kept:
            payload["kept"] = kept
        if reason:
            payload["reason"] = reason
        draft.emit_rollback(origin, payload, changes_of(found, draft.cube_id))
    return RolledBack(draft.version, version, changed, tuple(kept))


def begin_fork(draft: CubeDraft, origin: Origin, point: ForkPoint, settings: dict[str, Any]) -> None:
    """Record a fork's first own event, behind the origin's event that the draft stands on (`CubeDraft.begin_at`).

    `settings` are owner, name and policy.
    """
    policy = settings["policy"]
    named = policy.get("redaction", {}).get("entities", ())
    begun = {"origin": point.cube_id, "version": point.version, **settings, "policy": merged_policy({}, policy, named)}
    draft.emit(origin, EventType.CUBE_FORKED, begun)
