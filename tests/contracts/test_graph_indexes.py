"""The graph indexes that need no server against their contract, and what is particular to each."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from actors.errors import Corrupted, NewerFormat, StorageUnavailable
from actors.memory.graph import Ending
from actors.memory.graph_ports import GraphIndex
from actors.stores.graph.ladybug_index import LadybugGraphIndex
from actors.stores.graph.plain import PlainGraphIndex
from tests.contracts.graph_contract import GraphIndexContract, StoredGraphIndexContract, alias, mention


class TestPlain(GraphIndexContract):
    def open(self, folder: Path) -> GraphIndex:
        return PlainGraphIndex()


class TestLadybug(StoredGraphIndexContract):
    examples = 12

    def open(self, folder: Path) -> GraphIndex:
        return LadybugGraphIndex(folder)

    def test_a_second_process_is_refused_and_told_so(self, tmp_path: Path) -> None:
        index = LadybugGraphIndex(tmp_path / "g")
        assert "StateInUse" in in_a_process(tmp_path, "print(opened(folder))")
        index.close()
        assert "LadybugGraphIndex" in in_a_process(tmp_path, "print(opened(folder))")

    def test_a_closed_index_takes_nothing_more(self, tmp_path: Path) -> None:
        index = LadybugGraphIndex(tmp_path)
        index.close()
        index.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            index.put([mention("m", "x")])
        with pytest.raises(StorageUnavailable, match="closed"):
            index.page({"c": 1}, 9)

    def test_a_damaged_file_is_named_and_discarded(self, tmp_path: Path) -> None:
        filled(tmp_path)
        (tmp_path / "graph.lbug").write_bytes(b"nonsense" * 600)
        with pytest.raises(Corrupted, match=str(tmp_path)):
            LadybugGraphIndex(tmp_path)
        LadybugGraphIndex.discard(tmp_path)
        index = LadybugGraphIndex(tmp_path)
        assert (index.position, index.page({"c": 9}, 9)) == (0, [])
        index.close()

    def test_a_newer_format_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("actors.stores.graph.ladybug_index.FORMAT", 2)
        filled(tmp_path)
        monkeypatch.undo()
        with pytest.raises(NewerFormat, match="format 2"):
            LadybugGraphIndex(tmp_path)

    def test_an_older_format_asks_for_a_rebuild(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        filled(tmp_path)
        monkeypatch.setattr("actors.stores.graph.ladybug_index.FORMAT", 2)
        with pytest.raises(Corrupted, match="rebuilt"):
            LadybugGraphIndex(tmp_path)

    @pytest.mark.parametrize("closed", [False, True])
    def test_no_file_holds_the_words_of_an_erased_memory(self, tmp_path: Path, closed: bool) -> None:
        index = LadybugGraphIndex(tmp_path)
        index.put([mention("m", "a very secret entity", words="A VERY secret Entity"), mention("n", "an open entity")])
        index.put([mention("k", "an ended secret name"), alias("m", "a very secret entity", "another secret name")])
        index.end([Ending("c", "k", 1, 2)])
        index.flush(1)
        if closed:  # what the log held is in the file then
            index.close()
            index = LadybugGraphIndex(tmp_path)
        assert b"secret" in files(tmp_path)
        index.erase_memories({"c": ["m", "k"]})
        assert b"secret" not in files(tmp_path)
        assert index.page({"c": 9}, 9) == [mention("n", "an open entity")]
        index.close()
        assert b"secret" not in files(tmp_path)
        assert b"an open entity" in files(tmp_path)

    def test_an_erasure_that_a_crash_cut_short_is_completed_by_the_next_opening(self, tmp_path: Path) -> None:
        in_a_process(
            tmp_path,
            """
            index = LadybugGraphIndex(folder)
            index.put([mention("m", "a very secret entity"), mention("n", "an open entity")])
            index.flush(1)
            index._file.write_anew = lambda: os.kill(os.getpid(), signal.SIGKILL)
            index.erase_memories({"c": ["m"]})
            """,
            ends=-signal.SIGKILL,
        )
        assert b"secret" in files(tmp_path)
        index = LadybugGraphIndex(tmp_path / "g")
        assert b"secret" not in files(tmp_path)
        assert (index.position, index.page({"c": 9}, 9)) == (1, [mention("n", "an open entity")])
        index.close()

    def test_a_copy_that_a_crash_left_is_no_matter(self, tmp_path: Path) -> None:
        filled(tmp_path)
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / "graph.lbug").write_bytes(b"half")
        index = LadybugGraphIndex(tmp_path)
        index.erase("nobody")
        assert (index.position, len(index.page({"c": 9}, 9))) == (5, 1)
        assert not (tmp_path / "copy").exists()
        index.close()

    def test_a_transaction_that_fails_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        index = LadybugGraphIndex(tmp_path)
        with monkeypatch.context() as broken:
            broken.setattr("actors.stores.graph.ladybug_statements.CREATE_TIE", "this is no statement")
            with pytest.raises(StorageUnavailable):
                index.put([mention("m", "x")])
        assert index.page({"c": 9}, 9) == []
        index.put([mention("m", "x")])
        assert index.page({"c": 9}, 9) == [mention("m", "x")]
        index.close()

    def test_what_was_flushed_survives_a_kill_and_a_put_is_whole_or_not_there(self, tmp_path: Path) -> None:
        in_a_process(
            tmp_path,
            """
            index = LadybugGraphIndex(folder)
            index.put([mention(f"m{n}", "x") for n in range(50)])
            index.flush(4)
            index.put([mention("late", f"y{n}") for n in range(50)])
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            ends=-signal.SIGKILL,
        )
        index = LadybugGraphIndex(tmp_path / "g")
        told = [edge.memory_id for edge in index.page({"c": 9}, 999)]
        assert (index.position, len(told) - told.count("late"), told.count("late") in (0, 50)) == (4, 50, True)
        index.close()


def filled(folder: Path) -> None:
    index = LadybugGraphIndex(folder)
    index.put([mention("m", "x")])
    index.flush(5)
    index.close()


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def in_a_process(folder: Path, program: str, ends: int = 0) -> str:
    """What another process prints that runs this, with `folder` / g as its index's."""
    prelude = f"""
    import os, signal
    from pathlib import Path
    from actors.errors import MemosError
    from actors.stores.graph.ladybug_index import LadybugGraphIndex
    from tests.contracts.graph_contract import mention
    folder = Path({str(folder / "g")!r})
    def opened(folder):
        try:
            return LadybugGraphIndex(folder)
        except MemosError as error:
            return repr(error)
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == ends, done.stderr
    return done.stdout
