"""The data files of a commit that is too large for one file."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from actors.errors import StorageUnavailable
from actors.memory.events import Event
from actors.stores.journal.datafiles import DataFile, bulk_name, encode, statistics
from actors.stores.journal.schema import to_table
from actors.stores.location import Location


@dataclass(slots=True)
class WrittenParts:
    """Durable files that no commit names yet, with their statistics for the log, and the last of their events."""

    files: list[tuple[DataFile, str]] = field(default_factory=list)
    last: Event | None = None


def only_part(parts: Iterable[Sequence[Event]]) -> tuple[Sequence[Event] | None, Iterable[Sequence[Event]]]:
    """(the part, when there is no other; all of the parts)."""
    remaining = iter(parts)
    leading = list(islice(remaining, 2))
    return leading[0] if len(leading) == 1 else None, chain(leading, remaining)


def write_parts(location: Location, parts: Iterable[Sequence[Event]], epoch: int, first: int) -> WrittenParts:
    """A file each, their events from position `first` on. Nothing is left when `parts` raises, or storage fails:
    StorageUnavailable with the fact `outcome` "none".
    """
    written, commit = WrittenParts(), uuid.uuid4().hex
    try:
        for part in parts:
            placed = [event.at_position(first + number) for number, event in enumerate(part)]
            table = to_table(placed)
            data = encode(table)
            name = bulk_name(epoch, first, commit)
            written.files.append((DataFile(name, data.size, first, placed[-1].position), statistics(table)))
            location.write(name, data)
            written.last, first = placed[-1], first + len(placed)
        location.sync()
    except BaseException as error:
        discard(location, written)
        if isinstance(error, StorageUnavailable):
            raise StorageUnavailable(error.detail, **error.facts, outcome="none") from error
        raise
    return written


def discard(location: Location, written: WrittenParts) -> None:
    """Delete files that are never going to be committed."""
    for file, _ in written.files:
        location.delete(file.name)
