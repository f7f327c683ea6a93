"""A MemCube archive: its members, its manifest and its checksums, and the tar that holds them. Pure.

A tar of regular files, in this order:

manifest.json                 what it is, known before anything else of it is read
events/000000.parquet …       the cube's events, oldest first
vectors/000000.safetensors …  the vectors of its rows, each with the digest of its text
checksums.json                SHA-256 of every member before it, the manifest's too
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from actors.errors import ArchiveRefused, NewerArchive
from actors.memory.upcasting import OLDEST, SCHEMA

FORMAT = 1
"""Version of the archive's layout. Readers refuse newer ones."""

KIND = "memos.memcube"
MANIFEST = "manifest.json"
CHECKSUMS = "checksums.json"

BLOCK_BYTES = 512
END_BYTES = 2 * BLOCK_BYTES
"""Two empty blocks end a tar."""

PART_BYTES = 24 << 20
"""A member of events or vectors. Those that are written stay far below."""

MANIFEST_BYTES = 64 << 10
CHECKSUMS_BYTES = 4 << 20
MEMBERS = 30_000

FOLDERS: Mapping[str, str] = {"events": "parquet", "vectors": "safetensors"}
"""Folders of numbered members in the order in which they come, and what their files end in."""

_NAME = re.compile(r"(events|vectors)/(\d{6})\.(parquet|safetensors)")


def part_name(folder: str, number: int) -> str:
    """The name of member `number` of a folder."""
    return f"{folder}/{number:06d}.{FOLDERS[folder]}"


def part_of(name: str) -> tuple[str, int] | None:
    """(folder, number) of a numbered member's name, None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None or FOLDERS[match[1]] != match[3]:
        return None
    return match[1], int(match[2])


@dataclass(frozen=True, slots=True)
class Manifest:
    """`cube_id` and `name` are those of the cube where the history began, `version` counts the events. Without
    `history` every memory was added once, as it stood. `model_id` and `dimension` are the vectors'.
    """

    cube_id: str
    name: str
    version: int
    history: bool
    model_id: str
    dimension: int
    exported_at_us: int
    schema: int = SCHEMA

    def encode(self) -> bytes:
        exported_at = datetime.fromtimestamp(self.exported_at_us / 1_000_000, UTC).isoformat(timespec="microseconds")
        return _encode(
            {
                "format": FORMAT,
                "kind": KIND,
                "cube": {"id": self.cube_id, "name": self.name, "version": self.version},
                "history": self.history,
                "events": {"schema": self.schema},
                "vectors": {"model": self.model_id, "dimension": self.dimension},
                "timestamps": {"exported_at": exported_at},
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Raises ArchiveRefused, and NewerArchive before it looks at what a newer version may have changed."""
        found = _decoded(data, MANIFEST)
        if found.get("kind") != KIND:
            raise _refused("this is not a MemCube archive: its manifest does not say so", "manifest")
        _check_format(found.get("format"), FORMAT, "archive")
        try:
            _check_format(found["events"]["schema"], SCHEMA, "event", OLDEST)
            exported_at = datetime.fromisoformat(found["timestamps"]["exported_at"])
            manifest = cls(
                cube_id=_text(found["cube"]["id"]),
                name=_text(found["cube"]["name"]),
                version=_count(found["cube"]["version"]),
                history=found["history"] is True,
                model_id=_text(found["vectors"]["model"]),
                dimension=_count(found["vectors"]["dimension"]),
                exported_at_us=round(exported_at.timestamp() * 1_000_000),
                schema=found["events"]["schema"],
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise _refused("its manifest lacks something, or holds what does not belong there", "manifest") from error
        if manifest.encode() != data:
            raise _refused("its manifest is not written as this version writes it", "manifest")
        return manifest


def _check_format(found: Any, known: int, what: str, oldest: int = 1) -> None:
    if isinstance(found, bool) or not isinstance(found, int) or found < oldest:
        raise _refused(f"its manifest names no {what} format", "manifest")
    if found > known:
        raise NewerArchive(
            f"the archive has {what} format {found}; this version reads up to {known}: use a newer version",
            format=found,
            reads=known,
        )


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 256:
        raise ValueError("not a text")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 40:
        raise ValueError("not a count")
    return value


def encode_checksums(digests: Mapping[str, str]) -> bytes:
    return _encode({"format": FORMAT, "sha256": dict(digests)})


def decode_checksums(data: bytes) -> dict[str, str]:
    """{member: SHA-256 in hex}. Raises ArchiveRefused."""
    digests = _decoded(data, CHECKSUMS).get("sha256")
    if not isinstance(digests, dict):
        raise _refused("its checksums cannot be read", "checksum")
    return digests


def _encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def _decoded(data: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(f"{name} is not JSON", "manifest") from error
    if not isinstance(found, dict):
        raise _refused(f"{name} is not an object", "manifest")
    return found


def _refused(detail: str, reason: str) -> ArchiveRefused:
    return ArchiveRefused(f"the archive is refused: {detail}", reason=reason)


def tar_header(name: str, size: int) -> bytes:
    """The header of a regular file. Nothing in it depends on when, where or by whom it was written."""
    fields = [
        name.encode().ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        f"{size:011o}\0".encode(),
        b"00000000000\0",
        b" " * 8,
        b"0",
        bytes(100),
        b"ustar\x0000",
        bytes(247),
    ]
    header = b"".join(fields)
    return header[:148] + f"{sum(header):06o}\0 ".encode() + header[156:]


def padding(size: int) -> bytes:
    """What fills a member up to a whole block."""
    return bytes(-size % BLOCK_BYTES)


@dataclass(slots=True)
class ArchiveWriter:
    """Makes an archive, piece by piece: what it gives is to be sent in that order."""

    digests: dict[str, str] = field(default_factory=dict)

    def member(self, name: str, data: bytes) -> Iterator[bytes]:
        self.digests[name] = hashlib.sha256(data).hexdigest()
        yield tar_header(name, len(data))
        yield data
        yield padding(len(data))

    def end(self) -> Iterator[bytes]:
        """The checksums, and the end of the tar."""
        data = encode_checksums(self.digests)
        yield tar_header(CHECKSUMS, len(data))
        yield data + padding(len(data)) + bytes(END_BYTES)
