"""The journal in this process's memory: every guarantee of the port save durability."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from actors.errors import StorageUnavailable
from actors.memory.erasure import Emptied
from actors.memory.events import GENESIS, Event
from actors.stores.journal.anchor import extend
from actors.stores.journal.deltalog import fenced
from actors.stores.journal.verification import chain_problems, cube_problems


@dataclass(slots=True)
class PlainStorage:
    """What owners of one shard share, as they would a table: its events, its epoch and its anchored head."""

    name: str = "plain"
    events: list[Event] = field(default_factory=list)
    epoch: int = 0
    anchored: tuple[int, bytes] = (0, GENESIS)
    lock: threading.Lock = field(default_factory=threading.Lock)


class PlainJournal:
    """ports.Journal on a PlainStorage. Opening a second one on the same storage fences the first."""

    def __init__(self, storage: PlainStorage, chain_key: bytes) -> None:
        self._storage = storage
        self._key = chain_key
        self._closed = False
        with storage.lock:
            storage.epoch += 1
            self._epoch = storage.epoch
            self._position = len(storage.events)

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def position(self) -> int:
        return self._position

    def append(self, events: Sequence[Event]) -> list[Event]:
        storage = self._storage
        if self._closed:
            raise StorageUnavailable(f"{storage.name}: this journal was closed", uri=storage.name, outcome="none")
        with storage.lock:
            if storage.epoch != self._epoch:
                raise fenced(storage.name, self._epoch, storage.epoch)
            placed = [event.at_position(self._position + 1 + i) for i, event in enumerate(events)]
            storage.events.extend(placed)
            self._position += len(placed)
            head = extend(self._key, storage.anchored[1], (event.hash for event in placed))
            storage.anchored = (self._position, head)
        return placed

    def append_parts(self, parts: Iterable[Sequence[Event]]) -> Event:
        return self.append([event for part in parts for event in part])[-1]

    def read(self, after: int = 0) -> Iterator[Event]:
        with self._storage.lock:
            return iter(self._storage.events[after : self._position])

    def read_cube(self, cube_id: str, after_version: int = 0) -> Iterator[Event]:
        return (event for event in self.read() if event.cube_id == cube_id and event.version > after_version)

    def head_at(self, cube_id: str, version: int) -> bytes | None:
        return next((event.hash for event in self.read_cube(cube_id, version - 1)), None)

    def mentioning(self, text: bytes) -> Iterator[Event]:
        return (event for event in self.read() if event.content is not None and text in event.content)

    def empty(self, positions: Collection[int]) -> Emptied:
        with self._storage.lock:
            if self._storage.epoch != self._epoch:
                raise fenced(self._storage.name, self._epoch, self._storage.epoch)
            for position in positions:
                event = self._storage.events[position - 1]
                self._storage.events[position - 1] = replace(event, content=None, salt=None)
        return Emptied(1, 1, 0)

    def maintain(self) -> bool:
        return False

    def verify(self, cube_id: str | None = None) -> list[str]:
        with self._storage.lock:
            events, (position, head) = list(self._storage.events), self._storage.anchored
        problems = []
        if [event.position for event in events] != list(range(1, position + 1)):
            problems.append(f"{self._storage.name}: events 1 to {position} are not all there, in order")
        elif extend(self._key, GENESIS, (event.hash for event in events)) != head:
            problems.append(f"{self._storage.name}: the events are not those that were acknowledged")
        if cube_id is None:
            return problems + chain_problems(self._key, events)
        own = partial(_of_cube, events)
        return problems + cube_problems(self._key, cube_id, own)

    def close(self) -> None:
        self._closed = True


def _of_cube(events: Sequence[Event], cube_id: str) -> Iterator[Event]:
    return (event for event in events if event.cube_id == cube_id)
