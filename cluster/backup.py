"""A copy of a whole state, made while an instance runs on it or not, and a new state made of one.

BACKUP/backup.json   what it is, and the SHA-256 of every other file; written last
BACKUP/…             as in the state: format.json, key, secrets/chain.key, shards/

Each shard is copied as of one moment, derived files before the journal that they follow, so that none is ahead of it;
the system shard comes last, so that every cube of a copied shard is known there. All that was answered before the
backup began is in it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from actors.errors import ConfigError, Corrupted, NewerFormat, StateInUse, StorageUnavailable
from actors.stores.journal.copies import problems_of_copy
from actors.stores.location import Location, StorageSpec
from actors.stores.table_copy import CopiedFiles, copy_manifested, copy_table, make_private
from cluster.placing import Report
from cluster.settings import Settings
from cluster.state_folder import StateFolder, write_private

FORMAT = 1
KIND = "memos.backup"
RECORD = "backup.json"
SYSTEM = "system"

_SHARD = re.compile(r"\d{3,}")
_DERIVED = ("vectors", "snapshots")
_JOURNAL, _ANCHORS = "journal", "anchors"


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: files, their bytes, and per shard the number of its events."""

    path: Path
    files: int
    size_bytes: int
    positions: Mapping[str, int]


def back_up(settings: Settings, target: Path, report: Report) -> Backup:
    """Copy the state of `settings` into the folder `target`, which must be new, and check the copy. The folder appears
    once it is whole.

    Raises ConfigError (no state there), StateInUse (`target` is taken), Corrupted, StorageUnavailable.
    """
    state = StateFolder(settings.state_folder)
    if not state.chain_key_file.is_file():
        raise ConfigError(f"{state.path} holds no state: {state.chain_key_file} is missing", setting="state.folder")
    shards = Location(StorageSpec(settings.shards_uri, settings.state.storage_options))
    with _appearing(target) as folder:
        copied = CopiedFiles(folder)
        home = Location(StorageSpec(str(state.path)))
        _copy_settings(state, home, folder, copied)
        names = [name for name in shards.folders() if _SHARD.fullmatch(name)]
        positions: dict[str, int] = {}
        for name in [*names, SYSTEM]:
            report(f"copying shard {name}")
            positions[name] = _copy_shard(shards.child(name), make_private(folder / "shards" / name), copied)
        report("checking the copy")
        _check(folder, bytes.fromhex(state.secret(state.chain_key_file)))
        record = {
            "format": FORMAT,
            "kind": KIND,
            "created_at": datetime.now(UTC).isoformat(),
            "positions": positions,
            "files": copied.digests,
        }
        write_private(folder / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return Backup(target, len(copied.digests), copied.size_bytes, positions)


def restore(source: Path, state_folder: Path, report: Report) -> Backup:
    """Make a state of a backup. `state_folder` must be new, or empty; it appears once everything is there and checked.

    The new state has an instance of its own to come: nothing of the old one's claim is in it. Raises StateInUse,
    Corrupted naming the file, NewerFormat, StorageUnavailable.
    """
    record = _read_record(source)
    with _appearing(state_folder) as folder:
        copied = CopiedFiles(folder)
        report(f"copying {len(record['files'])} files")
        for path, digest in sorted(record["files"].items()):
            _copy_checked(source, path, digest, folder, copied)
        report("checking the copy")
        state = StateFolder(folder)
        _check(folder, bytes.fromhex(state.secret(state.chain_key_file)))
    return Backup(state_folder, len(copied.digests), copied.size_bytes, record["positions"])


def _copy_settings(state: StateFolder, home: Location, folder: Path, copied: CopiedFiles) -> None:
    """Layout and keys. Not the token of the Ray that runs there, nor who runs on it."""
    for file in (state.path / "format.json", state.key_file):
        if file.is_file():
            copied.copy(home, file.name, folder)
    secrets = make_private(folder / state.chain_key_file.parent.name)
    copied.copy(home.child(secrets.name), state.chain_key_file.name, secrets)


def _copy_shard(shard: Location, target: Path, copied: CopiedFiles) -> int:
    """Copy a shard; the number of its events."""
    folders = shard.folders()
    for name in _DERIVED:
        if name in folders:
            copy_manifested(shard.child(name), target / name, copied)
    anchor = copy_table(shard.child(_JOURNAL), shard.child(_ANCHORS), target, copied)
    for name in folders:
        if name != _JOURNAL and shard.child(name).child("_delta_log").sizes():
            copy_table(shard.child(name), shard.child(f"{name}-anchors"), target, copied)
    return 0 if anchor is None else anchor.position


def _check(folder: Path, chain_key: bytes) -> None:
    for shard in sorted((folder / "shards").iterdir()):
        journal, anchors = (Location(StorageSpec(str(shard / name))) for name in (_JOURNAL, _ANCHORS))
        problems = problems_of_copy(journal, anchors, chain_key) if (shard / _JOURNAL).is_dir() else []
        if problems:
            raise Corrupted(f"the copy of shard {shard.name} does not hold: {problems[0]}", file=str(shard))


def _read_record(source: Path) -> dict[str, Any]:
    """What a backup says of itself."""
    file = source / RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        ours = record["kind"] == KIND and isinstance(record["files"], dict) and isinstance(record["positions"], dict)
        known = int(record["format"])
    except FileNotFoundError as error:
        raise Corrupted(
            f"{source} is no backup, or one that was cut short: {file} is missing", file=str(file)
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupted(f"{file} cannot be read as a backup's record", file=str(file)) from error
    if not ours:
        raise Corrupted(f"{file} cannot be read as a backup's record", file=str(file))
    if known > FORMAT:
        raise NewerFormat(f"{source} is a backup of format {known}; this version reads up to {FORMAT}", uri=str(source))
    return dict(record)


def _copy_checked(source: Path, path: str, digest: str, folder: Path, copied: CopiedFiles) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise Corrupted(f"{source / RECORD} names {path!r}, which is not in the backup", file=path)
    target = folder.joinpath(*parts)
    for depth in range(1, len(parts)):
        make_private(folder.joinpath(*parts[:depth]))
    try:
        copied.copy(Location(StorageSpec(str(source.joinpath(*parts[:-1])))), parts[-1], target.parent)
    except FileNotFoundError as error:
        raise Corrupted(f"{source / path} is missing from the backup", file=path) from error
    if copied.digests[path] != digest:
        raise Corrupted(f"{source / path} is not what was backed up", file=path)


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A new folder that gets its name when the block ends, and goes when it fails. StateInUse for a taken name."""
    partial = target.with_name(f".{target.name}.part")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise StateInUse(f"{target} is there already, and not empty; choose another", uri=str(target))
        shutil.rmtree(partial, ignore_errors=True)
        make_private(partial)
        yield partial
        if target.exists():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise StorageUnavailable(f"{target} cannot be written: {error.strerror or error}", uri=str(target)) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
