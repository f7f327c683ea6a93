"""What an archive holds of erasures: emptied events, tombstones and receipts. Pure.

An erased memory goes as it stands in the journal: events without content, and the tombstone that says so. What the
tombstone and the receipt tell of one instance stays there: where it looked, and what it erased of other cubes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.memory.archive_check import refused, shown
from actors.memory.archive_events import ArchivedEvent, archived, payload_of
from actors.memory.archive_rule import Broken, Payload, require
from actors.memory.erasure import Because, Cause
from actors.memory.events import Event, EventType, encode_content
from actors.memory.identity import is_memory_id

RECEIPT_BYTES = 8 << 20
"""Content of a receipt: it names every memory that went."""

# out


def leaving(events: Iterable[Event], origin: str, erased: frozenset[str]) -> Iterator[ArchivedEvent]:
    """The events of a cube as its archive holds them, whose history began in `origin`: nothing of what is `erased`,
    whether the journal has forgotten it yet or not.
    """
    for event in events:
        if event.memory_id in erased and event.type is not EventType.MEMORY_ERASED:
            event = replace(event, content=None, salt=None)
        yield _told_here(archived(event, origin), event.cube_id, origin)


def later_tombstones(events: Iterable[Event], version: int, origin: str) -> list[ArchivedEvent]:
    """What follows the events of an archive of an earlier version: the tombstones of memories that were there and were
    erased since, and the receipts. `events` are all of the cube.
    """
    there: set[str] = set()
    gone: set[str] = set()
    roots: set[str] = set()
    found: list[ArchivedEvent] = []
    until_us = 0
    for event in events:
        row = None
        if event.version <= version:
            until_us = event.recorded_at_us
            there.add(event.memory_id)
        elif event.type is EventType.MEMORY_ERASED and event.memory_id in there:
            row = _cut(archived(event, origin), version, until_us)
        elif event.type is EventType.ERASURE_COMPLETED and event.payload()["root"] in roots:
            row = _of(_told_here(archived(event, origin), event.cube_id, origin), gone)
        if event.type is EventType.MEMORY_ERASED and event.memory_id in there:
            gone.add(event.memory_id)
            roots.add(event.payload()["root"])
        if row is not None:
            found.append(replace(row, version=version + len(found) + 1))
    return found


def _told_here(row: ArchivedEvent, cube_id: str, origin: str) -> ArchivedEvent:
    """Without what one instance alone can know."""
    if row.content is None:
        return row
    if row.type == EventType.MEMORY_ERASED:
        payload = payload_of(row.content)
        payload.pop("elsewhere", None)
        return replace(row, content=encode_content(payload))
    if row.type == EventType.ERASURE_COMPLETED:
        payload = payload_of(row.content)
        receipt = payload["receipt"]
        derived = [[origin, memory_id] for cube, memory_id in receipt["derived"] if cube in (cube_id, origin)]
        receipt = {**receipt, "cube_id": origin, "derived": derived, "places": []}
        return replace(row, content=encode_content({**payload, "receipt": receipt}))
    return row


def _cut(row: ArchivedEvent, version: int, until_us: int) -> ArchivedEvent:
    """A tombstone as it would be of the memory as it was at a version."""
    payload = payload_of(row.content or b"{}")
    payload.pop("elsewhere", None)
    payload["versions"] = [[number, at_us] for number, at_us in payload["versions"] if at_us <= until_us]
    payload["rows_at"] = [at for at in payload["rows_at"] if at <= version]
    last = max((number for number, _ in payload["versions"]), default=1)
    return replace(row, memory_version=last, content=encode_content(payload))


def _of(row: ArchivedEvent, gone: set[str]) -> ArchivedEvent:
    """A receipt that names these memories alone."""
    payload = payload_of(row.content or b"{}")
    receipt = payload["receipt"]
    receipt["erased"] = [memory_id for memory_id in receipt["erased"] if memory_id in gone]
    receipt["derived"] = [[cube, memory_id] for cube, memory_id in receipt["derived"] if memory_id in gone]
    return replace(row, content=encode_content(payload))


# in


@dataclass(slots=True)
class Erasures:
    """The erasures of an archive that is taken in. `doomed` tells the version of each memory's tombstone, before the
    events are looked at in order; `rows_at` the versions at which they opened rows.
    """

    doomed: dict[str, int]
    rows_at: set[int]
    _seen: dict[str, int]
    """By memory, its version after the emptied events so far."""

    @classmethod
    def of(cls, rows: Iterable[ArchivedEvent]) -> Erasures:
        """Raises ArchiveRefused for a memory that is erased twice, or a tombstone that cannot be read."""
        doomed: dict[str, int] = {}
        rows_at: set[int] = set()
        for row in rows:
            if row.type != EventType.MEMORY_ERASED:
                continue
            try:
                require(row.memory_id not in doomed, "it erases a memory twice")
                payload = payload_of(row.content or b"{}")
                require(_are_versions(payload.get("rows_at"), row.version), "its rows cannot be read")
            except (Broken, ValueError) as broken:
                raise refused(f"event {shown(str(row.version))}: {broken}", "event") from broken
            doomed[row.memory_id] = row.version
            rows_at.update(payload["rows_at"])
        return cls(doomed, rows_at, {})

    def knew(self, memory_id: str) -> bool:
        """Whether a memory that is erased later was there by now."""
        return memory_id in self._seen

    def check_emptied(self, row: ArchivedEvent, type: EventType) -> None:
        """An event without content. Raises Broken."""
        until = self.doomed.get(row.memory_id, 0)
        require(row.version < until, "its content is gone, and no erasure explains it")
        known = self._seen.get(row.memory_id)
        added = type is EventType.MEMORY_ADDED
        require(added == (known is None), "it is about a memory that was never added, or adds it twice")
        require(row.memory_version == 1 if added else row.memory_version >= (known or 1), "its version goes back")
        self._seen[row.memory_id] = row.memory_version

    def check_tombstone(self, row: ArchivedEvent, payload: Payload) -> None:
        keys = {"root", "because", "cause", "reason", "versions", "rows_at"}
        require(self.knew(row.memory_id), "it erases a memory that was never added")
        require(row.memory_version >= self._seen[row.memory_id], "its version goes back")
        require(set(payload) == keys and is_memory_id(str(payload["root"])), "it is no tombstone")
        require(payload["because"] in set(Because) and payload["cause"] in set(Cause), "it says not why")
        require(isinstance(payload["reason"], str) and len(payload["reason"]) <= 1024, "its reason is no text")
        versions = payload["versions"]
        require(
            isinstance(versions, list)
            and all(isinstance(v, list) and len(v) == 2 and _are_versions(v, 1 << 60) for v in versions),
            "its versions cannot be read",
        )

    def check_receipt(self, payload: Payload, cube_id: str, erased: Mapping[str, Any]) -> None:
        """`erased` are the memories that were erased by now."""
        receipt = payload.get("receipt")
        require(set(payload) == {"root", "receipt"} and is_memory_id(str(payload["root"])), "it is no receipt")
        if not isinstance(receipt, dict) or set(receipt) != {"cube_id", "erased", "derived", "places", "at_us"}:
            raise Broken("it is no receipt")
        require(receipt["cube_id"] == cube_id and receipt["places"] == [], "it is another cube's receipt")
        require(_are_versions([receipt["at_us"]], 1 << 60), "its time cannot be read")
        require(isinstance(receipt["erased"], list) and isinstance(receipt["derived"], list), "it names nothing")
        derived = [name[1:] for name in receipt["derived"] if isinstance(name, list) and name[:1] == [cube_id]]
        require(len(derived) == len(receipt["derived"]), "it names memories of another cube")
        named = [*([memory_id] for memory_id in receipt["erased"]), *derived]
        require(all(len(n) == 1 and isinstance(n[0], str) and n[0] in erased for n in named), "it names what is there")


def received(payload: Payload, cube_id: str) -> dict[str, Any]:
    """A receipt of an archive as the cube has it that the archive becomes."""
    receipt = payload["receipt"]
    derived = [[cube_id, memory_id] for _, memory_id in receipt["derived"]]
    return {**payload, "receipt": {**receipt, "cube_id": cube_id, "derived": derived}}


def _are_versions(values: Any, limit: int) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit for value in values
    )
