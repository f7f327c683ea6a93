"""What every benchmark's report says beside its figures: machine, commit, packages, date. And percentiles."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

Json = dict[str, Any]

PACKAGES = ("ray", "torch", "transformers", "faiss-cpu", "tantivy", "deltalake", "pyarrow", "numpy")
"""Packages whose versions move figures."""

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd", "sve", "bf16")
"""Instructions that decide how fast a processor computes embeddings."""


@dataclass(frozen=True, slots=True)
class Point:
    """Latency at one load: `x` is the load in the curve's unit, `label` how it was made (clients, say)."""

    label: str
    x: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    def as_json(self) -> Json:
        return {
            "label": self.label,
            "x": self.x,
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "p99_ms": self.p99_ms,
        }


@dataclass(frozen=True, slots=True)
class Curve:
    """Latency against load, for a picture. `unit` names what x counts, such as "searches/s"."""

    name: str
    unit: str
    points: tuple[Point, ...]

    def as_json(self) -> Json:
        return {"name": self.name, "unit": self.unit, "points": [point.as_json() for point in self.points]}


def framed(name: str, settings: Mapping[str, Any], result: Json) -> Json:
    """The whole report of the benchmark `name`; `result` holds its figures."""
    return {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "settings": dict(settings),
        "result": result,
    }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """{"p50_ms", "p95_ms", "p99_ms"} of durations in seconds, interpolated; zeros when there are none."""
    values = np.percentile(np.asarray(seconds) * 1000, (50, 95, 99)) if len(seconds) else np.zeros(3)
    return {f"p{q}_ms": round(float(value), 2) for q, value in zip((50, 95, 99), values, strict=True)}


def ratio(ours: float, limit: float) -> float | None:
    """ours ÷ limit; None where there is no limit to speak of."""
    return round(ours / limit, 3) if limit > 0 else None


def machine() -> Json:
    """The processor, its cores and instructions, the memory."""
    model, flags = _processor()
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "processor": model,
        "flags": [flag for flag in FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> tuple[str, frozenset[str]]:
    """Model name and flags as Linux tells them; elsewhere what Python knows."""
    known: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as rows:
            for row in rows:
                name, _, value = row.partition(":")
                known.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    model = known.get("model name") or platform.processor() or platform.machine()
    return model, frozenset((known.get("flags") or known.get("Features") or "").split())


def commit() -> str:
    """The commit that the code is at, with "-dirty" when files differ from it; "unknown" outside of a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
