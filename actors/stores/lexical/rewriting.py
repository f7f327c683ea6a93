"""An inverted index written anew: tantivy keeps the words of deleted documents until it merges their segments, and
cannot be told to merge. So what is left is copied into a new index, which takes the place of the old one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tantivy

from actors.stores.durability import sync_folder

NUMBERS = ("row", "since", "until", "length")
_READ_AT_ONCE = 4096


def being_written(folder: Path) -> Path:
    """Where the index is made that is to take the place of `folder`."""
    return folder.with_name(f"{folder.name}.new")


def replaced(folder: Path) -> Path:
    """Where the old one is for a moment."""
    return folder.with_name(f"{folder.name}.old")


def drop_leftovers(folder: Path) -> None:
    """Delete what a kill in the middle left. When it left nothing in `folder`, the index is made anew."""
    for left in (being_written(folder), replaced(folder)):
        if left.exists():
            shutil.rmtree(left)
            sync_folder(left.parent)


Gone = Mapping[str, Sequence[int] | None]
"""By cube, the rows to be left out, None for all."""


def copy_documents(
    searcher: tantivy.Searcher, schema: tantivy.Schema, folder: Path, heap_bytes: int, gone: Gone
) -> None:
    """Write every document of a searcher, but for those of rows that are gone, into a new index beside `folder`'s."""
    drop_leftovers(folder)
    made = being_written(folder)
    made.mkdir()
    writer = tantivy.Index(schema, str(made)).writer(heap_size=heap_bytes, num_threads=1)
    left_out = {cube_id: None if rows is None else frozenset(rows) for cube_id, rows in gone.items()}
    for fields in _documents(searcher):
        rows = left_out.get(fields.get("cube", ""), frozenset())
        if rows is None or fields.get("row") in rows:
            continue
        writer.add_document(tantivy.Document.from_dict(fields, schema))
    writer.commit()
    writer.wait_merging_threads()


def _documents(searcher: tantivy.Searcher) -> Iterator[dict[str, Any]]:
    found = searcher.search(tantivy.Query.all_query(), limit=max(1, searcher.num_docs), count=False).hits
    addresses = [address for _, address in found]
    for start in range(0, len(addresses), _READ_AT_ONCE):
        some = addresses[start : start + _READ_AT_ONCE]
        columns = [searcher.fast_field_values(name, some) for name in NUMBERS]
        for address, *numbers in zip(some, *columns, strict=True):
            stored = {name: values[0] for name, values in searcher.doc(address).to_dict().items()}
            fields = {name: int(number) for name, number in zip(NUMBERS, numbers, strict=True) if number is not None}
            if "cube" in stored:
                yield {**stored, **fields}
            else:  # the one that holds the position
                yield stored


def take_place(folder: Path) -> None:
    """Put what was written in the place of `folder`, and delete that, from the disk's point of view too."""
    os.rename(folder, replaced(folder))
    os.rename(being_written(folder), folder)
    shutil.rmtree(replaced(folder))
    sync_folder(folder.parent)
