"""The lexical indexes against their contract, and what is particular to each."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from actors.errors import Corrupted, StateInUse, StorageUnavailable
from actors.memory.ports import LexicalIndex
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.lexical.tantivy_index import TantivyIndex
from tests.contracts.lexical_contract import LexicalIndexContract, StoredLexicalIndexContract, document


class TestPlain(LexicalIndexContract):
    def open(self, folder: Path) -> LexicalIndex:
        return PlainLexicalIndex()


class TestTantivy(StoredLexicalIndexContract):
    def open(self, folder: Path) -> LexicalIndex:
        return TantivyIndex(folder, analysis="1")

    def test_another_analysis_asks_for_a_rebuild(self, tmp_path: Path) -> None:
        filled(tmp_path)
        with pytest.raises(Corrupted, match="rebuilt"):
            TantivyIndex(tmp_path, analysis="2")

    def test_a_second_opener_is_refused(self, tmp_path: Path) -> None:
        first = TantivyIndex(tmp_path, analysis="1")
        with pytest.raises(StateInUse):
            TantivyIndex(tmp_path, analysis="1")
        first.close()
        TantivyIndex(tmp_path, analysis="1").close()

    def test_a_closed_index_takes_nothing_more(self, tmp_path: Path) -> None:
        index = TantivyIndex(tmp_path, analysis="1")
        index.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            index.put([document(0, "a")])

    def test_after_a_failed_flush_nothing_is_taken_and_lost(self, tmp_path: Path) -> None:
        folder = tmp_path / "index"
        index = TantivyIndex(folder, analysis="1")
        index.put([document(0, "a")])
        index.flush(1)
        folder.rename(tmp_path / "away")
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                index.put([document(1, "a b c")])
                index.flush(2)
        (tmp_path / "away").rename(folder)
        assert index.position == 1
        index.put([document(1, "a b c")])
        index.flush(2)
        assert index.statistics("c", ["a", "b"], 1).document_frequency == (2, 1)
        index.close()
        index = TantivyIndex(folder, analysis="1")
        assert (index.position, index.statistics("c", ["a"], 1).documents) == (2, 2)
        index.close()

    @pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
    @pytest.mark.parametrize("suffix", ["idx", "fast", "term", "store", "json"])
    def test_a_damaged_file_is_named_and_a_discarded_folder_opens_again(
        self, tmp_path: Path, suffix: str, damage: str
    ) -> None:
        filled(tmp_path)
        victim = tmp_path / "meta.json" if suffix == "json" else sorted(tmp_path.glob(f"*.{suffix}"))[0]
        raw = victim.read_bytes()
        if damage == "remove":
            victim.unlink()
        elif damage == "truncate":
            victim.write_bytes(raw[: len(raw) // 2])
        else:
            victim.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
        with pytest.raises(Corrupted, match=victim.name.replace(".", r"\.")):
            TantivyIndex(tmp_path, analysis="1")
        TantivyIndex.discard(tmp_path)
        index = TantivyIndex(tmp_path, analysis="1")
        assert index.position == 0
        index.close()

    def test_a_flush_that_returned_survives_a_kill(self, tmp_path: Path) -> None:
        for round_number in range(2):
            flushed = flush_until_killed(tmp_path, seconds=0.5 + 0.3 * round_number)
            index = TantivyIndex(tmp_path, analysis="1")
            assert index.position >= flushed > 0
            assert index.statistics("c", ["a"], 1).documents == index.position
            index.close()


def filled(folder: Path) -> None:
    index = TantivyIndex(folder, analysis="1")
    index.put([document(row, "a b") for row in range(20)])
    index.flush(1)
    index.close()
    assert json.loads((folder / "meta.json").read_bytes())["segments"]


def flush_until_killed(folder: Path, seconds: float) -> int:
    """Kill a process that puts row n and flushes position n + 1, on and on; the last position that it reported."""
    script = f"""
        from pathlib import Path
        from actors.stores.lexical.tantivy_index import TantivyIndex
        from tests.contracts.lexical_contract import document
        index = TantivyIndex(Path({str(folder)!r}), analysis="1")
        for row in range(index.position, 100_000):
            index.put([document(row, "a")])
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
