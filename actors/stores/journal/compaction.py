"""Which files a compaction joins, and joining them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from actors.errors import Corrupted
from actors.stores.journal.datafiles import DataFile, encode, new_name, read_table, statistics
from actors.stores.journal.schema import EVENTS, Shape
from actors.stores.location import Location


@dataclass(frozen=True, slots=True)
class CompactionLimits:
    """Compact after `appends` small files; files of `full_bytes` or more are not rewritten again."""

    appends: int = 64
    full_bytes: int = 32 * 1024 * 1024


def joinable_suffix(sizes: Sequence[int], full: int) -> int:
    """Index from which the newest files are worth joining: each older one joins while it is not over twice
    what follows it, and not full. So a byte is rewritten a logarithmic number of times.
    """
    start, total = len(sizes), 0
    while start > 0 and sizes[start - 1] < full and (total == 0 or sizes[start - 1] <= 2 * total):
        start -= 1
        total += sizes[start]
    return start


def to_join(files: Sequence[DataFile], limits: CompactionLimits) -> Sequence[DataFile]:
    """The files that a compaction replaces by one; none when it is not due.

    The appends since the last compaction are always among them, whatever their sizes; files of a commit of several
    never are: they are large, and joining them would hold all of it in memory.
    """
    appended = 0
    while appended < len(files) and files[-appended - 1].appended:
        appended += 1
    if appended < limits.appends:
        return ()
    head, tail = files[: len(files) - appended], files[len(files) - appended :]
    sizes = [limits.full_bytes if file.bulk else file.size for file in head] + [sum(file.size for file in tail)]
    start = min(joinable_suffix(sizes, limits.full_bytes), len(head))
    return [*head[start:], *tail]


def join(location: Location, files: Sequence[DataFile], epoch: int, shape: Shape = EVENTS) -> tuple[DataFile, str]:
    """Write one durable file with the rows of `files`; it, and its statistics for the log. Nothing is committed.

    Raises Corrupted when a file is damaged: what cannot be read is never replaced.
    """
    table = pa.concat_tables([read_table(location, file, shape) for file in files]).combine_chunks()
    first, last = files[0].first, files[-1].last
    if not table.column("position").equals(pa.chunked_array([pa.array(range(first, last + 1), pa.int64())])):
        raise Corrupted(f"{location.uri}: events {first} to {last} are not all there, in order", uri=location.uri)
    return write_rows(location, table, epoch, shape, compacted=True)


def write_rows(
    location: Location, table: pa.Table, epoch: int, shape: Shape = EVENTS, *, compacted: bool
) -> tuple[DataFile, str]:
    """Write rows in order of position as one durable file; it, and its statistics for the log."""
    positions = table.column("position")
    first, last = positions[0].as_py(), positions[-1].as_py()
    data = encode(table, shape)
    file = DataFile(new_name(epoch, first, compacted=compacted), data.size, first, last)
    location.write(file.name, data)
    location.sync()
    return file, statistics(table, shape)
