"""What a role gets to see of a cube's memories: as they are, or with what was found in them masked.

Nothing is shown by omission: where a policy masks, a memory that was not looked through for all that the policy
names is withheld from the roles that it masks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actors.memory.governance import Role
from actors.memory.item import Memory
from actors.memory.redaction import SCREENED_FIELDS, hidden
from actors.memory.screening import KINDS_BY_NAME, RedactionMode

UNMASKED = Role.CURATOR
"""The smallest role that sees memories as they are, whatever the policy."""

WITHHELD = "<NOT_SCREENED>"
"""What is shown of a text that was not looked through."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """`masks`: what was found is hidden; `withholds`: what was not looked through for `entities` is, too."""

    masks: bool
    withholds: bool
    entities: tuple[str, ...] = ()

    @classmethod
    def of(cls, role: Role, policy: Mapping[str, Mapping[str, Any]]) -> Disclosure:
        """What `role` gets to see under a cube's policy of now, of the past too."""
        redaction = policy["redaction"]
        mode = RedactionMode(redaction["mode"])
        if mode is RedactionMode.OFF or role >= UNMASKED:
            return OPEN
        return cls(True, mode is RedactionMode.MASK, tuple(redaction["entities"]))

    def covers(self, memory: Memory) -> bool:
        """Whether the memory may be shown at all."""
        return not self.withholds or (memory.screening is not None and memory.screening.covers(self.entities))

    def shown(self, memory: Memory) -> Memory:
        """The memory as the role sees it; itself where nothing is hidden."""
        if not self.masks:
            return memory
        if not self.covers(memory):
            return replace(memory, text=WITHHELD, speaker="", session="", ref="", tags=(), metadata={}, source={})
        found = [] if memory.screening is None else [f for f in memory.screening.findings if self._hides(f.kind)]
        if not found:
            return memory
        return replace(memory, **hidden({name: getattr(memory, name) for name in SCREENED_FIELDS}, found))

    def all(self, memories: Sequence[Memory]) -> tuple[Memory, ...]:
        return tuple(self.shown(memory) for memory in memories) if self.masks else tuple(memories)

    def _hides(self, kind: str) -> bool:
        return kind in self.entities if self.entities else kind not in KINDS_BY_NAME


OPEN = Disclosure(masks=False, withholds=False)
"""Everything is shown."""
