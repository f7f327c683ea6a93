"""Taking content out of a journal's files, and stray files off its folder."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from actors.stores.journal.compaction import write_rows
from actors.stores.journal.datafiles import DataFile, read_table
from actors.stores.location import Location

CONTENT_COLUMNS = ("content", "salt")

_WRITTEN_BY = re.compile(r"\.?e(\d{8})-")
"""How the name of a data file begins, whole or half written, whoever wrote it."""


def holding(files: Sequence[DataFile], positions: Collection[int]) -> list[DataFile]:
    """The files that hold one of the positions."""
    return [file for file in files if any(file.first <= position <= file.last for position in positions)]


def without_content(
    location: Location, file: DataFile, positions: Collection[int], epoch: int
) -> tuple[DataFile, str] | None:
    """A durable copy of a file, and its statistics for the log, with nothing in the content columns of `positions`;
    None when there is nothing in them already. Nothing is committed. Raises Corrupted when the file is damaged.
    """
    table = read_table(location, file)
    chosen = pc.is_in(table.column("position"), pa.array(sorted(positions), pa.int64()))
    filled = pc.is_valid(table.column("content"))
    if not pc.any(pc.and_(chosen, filled)).as_py():
        return None
    for name in CONTENT_COLUMNS:
        at = table.schema.get_field_index(name)
        nothing = pa.scalar(None, table.schema.field(at).type)
        table = table.set_column(at, table.schema.field(at), pc.if_else(chosen, nothing, table.column(name)))
    return write_rows(location, table.combine_chunks(), epoch, compacted=True)


def remove_strays(location: Location, live: Collection[str], epoch: int) -> int:
    """Delete data files that no commit names, half-written ones too, of this owner and those before it; the number.

    To be called by the owner of `epoch` between two appends: what it has not committed by then, nobody will.
    """
    strays = []
    for name in location.sizes():
        written_by = _WRITTEN_BY.match(name)
        if name not in live and written_by is not None and int(written_by[1]) <= epoch:
            strays.append(name)
    for name in strays:
        location.delete(name)
    return len(strays)
