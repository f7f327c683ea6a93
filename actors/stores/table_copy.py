"""Copying what a shard keeps while its owner goes on writing, by reading alone.

A table is copied as it was at the version of its log that its anchor names: everything that was answered by then is in
it, and nothing that the anchor does not know of. Files that a compaction takes away meanwhile make the copy begin again
at the newest anchor; what is there already is kept, so that it ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from actors.errors import Corrupted, StorageUnavailable
from actors.stores.location import Location, first_line, storage_errors

log = logging.getLogger(__name__)

TRIES = 50
MANIFEST_TRIES = 5
PIECE_BYTES = 4 << 20

_LOG = "_delta_log"
_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
_ANCHOR = re.compile(r"anchor-\d{8}\.json")
_MANIFEST = re.compile(r"manifest(-\d{8})?\.json")
_FILE = re.compile(r"(?:v|s|graph)-[\w-]+\.\w+")
"""Segments of vectors, states of cubes, graphs: what manifests name."""


@dataclass(slots=True)
class CopiedFiles:
    """What has been copied below one folder: {path in it: SHA-256 in hex}."""

    root: Path
    digests: dict[str, str] = field(default_factory=dict)
    size_bytes: int = 0

    def copy(self, source: Location, name: str, folder: Path) -> None:
        """Copy a file, durably and readable by its owner alone. Raises FileNotFoundError when it is missing."""
        target = folder / name
        digest = hashlib.sha256()
        with source.open_ranges(name) as file, storage_errors(source.name_of(name), "copied"):
            self.forget(target)
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                while piece := file.read(PIECE_BYTES):
                    digest.update(piece)
                    out.write(piece)
                    self.size_bytes += len(piece)
                out.flush()
                os.fsync(out.fileno())
        self.digests[target.relative_to(self.root).as_posix()] = digest.hexdigest()

    def put(self, data: bytes, target: Path) -> None:
        """Write a file of our own, as `copy` does."""
        self.forget(target)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        self.digests[target.relative_to(self.root).as_posix()] = hashlib.sha256(data).hexdigest()
        self.size_bytes += len(data)

    def forget(self, target: Path) -> None:
        target.unlink(missing_ok=True)
        self.digests.pop(target.relative_to(self.root).as_posix(), None)

    def clear(self, folder: Path) -> None:
        """Forget every file right in a folder."""
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_file():
                self.forget(path)


def make_private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True, slots=True)
class AnchorFile:
    """An anchor as it was read, unchecked: `data` is the file."""

    name: str
    data: bytes
    position: int
    log_version: int


def newest_anchor(anchors: Location) -> AnchorFile | None:
    """The anchor of the latest owner; None when there is none. Raises Corrupted."""
    for _ in range(TRIES):
        names = [name for name in anchors.sizes() if _ANCHOR.fullmatch(name)]
        if not names:
            return None
        data = anchors.read(max(names))
        if data is not None:  # else a later owner has just taken it away
            try:
                record = json.loads(data)
                return AnchorFile(max(names), data, int(record["position"]), int(record["log_version"]))
            except (ValueError, KeyError, TypeError) as error:
                name = anchors.name_of(max(names))
                raise Corrupted(f"the anchor {name} cannot be decoded", file=name) from error
    raise StorageUnavailable(f"{anchors.uri} changes too fast to be read", uri=anchors.uri)


def copy_table(table: Location, anchors: Location, target: Path, copied: CopiedFiles) -> AnchorFile | None:
    """Copy a table and its anchor into the folders of the same names below `target`; the anchor, None when there is
    nothing yet. Raises Corrupted when something is missing that no compaction explains, StorageUnavailable.
    """
    before: AnchorFile | None = None
    for _ in range(TRIES):
        anchor = newest_anchor(anchors)
        if anchor is None:
            return None
        try:
            _copy_at(table, anchor.log_version, make_private(target / _name(table)), copied)
        except FileNotFoundError as error:
            if anchor == before:
                raise Corrupted(f"{error} is missing", file=str(error)) from error
            before = anchor
            continue
        copied.put(anchor.data, make_private(target / _name(anchors)) / anchor.name)
        return anchor
    raise StorageUnavailable(f"{table.uri} changed too fast to be copied", uri=table.uri)


def _copy_at(table: Location, version: int, target: Path, copied: CopiedFiles) -> None:
    """Copy a table as it was at a version. Raises FileNotFoundError when some of it is gone."""
    entries = table.child(_LOG)
    folder = make_private(target / _LOG)
    copied.clear(folder)
    for name in _entries_up_to(entries, version):
        copied.copy(entries, name, folder)
    try:
        rows = pa.table(DeltaTable(str(target), version=version).get_add_actions(flatten=True)).to_pylist()
    except DeltaError as error:
        raise Corrupted(f"the log of {table.uri} cannot be read: {first_line(error)}", file=entries.uri) from error
    named = {row["path"]: row["size_bytes"] for row in rows}
    for path in [path for path in target.iterdir() if path.is_file() and path.name not in named]:
        copied.forget(path)
    for name, size in sorted(named.items(), reverse=True):  # the newest are the next to be taken away
        there = target / name
        if there.relative_to(copied.root).as_posix() not in copied.digests or there.stat().st_size != size:
            copied.copy(table, name, target)
        if there.stat().st_size != size:
            raise Corrupted(f"{table.name_of(name)} does not have the {size} bytes that were written", file=name)


def _entries_up_to(entries: Location, version: int) -> list[str]:
    """The log's files that tell of a table at a version. Raises FileNotFoundError when some are gone."""
    names = set(entries.sizes())
    checkpoints = [int(m[1]) for name in names if (m := _CHECKPOINT.fullmatch(name)) and int(m[1]) <= version]
    newest = max(checkpoints, default=-1)
    wanted = [f"{number:020d}.json" for number in range(newest + 1, version + 1)]
    for name in wanted:
        if name not in names:
            raise FileNotFoundError(entries.name_of(name))
    return wanted if newest < 0 else [f"{newest:020d}.checkpoint.parquet", f"{newest:020d}.json", *wanted]


def copy_manifested(source: Location, target: Path, copied: CopiedFiles) -> bool:
    """Copy a folder of files that a manifest names: what is derived from a journal. Whether it is whole; one that
    changes too fast is left out, and made anew by who opens the copy.
    """
    for _ in range(MANIFEST_TRIES):
        copied.clear(make_private(target))
        manifests = sorted(name for name in source.sizes() if _MANIFEST.fullmatch(name))
        if not manifests:
            return False
        try:
            copied.copy(source, manifests[-1], target)
            for name in _named(json.loads((target / manifests[-1]).read_bytes())):
                copied.copy(source, name, target)
            return True
        except (FileNotFoundError, ValueError):
            continue
    copied.clear(target)
    return False


def _named(value: Any) -> set[str]:
    """The names of files among the texts of a JSON value."""
    if isinstance(value, str):
        return {value} if _FILE.fullmatch(value) else set()
    held: Iterable[Any] = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return {name for inner in held for name in _named(inner)}


def _name(location: Location) -> str:
    return location.uri.rstrip("/").rpartition("/")[2]
