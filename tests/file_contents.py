"""What is in a file, whatever it is: for tests that look for what must not be there."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def file_contents(path: Path) -> list[str]:
    """A file's bytes as text, and the values of a Parquet file. Nothing of a file that is gone meanwhile."""
    try:
        contents = [path.read_bytes().decode("utf-8", errors="replace")]
        if path.suffix == ".parquet":
            contents.append(json.dumps(pq.read_table(path).to_pylist(), default=_shown, ensure_ascii=False))
    except (FileNotFoundError, pa.ArrowInvalid):
        return []
    return contents


def _shown(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
