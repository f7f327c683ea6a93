"""Whether the files of a tantivy index are what was written: tantivy stores a checksum a file, but does not look."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

_FOOTER_MAGIC = 1337
_TAIL_BYTES = 8
"""A file ends with a JSON footer, then its length and the magic number, both 32-bit little-endian."""


def find_damage(folder: Path) -> str:
    """The first damaged or missing segment file and what is wrong with it, in words; empty when all hold."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        named = {segment["segment_id"].replace("-", "") for segment in meta["segments"]}
    except FileNotFoundError:
        left = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        return f"meta.json is missing beside {left[0]}" if left else ""
    except (ValueError, KeyError, TypeError) as error:
        return f"meta.json is damaged: {error}"
    for path in sorted(folder.iterdir()):
        if path.name.split(".")[0] in named:
            reason = _damage_of(path)
            if reason:
                return f"{path.name} {reason}"
    return ""


def _damage_of(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:  # merged away since the folder was listed
        return ""
    footer_bytes = int.from_bytes(raw[-8:-4], "little")
    if len(raw) < _TAIL_BYTES or int.from_bytes(raw[-4:], "little") != _FOOTER_MAGIC or footer_bytes > len(raw):
        return "is truncated"
    body_end = len(raw) - _TAIL_BYTES - footer_bytes
    try:
        expected = json.loads(raw[body_end:-_TAIL_BYTES])["crc"]
    except (ValueError, KeyError, TypeError):
        return "has a damaged footer"
    return "" if zlib.crc32(memoryview(raw)[:body_end]) == expected else "has another checksum than when it was written"
