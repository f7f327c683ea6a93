"""Archives that are damaged, or made to do harm: each is refused, naming why, and nothing of it is left."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from actors.errors import ArchiveRefused, CubeNotFound, InvalidRequest, MemosError, NewerArchive, RequestTooLarge
from actors.memory.archive_check import ArchiveCheck
from actors.memory.archive_events import ArchivedEvent
from actors.memory.archive_format import CHECKSUMS, MANIFEST, PART_BYTES, tar_header
from actors.stores.archive import parts
from actors.stores.archive.parts import COLUMNS, decode_events, encode_events
from tests.unit.archives import changed, exported, imported, members_of, packed, spool_is_empty, storied
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import rig_folder

EVENTS, VECTORS = "events/000000.parquet", "vectors/000000.safetensors"

Tamper = Callable[[bytes], bytes]


def _repacked(change: Callable[[tarfile.TarInfo, bytes], list[tuple[tarfile.TarInfo, bytes]]]) -> Tamper:
    """The archive as the standard library writes it, each member put through `change`."""

    def tamper(archive: bytes) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in members_of(archive).items():
                for info, content in change(tarfile.TarInfo(name), data):
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return out.getvalue()

    return tamper


def _with(name: str, **fields: object) -> Tamper:
    """One member's header changed."""

    def change(info: tarfile.TarInfo, data: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
        if info.name == name:
            for field, value in fields.items():
                setattr(info, field, value)
            data = data if info.isreg() else b""
        return [(info, data)]

    return _repacked(change)


def _twice(info: tarfile.TarInfo, data: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [(info, data)] * (2 if info.name == EVENTS else 1)


def _and(extra: str) -> Tamper:
    """One member more, before the checksums."""

    def change(info: tarfile.TarInfo, data: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
        more = [(tarfile.TarInfo(extra), b"x")] if info.name == CHECKSUMS else []
        return [*more, (info, data)]

    return _repacked(change)


def _manifest(**fields: object) -> Tamper:
    return lambda archive: changed(
        archive,
        MANIFEST,
        lambda data: json.dumps({**json.loads(data), **fields}, sort_keys=True, indent=1).encode() + b"\n",
    )


def _events(change: Callable[[list[ArchivedEvent]], list[ArchivedEvent]]) -> Tamper:
    return lambda archive: changed(
        archive, EVENTS, lambda data: encode_events(change(list(decode_events(EVENTS, data))))
    )


def _content(number: int, **fields: object) -> Tamper:
    """The content of one event with some fields changed."""

    def change(events: list[ArchivedEvent]) -> list[ArchivedEvent]:
        known = json.loads(events[number].content or b"")
        content = json.dumps({**known, **fields}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return [replace(e, content=content) if n == number else e for n, e in enumerate(events)]

    return _events(change)


def _event(number: int, **fields: object) -> Tamper:
    return _events(lambda events: [replace(e, **fields) if n == number else e for n, e in enumerate(events)])  # type: ignore[arg-type]


def _parquet(**options: object) -> Tamper:
    """The events written by the library's own choice: dictionaries, other pages, other columns."""

    def rewrite(data: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        table = pq.read_table(pa.BufferReader(data)).cast(COLUMNS)
        pq.write_table(table, sink, **{"store_schema": False, "compression": "zstd", **options})  # type: ignore[arg-type]
        return bytes(sink.getvalue().to_pybytes())

    return lambda archive: changed(archive, EVENTS, rewrite)


def _one_text_many_times(data: bytes) -> bytes:
    """A dictionary of one long value and four thousand references to it: 20 MB in 10 kB."""
    long = b'{"text":"' + b"a" * 5_000 + b'"}'
    rows = [list(COLUMNS.names)]
    table = pa.table(
        {
            name: pa.array([long] * 4096, pa.binary())
            if name == "content"
            else pa.array(
                ([1] if pa.types.is_integer(COLUMNS.field(name).type) else ["x"]) * 4096, COLUMNS.field(name).type
            )
            for name in rows[0]
        },
        schema=COLUMNS,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, store_schema=False, use_dictionary=["content"], compression="zstd", write_statistics=False
    )
    return bytes(sink.getvalue().to_pybytes())


def _zeros(data: bytes) -> bytes:
    """Plain pages that unfold to fifty megabytes of blanks."""
    events = list(decode_events(EVENTS, data))
    blank = b'{"text":"' + b" " * 400_000 + b'"}'
    return encode_events([replace(events[0], content=blank)] * 130)


def _tensors(**tensors: np.ndarray) -> Tamper:  # type: ignore[type-arg]
    return lambda archive: changed(archive, VECTORS, lambda data: save(tensors))


def _unit(rows: int, dimension: int) -> np.ndarray:  # type: ignore[type-arg]
    vectors = np.zeros((rows, dimension), dtype=np.float16)
    vectors[:, :1] = 1
    return vectors


TEXTS = np.zeros((2, 16), dtype=np.uint8)

HOSTILE: dict[str, tuple[Tamper, str]] = {
    "nothing at all": (lambda archive: b"", "truncated"),
    "no tar": (lambda archive: b"hello" * 1000, "tar"),
    "cut in a header": (lambda archive: archive[:700], "truncated"),
    "cut in a member": (lambda archive: archive[: len(archive) // 2], "truncated"),
    "cut before its end": (lambda archive: archive[:-1024], "truncated"),
    "cut before its checksums": (
        lambda archive: packed({n: d for n, d in members_of(archive).items() if n == MANIFEST})[:1024] + bytes(1024),
        "truncated",
    ),
    "something behind its end": (lambda archive: archive + archive, "tar"),
    "an absolute path": (_and("/etc/cron.d/evil"), "traversal"),
    "a path that leads out": (_and("events/../../../evil"), "traversal"),
    "a symbolic link": (_with(EVENTS, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "kind"),
    "a hard link": (_with(EVENTS, type=tarfile.LNKTYPE, linkname="/etc/passwd"), "kind"),
    "a device": (_with(EVENTS, type=tarfile.CHRTYPE), "kind"),
    "a named pipe": (_with(EVENTS, type=tarfile.FIFOTYPE), "kind"),
    "a folder": (_with(EVENTS, type=tarfile.DIRTYPE), "kind"),
    "a member twice": (_repacked(_twice), "duplicate"),
    "an unknown member": (_and("hooks/run.sh"), "member"),
    "a pickle": (_and("vectors/000000.pkl"), "member"),
    "a member that is left out": (_and("vectors/000002.safetensors"), "member"),
    "no events": (lambda archive: packed({MANIFEST: members_of(archive)[MANIFEST]}), "member"),
    "a size that is not there": (
        lambda archive: archive[:1024] + tar_header(EVENTS, PART_BYTES + 1) + archive[1536:],
        "size",
    ),
    "a flipped byte": (lambda archive: archive.replace(b"PAR1", b"PAR0", 1), "checksum"),
    "another manifest than was summed": (
        lambda archive: archive.replace(b'"history": true', b'"history": True', 1),
        "manifest",
    ),
    "a manifest of something else": (_manifest(kind="zip"), "manifest"),
    "a manifest with more in it": (_manifest(run="rm -rf /"), "manifest"),
    "a manifest that lies": (_manifest(cube={"id": "home", "name": "", "version": 99}), "manifest"),
    "dictionaries": (_parquet(use_dictionary=True), "content"),
    "pages of another version": (_parquet(use_dictionary=False, data_page_version="2.0"), "content"),
    "delta encoding": (
        _parquet(use_dictionary=False, column_encoding=dict.fromkeys(["content"], "DELTA_BYTE_ARRAY")),
        "content",
    ),
    "a schema with extensions": (_parquet(use_dictionary=False, store_schema=True), "content"),
    "one text many times": (lambda archive: changed(archive, EVENTS, _one_text_many_times), "content"),
    "pages that unfold to too much": (lambda archive: changed(archive, EVENTS, _zeros), "size"),
    "no Parquet": (lambda archive: changed(archive, EVENTS, lambda data: b"PAR1" + b"x" * 100 + b"PAR1"), "content"),
    "a damaged page": (
        lambda archive: changed(archive, EVENTS, lambda data: data[:60] + bytes(20) + data[80:]),
        "content",
    ),
    "tensors of other names": (_tensors(weights=_unit(2, 64)), "content"),
    "vectors of another size": (_tensors(texts=TEXTS, vectors=_unit(2, 32)), "content"),
    "vectors that are no numbers": (_tensors(texts=TEXTS, vectors=np.full((2, 64), np.nan, np.float16)), "content"),
    "vectors of another length": (_tensors(texts=TEXTS, vectors=_unit(2, 64) * 3), "content"),
    "an event that is missing": (_events(lambda events: events[:3] + events[4:]), "event"),
    "an event of an unknown type": (_event(2, type="memory.exploded"), "event"),
    "an event of the system": (_event(2, type="principal.created"), "event"),
    "a memory twice": (_events(lambda events: [*events[:2], replace(events[1], version=3), *events[3:]]), "event"),
    "a memory that was never added": (_event(5, memory_id="mem_" + "0" * 32), "event"),
    "an id that leads out": (_event(2, memory_id="../../etc"), "event"),
    "a version that is skipped": (_event(5, memory_version=7), "event"),
    "a time that goes back": (_event(3, recorded_at_us=5), "event"),
    "a time that is to come": (_event(9, recorded_at_us=1 << 60), "event"),
    "a principal that is none": (_event(2, principal="a b\n"), "event"),
    "a transition that is not allowed": (_content(6, to="merged"), "event"),
    "a memory in another form": (_content(1, form="parametric"), "event"),
    "a field that memories do not have": (_content(1, on_load="run"), "event"),
    "a text that is none": (_content(1, text=["a"]), "event"),
    "a text that is too long": (_content(1, text="a" * 200_000), "event"),
    "a content that is no JSON": (_event(1, content=b"\x80\x04."), "event"),
    "a content nested deep": (_event(1, content=b'{"metadata":' + b'{"a":' * 90_000 + b"1" + b"}" * 90_001), "event"),
    "a content that is not canonical": (_event(1, content=b'{ "text": "x" }'), "event"),
    "a content that is no number": (_event(1, content=b'{"occurred_at_us":NaN}'), "event"),
    "a content that is gone": (_event(1, content=None), "event"),
}


async def _nothing_is_left(rig: GatewayRig, archive: bytes) -> None:
    """No file, no vector, no cube; and the id is free for an archive that is sound."""
    assert spool_is_empty(Path(rig_folder()))
    bob = await rig.principal("bob-2")
    with pytest.raises(CubeNotFound):
        await rig.gateway.read_cube(rig.root, "copy")
    assert (await rig.gateway.list_cubes(rig.root, 50, None)).items == ()
    view = await imported(rig.gateway, bob, archive)
    assert (view.id, view.owner) == ("copy", "bob-2")


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_is_refused_naming_why_and_nothing_is_left(kind: str) -> None:
    tamper, reason = HOSTILE[kind]

    async def test(rig: GatewayRig) -> None:
        archive = _exported_once()
        with pytest.raises(ArchiveRefused) as refusal:
            await imported(rig.gateway, rig.root, tamper(archive))
        assert refusal.value.facts["reason"] == reason, refusal.value.detail
        await _nothing_is_left(rig, archive)

    runs(test)()


@runs
async def test_a_newer_format_is_refused_saying_which_is_read(rig: GatewayRig) -> None:
    archive = _exported_once()
    for newer in (_manifest(format=2), _manifest(events={"schema": 9})):
        with pytest.raises(NewerArchive, match="this version reads up to"):
            await imported(rig.gateway, rig.root, newer(archive))
    await _nothing_is_left(rig, archive)


@runs
async def test_a_policy_that_is_not_honoured_here_is_refused(rig: GatewayRig) -> None:
    archive = _exported_once()
    with pytest.raises(InvalidRequest):
        await imported(rig.gateway, rig.root, _content(0, policy={"redaction": {"mode": "shred"}})(archive))
    await _nothing_is_left(rig, archive)


def test_an_archive_over_the_limit_is_refused_as_it_comes() -> None:
    check = ArchiveCheck(limit_bytes=2000)
    check.feed(tar_header(MANIFEST, 900) + b"x" * 800)
    with pytest.raises(RequestTooLarge):
        check.feed(b"x" * 700)


def test_a_part_says_what_it_unfolds_to_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    event = ArchivedEvent(1, "cube.created", "", 0, 1, "olga", b"{}")
    monkeypatch.setattr(parts, "UNFOLDED_BYTES", 100)
    with pytest.raises(ArchiveRefused, match="unfolds to"):
        decode_events(EVENTS, encode_events([event] * 50))


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_is_cut_or_flipped_is_refused(data: st.DataObject) -> None:
    """Any byte of an archive that matters, changed in any way, and any prefix of it."""
    archive = _exported_once()
    if data.draw(st.booleans(), "cut"):
        damaged = archive[: data.draw(st.integers(0, len(archive) - 1), "length")]
    else:
        place = data.draw(st.integers(0, len(archive) - 1025), "place")
        damaged = (
            archive[:place] + bytes([archive[place] ^ data.draw(st.integers(1, 255), "bits")]) + archive[place + 1 :]
        )
    sizes = data.draw(st.lists(st.integers(1, 4000), min_size=1, max_size=3), "pieces")
    check = ArchiveCheck(limit_bytes=1 << 30)
    try:
        start = number = 0
        while start < len(damaged):
            size = sizes[number % len(sizes)]
            check.feed(damaged[start : start + size])
            start, number = start + size, number + 1
        check.finish()
    except MemosError as error:
        assert isinstance(error, InvalidRequest)
        return
    # What a tar says of a file's owner, mode and time is not looked at; everything that is, was right.
    assert members_of(damaged) == members_of(archive)


@settings(max_examples=40)
@given(data=st.binary(max_size=3000))
def test_no_bytes_crash_a_decoder(data: bytes) -> None:
    for decode in (lambda: list(decode_events("x", data)), lambda: parts.decode_vectors("x", data, 8)):
        with pytest.raises(ArchiveRefused):
            decode()


@settings(max_examples=60)
@given(place=st.integers(0, 100_000), bits=st.integers(1, 255))
def test_a_flipped_part_never_crashes_its_decoder(place: int, bits: int) -> None:
    """Behind the checksums, which anybody can make: the decoder alone."""
    members = members_of(_exported_once())
    for name, decode in ((EVENTS, decode_events), (VECTORS, lambda n, d: parts.decode_vectors(n, d, 64))):
        data = members[name]
        at = place % len(data)
        flipped = data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]
        try:
            list(decode(name, flipped))
        except ArchiveRefused:
            continue


@cache
def _exported_once() -> bytes:
    """The archive of a cube with a story. Made on a thread: whoever asks may be within an event loop."""
    made: list[bytes] = []

    async def make(rig: GatewayRig) -> None:
        await storied(rig.gateway, rig.root)
        made.append(await exported(rig.gateway, rig.root))

    thread = Thread(target=runs(make))
    thread.start()
    thread.join()
    return made[0]
