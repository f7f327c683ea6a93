"""A process of its own that ends itself with SIGKILL before a given step of its work on storage."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from actors.stores import durability, location
from actors.stores.journal.deltalog import DeltaLog
from actors.stores.lexical import rewriting


class KillSwitch:
    """Ends this process before the `at`-th thing that it does to storage after it was armed."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.armed = False

    def guard(self, owner: Any, name: str) -> None:
        done: Callable[..., Any] = getattr(owner, name)

        def guarded(*args: Any, **options: Any) -> Any:
            if self.armed:
                self.left -= 1
                if self.left <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return done(*args, **options)

        setattr(owner, name, guarded)

    def install(self) -> None:
        """Before every file written, put in place, deleted or synced, every commit, and every step of a rewriting."""
        for owner, name in (
            (location, "write_file"),
            (durability, "write_file"),
            (location, "sync_folder"),
            (location.Location, "delete"),
            (DeltaLog, "_commit"),
            (DeltaLog, "checkpoint"),
            (rewriting, "copy_documents"),
            (rewriting, "take_place"),
            (os, "rename"),
            (shutil, "rmtree"),
        ):
            self.guard(owner, name)


def in_child(work: Callable[[], None]) -> int:
    """The exit code of a process of its own that does the work, -9 when it was killed."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the outer loop of the child: its parent is told by the exit code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
