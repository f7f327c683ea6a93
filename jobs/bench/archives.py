"""A large archive, made up, is imported and exported: how fast, and what memory processes take beyond the open cube.

    python -m jobs.bench.archives --url URL --key KEY --memories 100000 --chars 600 --json FILE

The archive is written to a file beside, with random vectors of the model that the system has. `over_the_cube` is the
growth of all that serves beyond what the hosts count for the cube that they have opened then, over the archive's size.
"""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from actors.errors import Unavailable
from actors.exporting import text_digest
from actors.memory.archive_events import ArchivedEvent
from actors.memory.archive_format import MANIFEST, ArchiveWriter, Manifest, part_name
from actors.memory.events import encode_content
from actors.memory.policy import merged_policy
from actors.stores.archive.parts import EVENTS_PER_PART, encode_events, encode_vectors
from jobs.bench.contract import Benchmark, Count, Progress, ServerArguments
from jobs.bench.processes import MIB, MemoryWatch
from jobs.bench.report import Json, ratio
from jobs.bench.served import Served, served
from jobs.bench.turns import turns

PIECE_BYTES = 1 << 20
BEGAN_US = 1_700_000_000_000_000


class ArchivesArguments(ServerArguments):
    memories: Count = Field(100_000, description="of the archive")
    chars: Annotated[int, Field(ge=20, le=60_000, description="characters of each memory")] = 600
    seed: int = 0


def measure(args: ArchivesArguments, progress: Progress) -> Json:
    with served(args.url, args.key) as system, tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        made, back = Path(folder) / "made.tar", Path(folder) / "back.tar"
        _write(made, args, system.status()["embedder"])
        progress(0.2)
        cube, size = f"bench-archive-{uuid.uuid4().hex[:8]}", made.stat().st_size
        open_before = _open_bytes(system)
        with MemoryWatch(system.processes()) as importing:
            import_s = _import(system, made, cube)
        counted = _open_bytes(system) - open_before
        progress(0.7)
        try:
            with MemoryWatch(system.processes()) as exporting:
                export_s = _export(system, cube, back)
        finally:
            system.control.delete(f"/v1/cubes/{cube}?reason=benchmark+over")
        same = _same(made, back)
    growth_mib = importing.as_json()["most_mib"] - importing.before["total"]
    return {
        "archive_mib": round(size / MIB, 1),
        "import": {"s": round(import_s, 1), "memories_per_s": round(args.memories / import_s), **importing.as_json()},
        "open_cube_mib": round(counted / MIB, 1),
        "growth_mib": round(growth_mib, 1),
        "over_the_cube": ratio(max(0.0, growth_mib - counted / MIB), size / MIB),
        "export": {"s": round(export_s, 1), "mib_per_s": round(size / MIB / export_s, 1), **exporting.as_json()},
        "the_same_but_for_the_timestamp": same,
    }


def _import(system: Served, archive: Path, cube: str) -> float:
    """Seconds from the first byte to the answer."""
    began = time.monotonic()
    headers = {"Content-Type": "application/x-tar", "Content-Length": str(archive.stat().st_size)}
    answer = system.control.post(f"/v1/cubes/import?id={cube}", content=_pieces(archive), headers=headers, timeout=1800)
    if answer.status_code != 201:
        raise Unavailable(f"the import was answered {answer.status_code}: {answer.text[:300]}")
    return time.monotonic() - began


def _export(system: Served, cube: str, target: Path) -> float:
    began = time.monotonic()
    with system.control.stream("GET", f"/v1/cubes/{cube}/export", timeout=600) as answer, target.open("wb") as out:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            out.write(piece)
    return time.monotonic() - began


def _pieces(archive: Path) -> Iterator[bytes]:
    with archive.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _same(one: Path, other: Path) -> bool:
    """Whether two archives hold the same behind their manifests, their checksums left out."""
    size = min(one.stat().st_size, other.stat().st_size)
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        a.seek(1536)
        b.seek(1536)
        left = size - 1536 - (1 << 20)  # checksums and end are within the last megabyte
        while left > 0:
            piece = min(PIECE_BYTES, left)
            if a.read(piece) != b.read(piece):
                return False
            left -= piece
    return True


def _open_bytes(system: Served) -> int:
    return sum(int(host["memory"]["open_bytes"]) for host in system.status()["hosts"])


def _write(target: Path, args: ArchivesArguments, embedder: Json) -> None:
    """An archive with history: each memory is added once, a second after the one before."""
    writer, dimension = ArchiveWriter(), int(embedder["dimension"])
    manifest = Manifest("bench", "Benchmark", args.memories + 1, True, embedder["model"], dimension, BEGAN_US)
    numbers = np.random.default_rng(args.seed)
    with target.open("wb") as out:
        out.writelines(writer.member(MANIFEST, manifest.encode()))
        digests: list[bytes] = []
        for number, part in enumerate(_parts(args)):
            digests += [text_digest(_text(event)).tobytes() for event in part if event.memory_id]
            out.writelines(writer.member(part_name("events", number), encode_events(part)))
        for number, start in enumerate(range(0, len(digests), EVENTS_PER_PART)):
            named = np.frombuffer(b"".join(digests[start : start + EVENTS_PER_PART]), dtype=np.uint8).reshape(-1, 16)
            vectors = numbers.standard_normal((len(named), dimension), dtype=np.float32)
            unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
            out.writelines(writer.member(part_name("vectors", number), encode_vectors(named, unit)))
        out.writelines(writer.end())


def _text(event: ArchivedEvent) -> str:
    return (event.content or b"").decode().partition('"text":"')[2].partition('"')[0]


def _parts(args: ArchivesArguments) -> Iterator[list[ArchivedEvent]]:
    """Parts as an export cuts them."""
    words, ids = turns(args.seed), random.Random(args.seed)
    created = encode_content({"owner": "bench", "name": "Benchmark", "policy": merged_policy({}, {})})
    part, content = [ArchivedEvent(1, "cube.created", "", 0, BEGAN_US, "bench", created)], len(created)
    for number in range(args.memories):
        text = f"{number}"
        while len(text) < args.chars:
            text += " " + next(words).replace('"', "'")
        fields = {"form": "plaintext", "type": "note", "state": "activated", "text": text[: args.chars].strip()}
        at_us = BEGAN_US + 1_000_000 * (number + 1)
        memory_id = f"mem_{at_us:014x}{ids.randbytes(9).hex()}"
        event = ArchivedEvent(number + 2, "memory.added", memory_id, 1, at_us, "bench", encode_content(fields))
        part.append(event)
        content += len(event.content or b"")
        if len(part) >= EVENTS_PER_PART or content >= 4 << 20:
            yield part
            part, content = [], 0
    if part:
        yield part


BENCHMARK = Benchmark("archives", __doc__, ArchivesArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
