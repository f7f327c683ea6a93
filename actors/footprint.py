"""What this process takes of its machine's memory, and what the machine has: for `status`."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from actors.memory.ports import JsonObject

CGROUP = Path("/sys/fs/cgroup")
ROLLUP = Path("/proc/self/smaps_rollup")


def footprint() -> JsonObject:
    """This process's pid and memory, and its machine's. Cheap: a few small files are read.

    `rss_bytes` counts what is shared with other processes whole, `pss_bytes` its share of that, `uss_bytes` none of
    it; the latter two are None where the system does not tell (Linux does).
    """
    shares = _shares()
    return {
        "process": {
            "pid": os.getpid(),
            "rss_bytes": int(psutil.Process().memory_info().rss),
            "pss_bytes": shares.get("Pss"),
            "uss_bytes": shares["Private_Clean"] + shares["Private_Dirty"] if shares else None,
        },
        "machine": {"total_bytes": total_memory_bytes(), "available_bytes": available_memory_bytes()},
    }


def total_memory_bytes() -> int:
    """Memory of the machine, or of the control group that we are in when that has less."""
    total, limit = int(psutil.virtual_memory().total), _group_limit()
    return total if limit is None else min(total, limit)


def available_memory_bytes() -> int:
    """Memory that may still be used, by the machine and by the control group that we are in."""
    free, limit = int(psutil.virtual_memory().available), _group_limit()
    if limit is None:
        return free
    return max(0, min(free, limit - int((CGROUP / "memory.current").read_text(encoding="ascii"))))


def _group_limit() -> int | None:
    """What our control group may use; None when nothing says, or no limit is set."""
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None  # no control groups of version 2 here
    return int(limit) if limit.isdecimal() and (CGROUP / "memory.current").exists() else None


def _shares() -> dict[str, int]:
    """Field -> bytes of the kernel's sum over our mappings; empty where there is none."""
    try:
        lines = ROLLUP.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in fields}
