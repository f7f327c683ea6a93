"""A cube's state as the bytes of its snapshot, and back, without the whole of it in any third form between.

Of a large one, a line of JSON for everything but the memories, then one for each memory, compressed as they are made.
What is held beside the state is what the lines take compressed. A small one is plain JSON: many of them are compressed
together.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import orjson
import pyarrow as pa

from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import history_of, snapshot_of, snapshot_without_history

_CODEC = "zstd"
LARGE_BYTES = 1 << 20
"""What a state takes in memory from which on it is compressed by itself."""

_MAGIC = b"\x28\xb5\x2f\xfd"
"""How what was compressed so begins. JSON begins otherwise."""

BUFFER_BYTES = 1 << 20


def encoded(state: CubeState) -> bytes:
    if state.held_bytes < LARGE_BYTES:
        return orjson.dumps(snapshot_of(state))
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, _CODEC) as stream, io.BufferedWriter(cast(Any, stream), BUFFER_BYTES) as out:
        out.write(orjson.dumps(snapshot_without_history(state)) + b"\n")
        for memory in history_of(state):
            out.write(orjson.dumps(memory) + b"\n")
    return bytes(sink.getvalue())


def decoded(stored: bytes) -> dict[str, Any]:
    """What `cube_snapshots.state_of` takes; its history is read as it is asked for, once."""
    if not stored.startswith(_MAGIC):
        plain: dict[str, Any] = orjson.loads(stored)
        return plain
    stream = pa.CompressedInputStream(pa.BufferReader(stored), _CODEC)
    lines = io.BufferedReader(cast(Any, stream), BUFFER_BYTES)
    head: dict[str, Any] = orjson.loads(lines.readline())
    return {**head, "history": _each(lines)}


def _each(lines: io.BufferedReader) -> Iterator[Any]:
    for line in lines:
        yield orjson.loads(line)
