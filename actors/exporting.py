"""An export: the archive of a cube as it stood at one version, made piece by piece while it is sent.

It holds one part at a time. What is committed meanwhile is not in it: events beyond the version are passed over, and
what a memory was at a version never changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from actors.errors import Conflict, CubeNotFound, VersionNotFound
from actors.memory.archive_erasure import later_tombstones, leaving
from actors.memory.archive_events import ArchivedEvent, origin_of, squashed, standing
from actors.memory.archive_format import MANIFEST, ArchiveWriter, Manifest, part_name
from actors.memory.cube import CubeState
from actors.memory.item import Memory
from actors.memory.requests import ExportCube
from actors.memory.rows import Rows
from actors.shard_archives import ShardArchives
from actors.stores.archive.parts import (
    CONTENT_PER_PART,
    DIGEST_BYTES,
    EVENTS_PER_PART,
    VECTORS_PER_PART,
    encode_events,
    encode_vectors,
)

CHUNK_BYTES = 512 << 10
"""What one call hands out, at most."""


@dataclass(frozen=True, slots=True)
class CubeAt:
    """A cube at a version: what an archive of it is made of. `state` may grow meanwhile; `rows` are the numbers of the
    rows whose vectors belong to it, in order, and `memories` what stands without history, None with it. `erased` is
    what was erased when the export began, and `tombstones` the events that say so behind an earlier version.
    """

    state: CubeState
    version: int
    manifest: Manifest
    rows: list[int]
    memories: list[Memory] | None
    erased: frozenset[str]
    tombstones: list[ArchivedEvent]


def cube_at(shard: ShardArchives, cube_id: str, request: ExportCube, now_us: int) -> CubeAt:
    """Raises VersionNotFound for a version that the cube has not reached, or a time before it was created, CubeNotFound
    for a cube that was erased.
    """
    with shard.pinned(cube_id) as opened:
        with opened.lock:
            state = opened.state
            version, newest, erased = state.version_of(request.as_of), state.version, frozenset(state.erased)
        if cube_id in erased:
            raise CubeNotFound(f"no cube {cube_id!r}", cube=cube_id)
        if version == 0:
            raise VersionNotFound(f"cube {cube_id!r} was not there yet", cube=cube_id, version=newest)
        origin, tombstones = origin_of(state), []
        if request.history and any(gone.version > version for gone in state.erased.copy().values()):
            tombstones = later_tombstones(shard.events(cube_id, newest), version, origin)
        with opened.lock:
            _, name, _ = max(meta for meta in state.meta_history if meta[0] <= version)
            memories = None if request.history else standing(state, version)
            rows = rows_of_history(state.rows, version) if memories is None else rows_of(state.rows, version, memories)
        rows = [row for row in rows if state.rows.memory_ids[row] not in erased]
        count = version + len(tombstones) if memories is None else 1 + len(memories)
        manifest = Manifest(origin, name, count, request.history, shard.model_id, shard.dimension, now_us)
    return CubeAt(state, version, manifest, rows, memories, erased, tombstones)


def rows_of_history(rows: Rows, version: int) -> list[int]:
    """The rows that were there at a version, live or not."""
    return [row for row, since in enumerate(rows.first_since()) if since <= version]


def rows_of(rows: Rows, version: int, memories: Iterable[Memory]) -> list[int]:
    """The rows that were live at a version, in the order of their memories."""
    live = {rows.memory_ids[row]: row for row in np.flatnonzero(rows.live(version)).tolist()}
    return [live[memory.id] for memory in memories if memory.id in live]


def archive_of(shard: ShardArchives, cube: CubeAt) -> Iterator[bytes]:
    """The bytes of the archive, in order."""
    writer = ArchiveWriter()
    yield from writer.member(MANIFEST, cube.manifest.encode())
    for number, part in enumerate(_event_parts(_events(shard, cube))):
        _check_erased(shard, cube)
        yield from writer.member(part_name("events", number), encode_events(part))
    for number, data in enumerate(_vector_parts(shard, cube)):
        _check_erased(shard, cube)
        yield from writer.member(part_name("vectors", number), data)
    yield from writer.end()


def _events(shard: ShardArchives, cube: CubeAt) -> Iterator[ArchivedEvent]:
    if cube.memories is None:
        events = shard.events(cube.state.cube_id, cube.version)
        return chain(leaving(events, cube.manifest.cube_id, cube.erased), cube.tombstones)
    return squashed(cube.state, cube.version, cube.memories)


def _check_erased(shard: ShardArchives, cube: CubeAt) -> None:
    """Raise Conflict when something was erased since the export began: it may be in what comes next."""
    with shard.pinned(cube.state.cube_id) as opened, opened.lock:
        erased = len(opened.state.erased)
    if erased != len(cube.erased):
        raise Conflict("memories of the cube were erased meanwhile; export it again", cube=cube.state.cube_id)


def _event_parts(events: Iterable[ArchivedEvent]) -> Iterator[list[ArchivedEvent]]:
    part: list[ArchivedEvent] = []
    content = 0
    for event in events:
        part.append(event)
        content += len(event.content or b"")
        if len(part) >= EVENTS_PER_PART or content >= CONTENT_PER_PART:
            yield part
            part, content = [], 0
    if part:
        yield part


def _vector_parts(shard: ShardArchives, cube: CubeAt) -> Iterator[bytes]:
    """Those that are there: a row whose vector is not made yet is embedded by who imports it."""
    cube_id, texts = cube.state.cube_id, cube.state.rows.texts
    shard.await_vectors(cube_id, cube.version)
    place = {row: number for number, row in enumerate(cube.rows)}
    for start in range(0, len(cube.rows), VECTORS_PER_PART):
        with shard.pinned(cube_id):
            found, vectors = shard.vectors(cube_id, cube.rows[start : start + VECTORS_PER_PART])
        if len(found):
            order = sorted(range(len(found)), key=lambda at: place[int(found[at])])
            digests = np.stack([text_digest(texts[int(found[at])]) for at in order])
            yield encode_vectors(digests, vectors[order].astype(np.float16))


def text_digest(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """What tells whose vector one is: of shape (DIGEST_BYTES,)."""
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:DIGEST_BYTES], dtype=np.uint8)


def in_chunks(pieces: Iterable[bytes]) -> Generator[bytes]:
    """The same bytes, CHUNK_BYTES at a time."""
    held = bytearray()
    for piece in pieces:
        held += piece
        start = 0
        while len(held) - start >= CHUNK_BYTES:
            yield bytes(held[start : start + CHUNK_BYTES])
            start += CHUNK_BYTES
        del held[:start]
    if held:
        yield bytes(held)


class Export:
    """One that is under way. Not thread-safe: its session lets one call in at a time."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._chunks = in_chunks(pieces)
        self._number = 0
        self._last = b""

    def chunk(self, number: int) -> bytes:
        """Chunk `number`, from 0, empty behind the last. The newest may be asked for again: its answer may be lost."""
        if number == self._number - 1:
            return self._last
        if number != self._number:
            raise ValueError(f"the next chunk is {self._number}, not {number}")
        self._last = next(self._chunks, b"")
        self._number += 1
        return self._last

    def close(self) -> None:
        self._chunks.close()
        self._last = b""
