"""The vector indexes against their contract, and what is particular to each."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from actors.errors import ConfigError, Corrupted, NewerFormat, StorageUnavailable
from actors.memory.ports import VectorIndex
from actors.stores.location import StorageSpec
from actors.stores.vectors.faiss_index import FaissVectorIndex
from actors.stores.vectors.graph import GRAPH_FROM_ROWS
from actors.stores.vectors.plain import PlainVectorIndex
from tests.contracts.vector_contract import (
    DIMENSION,
    StoredVectorIndexContract,
    VectorIndexContract,
    unit_vectors,
)


class TestPlain(VectorIndexContract):
    def open(self, folder: Path) -> VectorIndex:
        return PlainVectorIndex()


class TestFaiss(StoredVectorIndexContract):
    def open(self, folder: Path) -> VectorIndex:
        return opened(folder)

    def test_many_flushes_stay_few_files(self, tmp_path: Path) -> None:
        filled(tmp_path, flushes=100)
        assert len(list(tmp_path.iterdir())) < 40

    def test_another_model_is_refused_and_the_way_out_named(self, tmp_path: Path) -> None:
        filled(tmp_path)
        with pytest.raises(ConfigError, match="reindex"):
            FaissVectorIndex(StorageSpec(str(tmp_path)), "other-model", DIMENSION, next_epoch(tmp_path))

    def test_a_newer_format_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("actors.stores.vectors.manifests.FORMAT", 3)
        filled(tmp_path)
        monkeypatch.undo()
        with pytest.raises(NewerFormat, match="manifest"):
            opened(tmp_path)

    @pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
    @pytest.mark.parametrize("pattern", ["*.parquet", "manifest-*.json"])
    def test_a_damaged_file_is_named_and_a_discarded_folder_opens_again(
        self, tmp_path: Path, damage: str, pattern: str
    ) -> None:
        filled(tmp_path, flushes=2)
        victim = sorted(tmp_path.glob(pattern))[0]
        raw = victim.read_bytes()
        if damage == "remove":
            victim.unlink()
        elif damage == "truncate":
            victim.write_bytes(raw[: len(raw) // 2])
        else:
            at = raw.index(b'"position": 2') + 12 if victim.suffix == ".json" else len(raw) // 3
            victim.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(Corrupted, match=victim.name.replace(".", r"\.")):
            opened(tmp_path).present("c")
        anew = FaissVectorIndex.begin_anew(StorageSpec(str(tmp_path)), "model", DIMENSION, next_epoch(tmp_path))
        assert (anew.position, anew.present("c")) == (0, 0)
        assert opened(tmp_path).position == 0
        assert [path.suffix for path in tmp_path.iterdir()] == [".json"]

    def test_clearing_works_with_a_damaged_vector_file(self, tmp_path: Path) -> None:
        filled(tmp_path)
        index = opened(tmp_path)
        sorted(tmp_path.glob("*.parquet"))[0].write_bytes(b"nonsense")
        with pytest.raises(Corrupted):
            index.present("c")
        index.clear()
        assert index.present("c") == 0

    def test_files_of_an_unfinished_flush_are_ignored_and_removed(self, tmp_path: Path) -> None:
        filled(tmp_path)
        (tmp_path / "orphan.parquet").write_bytes(b"half a file")
        index = opened(tmp_path)
        assert index.present("c") == 20
        assert not (tmp_path / "orphan.parquet").exists()

    def test_a_closed_index_leaves_the_folder_to_the_next_owner(self, tmp_path: Path) -> None:
        late = opened(tmp_path)
        late.put("c", [0], unit_vectors(1, seed=0))
        late.close()
        owner = opened(tmp_path)
        owner.put("c", range(5), unit_vectors(5, seed=1))
        owner.flush(5)
        late.put("c", [0], unit_vectors(1, seed=0))
        with pytest.raises(StorageUnavailable, match="closed"):
            late.flush(1)
        assert (opened(tmp_path).position, opened(tmp_path).present("c")) == (5, 5)

    def test_a_flush_that_returned_survives_a_kill(self, tmp_path: Path) -> None:
        for round_number in range(2):
            flushed = flush_until_killed(tmp_path, seconds=0.5 + 0.3 * round_number)
            index = opened(tmp_path)
            assert index.position >= flushed > 0
            assert index.present("c") >= flushed
            vectors = unit_vectors(1, seed=flushed - 1)
            only = np.zeros(flushed, dtype=np.bool_)
            only[flushed - 1] = True
            assert index.search("c", vectors, only, 1)[0][1] > 0.99
            index.close()


def opened(folder: Path, graph_from_rows: int = GRAPH_FROM_ROWS) -> FaissVectorIndex:
    """As the next owner of the shard."""
    return FaissVectorIndex(StorageSpec(str(folder)), "model", DIMENSION, next_epoch(folder), graph_from_rows)


def next_epoch(folder: Path) -> int:
    epochs = [int(path.stem.removeprefix("manifest-")) for path in folder.glob("manifest-*.json")]
    return 1 + max(epochs, default=0)


def filled(folder: Path, flushes: int = 1) -> None:
    index = opened(folder)
    for flush in range(flushes):
        index.put("c", range(20 * flush, 20 * (flush + 1)), unit_vectors(20, seed=flush))
        index.flush(flush + 1)
    index.close()


def flush_until_killed(folder: Path, seconds: float, graph_from_rows: int = GRAPH_FROM_ROWS) -> int:
    """Kill a process that puts row n and flushes position n + 1, on and on; the last position that it reported."""
    script = f"""
        from pathlib import Path
        from tests.contracts.test_vector_indexes import opened, unit_vectors
        index = opened(Path({str(folder)!r}), {graph_from_rows})
        index.present("c")
        for row in range(index.position, 100_000):
            index.put("c", [row], unit_vectors(1, seed=row))
            index.flush(row + 1)
            print(row + 1, flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    reported = child.stdout.read().splitlines()
    child.stdout.close()
    child.wait()
    return int(reported[-1])
