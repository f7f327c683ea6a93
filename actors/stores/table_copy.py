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
import time
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
UNCHANGED_TRIES = 8
PAUSE_S = 0.05
"""Between two tries; after so many of the same anchor, what is missing is missing."""
PIECE_BYTES = 4 << 20

_LOG = "_delta_log"
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
    """The folder, made with what is missing above it, open to its owner alone."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
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
    seen: dict[str, int] = {}
    for _ in range(TRIES):
        anchor = newest_anchor(anchors)
        if anchor is None:
            return None
        try:
            _copy_at(table, anchor, make_private(target / _name(table)), copied)
        except FileNotFoundError as error:
            state = f"{anchor.name} {anchor.log_version}"
            seen[state] = seen.get(state, 0) + 1
            if seen[state] == UNCHANGED_TRIES:
                raise Corrupted(f"{error} is missing", file=str(error)) from error
            time.sleep(PAUSE_S)
            continue
        copied.put(anchor.data, make_private(target / _name(anchors)) / anchor.name)
        return anchor
    raise StorageUnavailable(f"{table.uri} changed too fast to be copied", uri=table.uri)


def _copy_at(table: Location, anchor: AnchorFile, target: Path, copied: CopiedFiles) -> None:
    """Copy a table as it was when it held what the anchor knows of. Raises FileNotFoundError when that is gone."""
    entries = table.child(_LOG)
    folder = make_private(target / _LOG)
    copied.clear(folder)
    version, names = _entries_at(entries, anchor.log_version)
    for name in names:
        copied.copy(entries, name, folder)
    try:
        rows = pa.table(DeltaTable(str(target), version=version).get_add_actions(flatten=True)).to_pylist()
    except DeltaError as error:
        raise Corrupted(f"the log of {table.uri} cannot be read: {first_line(error)}", file=entries.uri) from error
    if max((row["max.position"] for row in rows), default=0) != anchor.position:
        raise FileNotFoundError(f"{table.uri} as of event {anchor.position}")  # it has gone on: so has its anchor
    named = {row["path"]: row["size_bytes"] for row in rows}
    for path in [path for path in target.iterdir() if path.is_file() and path.name not in named]:
        copied.forget(path)
    for name, size in sorted(named.items(), reverse=True):  # the newest are the next to be taken away
        there = target / name
        if there.relative_to(copied.root).as_posix() not in copied.digests or there.stat().st_size != size:
            copied.copy(table, name, target)
        if there.stat().st_size != size:
            raise Corrupted(f"{table.name_of(name)} does not have the {size} bytes that were written", file=name)


def _entries_at(entries: Location, version: int) -> tuple[int, list[str]]:
    """(version, the log's files that tell of the table then): the version asked for, or that of a later checkpoint when
    the log begins there. Raises FileNotFoundError when some are gone.
    """
    names = set(entries.sizes())
    checkpoints = sorted(int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name)))
    newest = max((number for number in checkpoints if number <= version), default=-1)
    wanted = [f"{number:020d}.json" for number in range(newest + 1, version + 1)]
    missing = [name for name in wanted if name not in names]
    if missing and checkpoints and checkpoints[-1] > version:  # a compaction behind the last append
        version = newest = checkpoints[-1]
        wanted = []
    elif missing:
        raise FileNotFoundError(entries.name_of(missing[0]))
    if newest < 0:
        return version, wanted
    entry = {f"{newest:020d}.json"} & names
    return version, [f"{newest:020d}.checkpoint.parquet", *entry, *wanted]


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
