"""Looking through the memories that a cube held before its policy masked, or masked as much as it does now."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from actors.errors import ScreeningRefused
from actors.memory.cube import CubeState
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.events import EventType
from actors.memory.item import Memory
from actors.memory.redaction import SCREENED_FIELDS
from actors.memory.requests import Screened
from actors.memory.screening import RedactionMode, Screening, total
from actors.redaction_gate import RedactionGate, Rule
from actors.shard import Shard


def screen(shard: Shard, cube_id: str, gate: RedactionGate, origin: Origin, limit: int) -> Screened:
    """Look through up to `limit` memories, the oldest first, and record what was found in them as they are now; their
    earlier contents stay withheld. A repeat goes on where the last one ended. A frozen memory is looked through too:
    its content stays. Raises ScreeningRefused unless the cube's policy masks, Unavailable when nobody can look.
    """
    with shard.reading(cube_id) as cube:
        rule = masking_rule(cube.state)
        batch = left_of(cube.state, rule)[:limit]
    found = gate.screening(rule, [fields_of(memory) for memory in batch])
    recorded = shard.run(cube_id, rule.guarding(partial(record, origin=origin, batch=batch, found=found)))
    with shard.reading(cube_id) as cube:
        return Screened(len(recorded), len(left_of(cube.state, rule)), total(recorded))


def masking_rule(state: CubeState) -> Rule:
    """The cube's rule. Raises ScreeningRefused when it does not mask."""
    rule = Rule.of(state.policy)
    if rule.mode is not RedactionMode.MASK:
        raise ScreeningRefused(
            f"the redaction of cube {state.cube_id!r} is {rule.mode.value}: only mask looks at what is recorded",
            mode=rule.mode.value,
            allowed=[RedactionMode.MASK.value],
        )
    return rule


def left_of(state: CubeState, rule: Rule) -> list[Memory]:
    """The memories that were not looked through for what the rule names, the oldest first."""
    memories = state.memories(None)
    return [memory for memory in memories if memory.screening is None or not memory.screening.covers(rule.entities)]


def fields_of(memory: Memory) -> dict[str, Any]:
    return {name: getattr(memory, name) for name in SCREENED_FIELDS}


def record(draft: CubeDraft, origin: Origin, batch: Sequence[Memory], found: Sequence[Screening]) -> list[Screening]:
    """Record what was found in each memory, unless it was changed meanwhile; what was recorded."""
    recorded = []
    for memory, screening in zip(batch, found, strict=True):
        if draft.find(memory.id) == memory:
            payload = {"screening": screening.to_json()}
            draft.emit(origin, EventType.MEMORY_SCREENED, payload, memory.id, memory.version)
            recorded.append(screening)
    return recorded
