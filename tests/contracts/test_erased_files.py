"""What was erased is in no file of a store: not in what replaced it, not beside it, not after a power cut."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.memory.ports import LexicalDocument
from actors.memory.rows import OPEN
from actors.stores.journal.verification import chain_problems
from actors.stores.lexical import rewriting
from actors.stores.lexical.tantivy_index import TantivyIndex
from actors.stores.location import StorageSpec
from actors.stores.snapshots import SnapshotFolder
from actors.stores.vectors.faiss_index import FaissVectorIndex
from jobs.bench.state_search import find
from tests.contracts.journal_contract import KEY, Chains
from tests.contracts.power_cut import Names, PowerCut
from tests.contracts.shard_folder import ShardFolder
from tests.contracts.vector_contract import DIMENSION, unit_vectors

SECRET = "zyzzyvaplover"
NEEDLES = {"secret": SECRET.encode()}


def test_the_search_finds_what_is_hidden_in_every_format(tmp_path: Path) -> None:
    shard = ShardFolder(tmp_path / "shard")
    shard.open().append([Chains().seal("a", SECRET)])
    SnapshotFolder(StorageSpec(str(tmp_path / "snapshots")), b"k").write(1, [("a", b"x" * 999 + SECRET.encode())])
    index = TantivyIndex(tmp_path / "lexical", "1")
    index.put([LexicalDocument("a", 0, (SECRET,), 1, OPEN)])
    index.flush(1)
    index.erase("a")
    index.close()
    found = find(tmp_path, NEEDLES, frozenset({SECRET}))
    for place in ("Parquet column content", "zstd", "words"):
        assert any(place in where for where in found), (place, found)


def test_a_journal_keeps_it_in_no_file_and_leaves_no_stray_ones(tmp_path: Path) -> None:
    shard, chains = ShardFolder(tmp_path), Chains()
    journal = shard.open()
    for number in range(6):
        journal.append([chains.seal("a", SECRET if number == 2 else "kept"), *chains.batch("b")])
    old = next(path for path in shard.data_files() if "0000000000000005" in path.name)
    stray = shard.table / old.name.replace("0000000000000005", "0000000000000013")
    shutil.copy(old, stray)
    shutil.copy(old, shard.table / f"{stray.name}#1")
    later = shard.table / ("e00000099" + old.name[9:])
    shutil.copy(old, later)
    journal.append([chains.tombstone("a")])
    emptied = journal.empty([5])
    assert (emptied.rewritten, emptied.strays) == (1, 2)
    assert {path.split(" ")[0] for path in find(tmp_path, NEEDLES)} == {str(later.relative_to(tmp_path))}
    later.unlink()
    assert journal.verify() == []
    assert shard.open().verify() == []


def test_vectors_are_in_no_segment_nor_graph(tmp_path: Path) -> None:
    vectors = unit_vectors(64)
    storage = StorageSpec(str(tmp_path))
    index = FaissVectorIndex(storage, "m", DIMENSION, 1, graph_from_rows=32)
    for start in range(0, 64, 16):
        index.put("c", range(start, start + 16), vectors[start : start + 16])
        index.flush(start + 16)
    index.search("c", vectors[:1], np.ones(64, dtype=np.bool_), 3)
    while not index._graphs.idle():
        pass
    assert list(tmp_path.glob("*.hnsw"))
    index.erase_rows({"c": [5, 40]})
    assert not list(tmp_path.glob("*.hnsw"))
    gone = {f"row {row}": vectors[row].astype(np.float16).tobytes() for row in (5, 40)}
    assert find(tmp_path, gone) == []
    assert find(tmp_path, {"row 6": vectors[6].astype(np.float16).tobytes()})
    index.close()


@pytest.mark.parametrize("left", ["lexical.new", "lexical.old"])
def test_a_rewriting_that_was_cut_off_leaves_nothing_behind(tmp_path: Path, left: str) -> None:
    index = TantivyIndex(tmp_path / "lexical", "1")
    index.put([LexicalDocument("c", 0, (SECRET,), 1, OPEN)])
    index.flush(7)
    index.close()
    (tmp_path / "lexical").rename(tmp_path / left)
    index = TantivyIndex(tmp_path / "lexical", "1")
    assert index.position == 0  # it is filled again from the journal
    index.close()
    assert find(tmp_path, NEEDLES, frozenset({SECRET})) == []
    assert rewriting.being_written(tmp_path / "lexical").name == "lexical.new"


@pytest.mark.parametrize("names", Names)
def test_snapshots_and_journals_forget_it_before_they_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names
) -> None:
    root, image = tmp_path / "shard", tmp_path / "image"
    root.mkdir()
    with PowerCut(root, monkeypatch) as power:
        shard, chains = ShardFolder(root), Chains()
        journal = shard.open()
        journal.append([chains.seal("a", SECRET), *chains.batch("b")])
        journal.append([chains.tombstone("a")])
        snapshots = SnapshotFolder(StorageSpec(str(root / "snapshots")), b"k")
        snapshots.write(1, [("a", SECRET.encode()), ("b", b"kept")])
        snapshots.write(2, [("a", SECRET.encode())])
        journal.empty([1])
        assert snapshots.write(3, [("a", b"blank")], {"a"}) == 2
        power.image(image, names)
    assert find(image, NEEDLES) == []
    again = SnapshotFolder(StorageSpec(str(image / "snapshots")), b"k")
    assert [again.read("a"), again.read("b")] == [b"blank", b"kept"]
    assert ShardFolder(image).open().verify() == []


def test_parquet_statistics_and_the_log_name_no_content_column(tmp_path: Path) -> None:
    shard = ShardFolder(tmp_path)
    journal = shard.open()
    journal.append([Chains().seal("a", SECRET)])
    [file] = shard.data_files()
    group = pa.parquet.ParquetFile(file).metadata.row_group(0)
    for column in range(group.num_columns):
        if group.column(column).path_in_schema in ("content", "salt"):
            assert not group.column(column).is_stats_set
    for entry in (shard.table / "_delta_log").iterdir():
        assert b'content":{' not in entry.read_bytes()


def test_an_edited_header_of_an_emptied_event_is_found(tmp_path: Path) -> None:
    shard, chains = ShardFolder(tmp_path), Chains()
    journal = shard.open()
    journal.append([chains.seal("a", SECRET), *chains.batch("a")])
    journal.append([chains.tombstone("a")])
    journal.empty([1, 2])
    assert journal.verify() == []
    file = shard.data_files()[0]
    first, second = shard.events_of(file)
    shard.rewrite(file, [replace(first, principal="mallory"), second])
    assert journal.verify() != []
    edited = [event for path in shard.data_files() for event in shard.events_of(path)]
    assert "its header was edited" in chain_problems(KEY, edited)[0]
