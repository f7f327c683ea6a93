"""Finding what was done to a journal behind our back: each cube's chain, and the shard's head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from actors.memory.events import GENESIS, Event, EventType, fault

_HASH_BYTES = len(GENESIS)

ReadCube = Callable[[str], Iterable[Event]]
"""A cube's own events, in order of version."""


@dataclass(slots=True)
class _Chain:
    """The hashes of a cube's own events; those up to `base` are the origin's, which it was forked from."""

    base: int = 0
    origin: str = ""
    base_head: bytes | None = None
    """Of a fork that was erased, and so names no origin any more: what it was sealed behind."""
    hashes: bytearray = field(default_factory=bytearray)

    @property
    def version(self) -> int:
        return self.base + len(self.hashes) // _HASH_BYTES


@dataclass(slots=True)
class ChainCheck:
    """Checks the chains of many cubes in one pass over their events, in order of position."""

    chain_key: bytes
    problems: list[str] = field(default_factory=list)
    _chains: dict[str, _Chain] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _emptied: dict[tuple[str, str], int] = field(default_factory=dict)
    """(cube, memory) -> its first event without content, until a tombstone explains it."""

    def add(self, event: Event) -> None:
        """Take the next event in; a cube's first break is noted, what follows in that cube is passed over. A break
        before a fork point is one of the fork's too.
        """
        if event.cube_id in self._broken:
            return
        chain = self._chains.get(event.cube_id)
        if chain is None:
            chain = self._chains[event.cube_id] = _begun(event)
        head = self._head_at(event.cube_id, chain.version)
        if head is None:
            reason: str | None = f"the events 1 to {chain.version}, which it has from its origin, do not hold"
        else:
            reason = fault(self.chain_key, event, chain.version + 1, head)
        if reason is None:
            chain.hashes += event.hash
            self._note_content(event)
            return
        self._broken.add(event.cube_id)
        self.problems.append(f"cube {event.cube_id}, event {chain.version + 1}: {reason}")

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

    def _head_at(self, cube_id: str, version: int) -> bytes | None:
        """The hash of an event that was checked, None when there is none."""
        if version == 0:
            return GENESIS
        chain = self._chains.get(cube_id)
        if chain is None or version > chain.version:
            return None
        if version == chain.base and chain.base_head is not None:
            return chain.base_head
        if version <= chain.base:
            return self._head_at(chain.origin, version)
        end = (version - chain.base) * _HASH_BYTES
        return bytes(chain.hashes[end - _HASH_BYTES : end])


def _begun(first: Event) -> _Chain:
    if first.type is EventType.CUBE_FORKED:
        if first.content is None:
            return _Chain(first.version - 1, base_head=first.previous_hash)
        return _Chain(first.version - 1, str(first.payload().get("origin", "")))
    return _Chain()


def chain_problems(chain_key: bytes, events: Iterable[Event]) -> list[str]:
    """The first break of each cube among `events`, which hold every event of those cubes and of their origins."""
    check = ChainCheck(chain_key)
    for event in events:
        check.add(event)
    check.finish()
    return check.problems


def cube_problems(chain_key: bytes, cube_id: str, read_cube: ReadCube) -> list[str]:
    """The first break of one cube's chain, through the events that it has from its origin. No other cube is named."""
    expected, head = 1, GENESIS
    for event in _whole_chain(cube_id, read_cube):
        if expected == 1 and event.type is EventType.CUBE_FORKED and event.content is None:
            expected, head = event.version, event.previous_hash
        reason = fault(chain_key, event, expected, head)
        if reason is not None:
            return [f"cube {cube_id}, event {expected}: {reason}"]
        expected, head = expected + 1, event.hash
    return []


def _whole_chain(cube_id: str, read_cube: ReadCube, until: int | None = None) -> Iterator[Event]:
    first = True
    for event in read_cube(cube_id):
        if first and event.type is EventType.CUBE_FORKED and event.content is not None:
            base = event.version - 1
            wanted = base if until is None else min(base, until)
            yield from _whole_chain(str(event.payload().get("origin", "")), read_cube, wanted)
        first = False
        if until is not None and event.version > until:
            return
        yield event


def self_sealed(chain_key: bytes, event: Event) -> bool:
    """Whether an event was sealed with the key, whatever came before it."""
    return fault(chain_key, event, event.version, event.previous_hash) is None
