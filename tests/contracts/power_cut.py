"""A power cut, as bad as it may be: whatever was not synced by then is not on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from enum import Enum
from pathlib import Path

import pytest


class Names(Enum):
    """What a file system may have done with names that nobody synced: kept none of them, or all."""

    SYNCED = "synced"
    ALL = "all"


class PowerCut:
    """Follows every sync below `root`. `image` writes what would be left if the power went now.

    A context manager: until it ends, no inode that was synced is given to another file, which would otherwise
    count as synced with the content of the deleted one.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._held = ExitStack()
        self._contents: dict[int, bytes] = {}
        self._folders: dict[int, dict[str, int]] = {}
        self._fsync = os.fsync
        self.before_sync: Callable[[], None] = lambda: None
        patch.setattr(os, "fsync", self._follow)

    def __enter__(self) -> PowerCut:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _follow(self, descriptor: int) -> None:
        self.before_sync()
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self._fsync(descriptor)
        inode = path.stat().st_ino
        if inode not in self._folders and inode not in self._contents:
            self._held.callback(os.close, os.dup(descriptor))
        if path.is_dir():
            self._folders[inode] = {child.name: child.stat().st_ino for child in path.iterdir()}
        else:
            self._contents[inode] = path.read_bytes()

    def image(self, target: Path, names: Names) -> None:
        """The disk after the cut, under `target`. Files whose content was never synced are there empty."""
        self._restore(self._root, self._root.stat().st_ino, target, names)

    def _restore(self, folder: Path, inode: int, target: Path, names: Names) -> None:
        target.mkdir()
        known = self._folders.get(inode, {})
        if names is Names.ALL:
            known = {child.name: child.stat().st_ino for child in folder.iterdir()}
        for name, child in known.items():
            if child in self._folders or (folder / name).is_dir():
                self._restore(folder / name, child, target / name, names)
            else:
                (target / name).write_bytes(self._contents.get(child, b""))
