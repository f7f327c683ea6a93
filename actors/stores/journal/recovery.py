"""What opening finds after a crash: a torn last commit, files that no commit names, a damaged log.

A commit is acknowledged only after its data file and log entry were synced. So a last log entry that
is empty, cut, or names a data file that is missing or short was never acknowledged, unless the anchor
says otherwise: it is set aside under `_torn/`. Damage anywhere else is Corrupted.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from actors.errors import Corrupted
from actors.stores.durability import make_folder, sync_folder
from actors.stores.journal.datafiles import DataFile, epoch_of
from actors.stores.location import Location, decoding_errors, storage_errors

log = logging.getLogger(__name__)

_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
_HINT = "_last_checkpoint"
_STAGED = re.compile(r"(?:\d{20}\.(?:json|checkpoint\.parquet)|_last_checkpoint)#\d+")
"""What a local store writes before it links the file under its name; the process that wrote it may be gone."""


def mend_log(table: Location, anchored_version: Callable[[], int]) -> None:
    """Set a torn last commit and a torn checkpoint of a local table aside, and check the log before them.

    `anchored_version` answers the log version that the anchor has seen. Raises Corrupted naming the file.
    A live owner may be committing meanwhile: what looks damaged is judged only once the log stands still.
    """
    if table.local is None or not (table.local / "_delta_log").is_dir():
        return
    folder = table.child("_delta_log")
    for last_try in (False, False, False, True):
        names = set(folder.sizes())
        try:
            torn = _find_torn(table, folder, names, anchored_version)
        except Corrupted:
            if last_try or set(folder.sizes()) == names:
                raise
            continue
        if torn is None:
            return
        if set(folder.sizes()) == names:
            log.warning("%s %s: never acknowledged; set aside under _torn/", folder.name_of(torn[0]), torn[1])
            _set_aside(table, folder, torn[0])
            folder.delete(_HINT)


def _find_torn(
    table: Location, folder: Location, names: set[str], anchored_version: Callable[[], int]
) -> tuple[str, str] | None:
    """The file to set aside and what is wrong with it, None when the log holds. Raises Corrupted."""
    checkpoint, torn = _newest_checkpoint(folder, names)
    if torn is not None:
        return torn
    versions = [v for v in _versions(names, _ENTRY) if v > checkpoint]
    for expected, version in enumerate(versions, start=checkpoint + 1):
        if version != expected:
            name = folder.name_of(_entry(expected))
            raise Corrupted(f"{name} is missing: the log goes on to {versions[-1]}", file=name)
    for version in versions:
        last = version == versions[-1]
        reason = _damage(table, folder, version, with_data=last)
        if reason is None:
            continue
        if last and version > anchored_version():
            return _entry(version), reason
        if not last or _damage(table, folder, version, with_data=False) is not None:
            name = folder.name_of(_entry(version))
            raise Corrupted(f"{name} {reason}", file=name)
    return None


def sync_log(table: Location) -> int:
    """Make every log entry since the last checkpoint durable: an earlier owner may have died before its sync.

    Answers how many there are.
    """
    folder = table.child("_delta_log")
    names = set(folder.sizes())
    checkpoint = max(_versions(names, _CHECKPOINT), default=-1)
    entries = [_entry(v) for v in _versions(names, _ENTRY) if v > checkpoint]
    folder.sync(*entries)
    return len(entries)


def sync_entry(table: Location, version: int) -> None:
    """Make one log entry durable."""
    table.child("_delta_log").sync(_entry(version))


def sync_checkpoint(table: Location, version: int) -> None:
    """Make a checkpoint durable, and the hint that names it. Before that, no entry below it may go."""
    table.child("_delta_log").sync(f"{version:020d}.checkpoint.parquet", _HINT)


def check_present(table: Location, files: tuple[DataFile, ...]) -> None:
    """Corrupted, naming the first committed data file that is missing or of another size."""
    sizes = table.sizes()
    for file in files:
        size = sizes.get(file.name)
        name = table.name_of(file.name)
        if size is None:
            raise Corrupted(f"{name} is missing: it holds events {file.first} to {file.last}", file=name)
        if size != file.size:
            raise Corrupted(f"{name} has {size} bytes, {file.size} were written", file=name)


def collect_orphans(table: Location, files: tuple[DataFile, ...], epoch: int) -> int:
    """Delete data files that no commit names, of owners before `epoch`, and halves of log entries; the number deleted.

    Safe once the claim of `epoch` is committed: what an earlier owner has not committed by then, it never can.
    """
    live = {file.name for file in files}
    dead = [name for name in table.sizes() if name not in live and (epoch_of(name) or epoch) < epoch]
    for name in dead:
        table.delete(name)
    entries = table.child("_delta_log")
    staged = [name for name in entries.sizes() if _STAGED.fullmatch(name)]
    for name in staged:
        entries.delete(name)
    number = len(dead) + len(staged)
    if number:
        log.info("%s: %d files of commits that never were, or that compaction replaced, deleted", table.uri, number)
    return number


def _versions(names: set[str], pattern: re.Pattern[str]) -> list[int]:
    matches = (pattern.fullmatch(name) for name in names)
    return sorted(int(match[1]) for match in matches if match)


def _entry(version: int) -> str:
    return f"{version:020d}.json"


def _newest_checkpoint(folder: Location, names: set[str]) -> tuple[int, tuple[str, str] | None]:
    """The newest checkpoint's version, -1 without one; and itself as torn, when the entries hold what it held."""
    found = _versions(names, _CHECKPOINT)
    if not found:
        return -1, None
    name = f"{found[-1]:020d}.checkpoint.parquet"
    try:
        with decoding_errors(folder.name_of(name)), folder.open(name) as source:
            pq.ParquetFile(source)
    except Corrupted:
        earlier = found[-2] if len(found) > 1 else -1
        if not set(range(earlier + 1, found[-1] + 1)) <= set(_versions(names, _ENTRY)):
            raise
        return earlier, (name, "cannot be decoded, and the log still holds what it held")
    return found[-1], None


def _damage(table: Location, folder: Location, version: int, *, with_data: bool) -> str | None:
    """Why a log entry cannot be used, None when it can. Its data files are looked at only `with_data`."""
    data = folder.read(_entry(version)) or b""
    if not data.strip():
        return "is empty"
    try:
        actions = [json.loads(line) for line in data.splitlines() if line.strip()]
        adds = [action["add"] for action in actions if "add" in action]
        named = [(add["path"], add["size"]) for add in adds]
    except (ValueError, KeyError, TypeError):
        return "cannot be decoded"
    sizes = table.sizes() if with_data else {}
    for path, size in named if with_data else []:
        if sizes.get(path) != size:
            return f"names {path}, which is missing or not as long as written"
    return None


def _set_aside(table: Location, folder: Location, name: str) -> None:
    if table.local is None or folder.local is None:
        return
    torn: Path = table.local / "_torn"
    with storage_errors(folder.name_of(name), "set aside"):
        make_folder(torn)
        taken = sum(1 for known in torn.iterdir() if known.name.startswith(name))
        os.replace(folder.local / name, torn / (f"{name}.{taken}" if taken else name))
        sync_folder(torn)
        sync_folder(folder.local)


def sync_data(table: Location, file: DataFile) -> None:
    """Make a committed data file durable: its owner may have died before its sync."""
    table.sync(file.name)
