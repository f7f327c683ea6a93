"""What a host does about personal data: the rule that a cube's texts pass under, and what a caller sees of a cube."""

from __future__ import annotations

from actors.access import AccessTable
from actors.memory.cube import CubeState
from actors.memory.disclosure import Disclosure
from actors.memory.governance import Caller
from actors.memory.screening import Recognizer
from actors.redaction_gate import NoRecognizer, RedactionGate, Rule
from actors.shard import Shard


class Discretion:
    """Of one host. Without a recognizer, a cube whose policy needs one takes nothing."""

    def __init__(self, access: AccessTable, recognizer: Recognizer | None) -> None:
        self.gate = RedactionGate(recognizer or NoRecognizer())
        self._access = access

    def rule(self, shard: Shard, cube_id: str) -> Rule:
        """What the cube's policy of now says."""
        with shard.reading(cube_id) as cube:
            return Rule.of(cube.state.policy)

    def seen(self, caller: Caller, state: CubeState) -> Disclosure:
        """What a caller who was let in sees of a cube. Raises CubeNotFound when its role was taken away since."""
        return Disclosure.of(self._access.role(caller, state.cube_id), state.policy)

    def seen_in(self, shard: Shard, caller: Caller, cube_id: str) -> Disclosure:
        """As `seen`, of a cube that is not locked."""
        with shard.reading(cube_id) as cube:
            return self.seen(caller, cube.state)
