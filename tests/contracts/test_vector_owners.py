"""Owners of a shard's vectors that follow each other, on local storage and in an object store."""

from __future__ import annotations

import contextlib
import json
import uuid
import zlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.errors import Fenced
from actors.memory.ports import VectorIndex
from actors.stores.location import StorageSpec
from actors.stores.vectors import segments as segments_module
from actors.stores.vectors.faiss_index import FaissVectorIndex
from actors.stores.vectors.manifests import Manifest, Manifests, Segment
from tests.contracts.test_vector_indexes import next_epoch
from tests.contracts.vector_contract import DIMENSION, StoredVectorIndexContract, everything, unit_vectors

FLUSHES_TO_MERGE = segments_module.FAN_IN


def _owner(folder: Path, epoch: int) -> FaissVectorIndex:
    return FaissVectorIndex(StorageSpec(f"file://{folder}"), "model", DIMENSION, epoch)


def _flush(index: FaissVectorIndex, first: int, count: int) -> None:
    for row in range(first, first + count):
        index.put("c", [row], unit_vectors(1, seed=row))
        index.flush(row + 1)


@pytest.fixture(params=["local", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "object store":
        monkeypatch.setattr(StorageSpec, "local", None)
    return tmp_path


class TestFaissInAnObjectStore(StoredVectorIndexContract):
    @pytest.fixture(autouse=True)
    def remote(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(StorageSpec, "local", None)

    def open(self, folder: Path) -> VectorIndex:
        folder.mkdir(exist_ok=True)
        return _owner(folder, next_epoch(folder))


def test_a_late_owner_changes_nothing_of_its_successors(folder: Path) -> None:
    late = _owner(folder, 1)
    _flush(late, 0, FLUSHES_TO_MERGE - 1)
    successor = _owner(folder, 2)
    with pytest.raises(Fenced, match="epoch 2"):
        _flush(late, FLUSHES_TO_MERGE - 1, 1)  # merges, and would delete what the successor names
    assert (successor.present("c"), successor.position) == (FLUSHES_TO_MERGE - 1, FLUSHES_TO_MERGE - 1)
    again = _owner(folder, 3)
    assert (again.present("c"), again.position) == (FLUSHES_TO_MERGE - 1, FLUSHES_TO_MERGE - 1)


def test_a_fenced_owner_does_not_take_what_its_successor_deleted_for_damage(folder: Path) -> None:
    late = _owner(folder, 1)
    _flush(late, 0, FLUSHES_TO_MERGE - 1)
    successor = _owner(folder, 2)
    _flush(successor, FLUSHES_TO_MERGE - 1, 1)
    with pytest.raises(Fenced):
        late.unload("c")
        late.present("c")


@pytest.mark.parametrize("turn", range(3))
def test_what_the_predecessor_merges_while_the_next_owner_opens_is_not_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """The predecessor gets its turn before the opening owner reads, between its reading and writing, or after both."""
    late = _owner(folder, 1)
    _flush(late, 0, FLUSHES_TO_MERGE - 1)
    inherited, write = Manifests._inherited, Manifests.write
    turns: list[str] = []

    def merge_late(at: int) -> None:
        turns.append("")
        if len(turns) == at + 1:
            with contextlib.suppress(Fenced):
                _flush(late, FLUSHES_TO_MERGE - 1, 1)

    def reading(self: Manifests) -> Manifest | None:
        merge_late(turn) if self._epoch == 2 else None
        return inherited(self)

    def writing(self: Manifests, manifest: Manifest) -> None:
        merge_late(turn) if self._epoch == 2 else None
        write(self, manifest)

    with monkeypatch.context() as patched:
        patched.setattr(Manifests, "_inherited", reading)
        patched.setattr(Manifests, "write", writing)
        successor = _owner(folder, 2)
    assert len(turns) >= turn + 1
    assert successor.present("c") == successor.position == FLUSHES_TO_MERGE
    successor.close()
    assert _owner(folder, 3).present("c") == FLUSHES_TO_MERGE


def test_an_older_owner_cannot_open(folder: Path) -> None:
    _owner(folder, 7).close()
    with pytest.raises(Fenced, match="epoch 7"):
        _owner(folder, 6)
    with pytest.raises(Fenced):
        FaissVectorIndex.begin_anew(StorageSpec(f"file://{folder}"), "model", DIMENSION, 6)


def test_what_earlier_owners_left_is_removed(folder: Path) -> None:
    first = _owner(folder, 1)
    _flush(first, 0, 2)
    second = _owner(folder, 2)
    _flush(first, 2, 2)  # late, but harmless: into a manifest and segments of its own
    _owner(folder, 3)
    assert {path.name for path in folder.glob("manifest*")} == {"manifest-00000003.json"}
    assert len(list(folder.glob("*.parquet"))) == 2
    assert second.present("c") == 2


def test_a_folder_of_before_there_were_epochs_opens_as_it_is(folder: Path) -> None:
    vectors = unit_vectors(6)
    schema = pa.schema([("cube", pa.string()), ("row", pa.int64()), ("vector", pa.binary(DIMENSION * 2))])
    named = []
    for start in (0, 3):
        packed = [vector.astype("float16").tobytes() for vector in vectors[start : start + 3]]
        table = pa.table([["c"] * 3, list(range(start, start + 3)), packed], schema=schema)
        named.append({"name": f"{uuid.uuid4().hex}.parquet", "rows": 3})
        pq.write_table(
            table,
            folder / named[-1]["name"],
            row_group_size=4096,
            compression="none",
            use_dictionary=["cube"],
            write_statistics=["cube", "row"],
            write_page_checksum=True,
        )
    body = {"format": 1, "model_id": "model", "dimension": DIMENSION, "position": 9, "segments": named}
    crc = zlib.crc32(json.dumps(body, sort_keys=True).encode())
    (folder / "manifest.json").write_text(json.dumps({"body": body, "crc": crc}))
    index = _owner(folder, 4)
    assert (index.position, index.present("c")) == (9, 6)
    assert index.search("c", vectors[4:5], everything(6), 1)[0][0] == 4
    assert not (folder / "manifest.json").exists()
    _flush(index, 9, 1)
    index.close()
    assert (_owner(folder, 5).position, _owner(folder, 6).present("c")) == (10, 7)


def test_opening_a_small_cube_reads_its_own_part_of_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = _owner(tmp_path, 1)
    for n in range(40):
        index.put(f"c{n:02d}", range(500), unit_vectors(500, seed=n))
    index.flush(1)
    index.close()
    monkeypatch.setattr(StorageSpec, "local", None)
    index = _owner(tmp_path, 2)
    assert index.present("c07") == 500
    fetched = []
    location = index._segments._location
    files = location._remote.files

    class Counting:
        def __init__(self, path: str) -> None:
            self.file = files.open_input_file(path)

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def read(self, size: int | None = None) -> bytes:
            data: bytes = self.file.read(size)
            fetched.append(len(data))
            return data

    class Files:
        open_input_file = staticmethod(Counting)

    monkeypatch.setattr(location, "_opened", replace(location._remote, files=Files()))
    assert index.present("c21") == 500
    size = max(path.stat().st_size for path in tmp_path.glob("*.parquet"))
    assert 0 < sum(fetched) < size / 4


def test_only_segments_with_rows_of_the_cube_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = _owner(tmp_path, 1)
    for step in range(FLUSHES_TO_MERGE - 1):
        for n in range(50):
            index.put(f"c{n:02d}-{step}", range(4), unit_vectors(4, seed=n))
        index.flush(step + 1)
    index.close()
    index = _owner(tmp_path, 2)
    assert index.present("nobody") == 0
    read, groups = segments_module.VectorSegments._read_groups, []

    def counting(self: segments_module.VectorSegments, segment: Segment, wanted: list[int]) -> pa.Table:
        groups.append(segment.name)
        return read(self, segment, wanted)

    monkeypatch.setattr(segments_module.VectorSegments, "_read_groups", counting)
    assert index.present("c25-3") == 4
    assert len(groups) == 1
