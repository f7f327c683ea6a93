"""The file format of snapshots: blocks of states sorted by chain, and a directory of the blocks at the end.

A state is found by reading the directory, some 10 bytes a chain, and one block. The manifest vouches for the directory
by its digest and the directory for each block, so that nothing is trusted that was not written by an owner of the key,
and yet no more is read than is needed. Writing and reading hold one block in memory.
"""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from actors.errors import Corrupted
from actors.stores.location import Location

BLOCK_BYTES = 128 * 1024
"""States are put into a block until they come to this; a bigger one has a block of its own."""

_CODEC = "zstd"
_HEADER_LENGTH_BYTES = 4

State = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file of states: its size, and where its directory is and the digest that it must have."""

    name: str
    size: int
    directory_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Block:
    """Where a block is, the last chain in it, a 32-bit digest of each, and what it must be: `raw_bytes` is its size
    once decompressed.
    """

    last: str
    chains: array[int]
    offset: int
    size: int
    raw_bytes: int
    sha256: str


class Directory:
    """The blocks of one file, in order of their chains."""

    def __init__(self, blocks: list[_Block]) -> None:
        self.blocks = blocks
        self._last = [block.last for block in blocks]

    def block_of(self, cube_id: str) -> _Block | None:
        """The only block that can hold a chain, and does but for one case in 4 billion; None when there is none."""
        place = bisect_left(self._last, cube_id)
        if place == len(self.blocks) or _digest(cube_id) not in self.blocks[place].chains:
            return None
        return self.blocks[place]


def write_states(location: Location, states: Iterator[State]) -> SnapshotFile:
    """Write sorted states as one durable file that nothing names yet. Raises StorageUnavailable."""
    sink = pa.BufferOutputStream()
    blocks = []
    for rows in _in_blocks(states):
        raw = _packed(rows)
        data = pa.compress(raw, codec=_CODEC, asbytes=True)
        chains = [_digest(cube_id) for cube_id, _ in rows]
        blocks.append([rows[-1][0], chains, sink.tell(), len(data), len(raw), hashlib.sha256(data).hexdigest()])
        sink.write(data)
    directory = json.dumps(blocks).encode()
    sink.write(directory)
    content = sink.getvalue()
    name = f"s-{uuid.uuid4().hex}.states"
    location.write(name, content)
    location.sync()
    return SnapshotFile(name, content.size, len(directory), hashlib.sha256(directory).hexdigest())


def read_directory(location: Location, file: SnapshotFile) -> Directory:
    """Raises Corrupted, StorageUnavailable, and FileNotFoundError when the file is missing."""
    start = file.size - file.directory_bytes
    data = _sound(location, file.name, start, file.directory_bytes, file.sha256)
    try:
        return Directory([_Block(last, array("I", chains), *where) for last, chains, *where in json.loads(data)])
    except (ValueError, TypeError) as error:
        name = location.name_of(file.name)
        raise Corrupted(f"{name}: its directory cannot be decoded", file=name) from error


def read_state(location: Location, file: SnapshotFile, directory: Directory, cube_id: str) -> bytes | None:
    """A chain's state, None when the file has none of it. Raises as `read_directory`."""
    block = directory.block_of(cube_id)
    if block is None:
        return None
    return next((state for name, state in _read_block(location, file, block) if name == cube_id), None)


def read_states(location: Location, file: SnapshotFile, directory: Directory) -> Iterator[State]:
    """Every state, in order of chain. Raises as `read_directory`."""
    for block in directory.blocks:
        yield from _read_block(location, file, block)


def _read_block(location: Location, file: SnapshotFile, block: _Block) -> Iterator[State]:
    data = _sound(location, file.name, block.offset, block.size, block.sha256)
    raw = memoryview(pa.decompress(data, decompressed_size=block.raw_bytes, codec=_CODEC, asbytes=True))
    start = _HEADER_LENGTH_BYTES + int.from_bytes(raw[:_HEADER_LENGTH_BYTES], "little")
    for cube_id, size in json.loads(bytes(raw[_HEADER_LENGTH_BYTES:start])):
        yield cube_id, bytes(raw[start : start + size])
        start += size


def _digest(cube_id: str) -> int:
    return zlib.crc32(cube_id.encode())


def _packed(rows: list[State]) -> bytes:
    header = json.dumps([[cube_id, len(state)] for cube_id, state in rows]).encode()
    return b"".join([len(header).to_bytes(_HEADER_LENGTH_BYTES, "little"), header, *(state for _, state in rows)])


def _sound(location: Location, name: str, offset: int, size: int, sha256: str) -> bytes:
    data = location.read_part(name, offset, size)
    if hashlib.sha256(data).hexdigest() != sha256:
        path = location.name_of(name)
        raise Corrupted(f"{path} is not what was written: {size} bytes at {offset} have another SHA-256", file=path)
    return data


def _in_blocks(states: Iterable[State]) -> Iterator[list[State]]:
    rows: list[State] = []
    size = 0
    for state in states:
        rows.append(state)
        size += len(state[1])
        if size >= BLOCK_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows
