"""Making local files survive a power cut: sync the file, then the folder that names it."""

from __future__ import annotations

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Return once the content of `path` is on the device. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Return once the names in `path` are on the device: files made, renamed and removed. Raises OSError."""
    sync_file(path)


def make_folder(path: Path) -> None:
    """Make `path` and what is missing above it, each new name synced. Raises OSError."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a new file and sync its content; its name is durable after `sync_folder`. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of `path`, durably: after a crash it holds the old content or the new, whole.

    Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    write_file(temporary, data)
    os.replace(temporary, path)
    sync_folder(path.parent)
