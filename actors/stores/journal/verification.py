"""Finding what was done to a journal behind our back: each cube's chain, and the shard's head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from actors.memory.events import GENESIS, Event, EventType, fault


@dataclass(slots=True)
class ChainCheck:
    """Checks the chains of many cubes in one pass over their events, in order of position."""

    chain_key: bytes
    problems: list[str] = field(default_factory=list)
    _heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _emptied: dict[tuple[str, str], int] = field(default_factory=dict)
    """(cube, memory) -> its first event without content, until a tombstone explains it."""

    def add(self, event: Event) -> None:
        """Take the next event in; a cube's first break is noted, what follows in that cube is passed over."""
        if event.cube_id in self._broken:
            return
        version, head = self._heads.get(event.cube_id, (0, GENESIS))
        reason = fault(self.chain_key, event, version + 1, head)
        if reason is None:
            self._heads[event.cube_id] = (version + 1, event.hash)
            self._note_content(event)
            return
        self._broken.add(event.cube_id)
        self.problems.append(f"cube {event.cube_id}, event {version + 1}: {reason}")

    def _note_content(self, event: Event) -> None:
        if event.content is None:
            self._emptied.setdefault((event.cube_id, event.memory_id), event.version)
        elif event.type is EventType.MEMORY_ERASED:
            self._emptied.pop((event.cube_id, event.memory_id), None)
        elif event.type is EventType.CUBE_ERASED:
            self._emptied = {chain: version for chain, version in self._emptied.items() if chain[0] != event.cube_id}

    def finish(self) -> None:
        """Every event was added: note what was emptied although nothing says that it was erased."""
        for (cube_id, _), version in self._emptied.items():
            self.problems.append(f"cube {cube_id}, event {version}: its content is gone, and no erasure explains it")


def chain_problems(chain_key: bytes, events: Iterable[Event]) -> list[str]:
    """The first break of each cube among `events`, which hold every event of those cubes."""
    check = ChainCheck(chain_key)
    for event in events:
        check.add(event)
    check.finish()
    return check.problems


def self_sealed(chain_key: bytes, event: Event) -> bool:
    """Whether an event was sealed with the key, whatever came before it."""
    return fault(chain_key, event, event.version, event.previous_hash) is None
