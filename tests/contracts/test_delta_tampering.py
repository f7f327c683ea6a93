"""Whatever is done to a journal behind its back, verify tells, and opening it again tells or verify does."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import MemosError
from actors.memory.draft import Sealer
from actors.memory.events import EventType, seal
from actors.stores.journal.anchor import Anchors
from actors.stores.journal.schema import COLUMNS
from actors.stores.location import Location, StorageSpec
from tests.contracts.journal_contract import ORIGIN, Chains
from tests.contracts.shard_folder import ShardFolder

Row = dict[str, Any]
COMMITS, ROWS = 4, 3


def _told(shard: ShardFolder, tamper: Callable[[], None]) -> None:
    """The owner that has it open, and the one that opens it next, both see what `tamper` did."""
    journal = shard.open()
    assert journal.verify() == []
    tamper()
    assert journal.verify() != []
    try:
        problems = shard.open().verify()
    except MemosError:
        return
    assert problems != []


@cache
def _untouched() -> tempfile.TemporaryDirectory[str]:
    """The shard that every example begins with; gone when the process ends."""
    folder = tempfile.TemporaryDirectory()
    journal, chains = ShardFolder(Path(folder.name)).open(), Chains()
    for _ in range(COMMITS):
        journal.append(chains.batch("a", "b", "a"))
    return folder


def _shard(root: str) -> ShardFolder:
    shutil.copytree(_untouched().name, root, dirs_exist_ok=True)
    return ShardFolder(Path(root))


def _rewrite(shard: ShardFolder, which: int, change: Callable[[list[Row]], list[Row]]) -> None:
    file = shard.data_files()[which]
    rows = change(pq.read_table(file).to_pylist())
    shard.rewrite_rows(file, pa.Table.from_pylist(rows, schema=COLUMNS))


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return value + 1 if isinstance(value, int) else value + "x"


files = st.integers(0, COMMITS - 1)
rows = st.integers(0, ROWS - 1)


@settings(max_examples=20)
@given(which=files, row=rows, column=st.sampled_from(COLUMNS.names))
def test_an_edited_field(which: int, row: int, column: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        shard = _shard(root)

        def edit(found: list[Row]) -> list[Row]:
            found[row][column] = _other(found[row][column])
            return found

        _told(shard, lambda: _rewrite(shard, which, edit))


@settings(max_examples=10)
@given(which=files, row=rows, renumbered=st.booleans())
def test_a_dropped_event(which: int, row: int, renumbered: bool) -> None:
    with tempfile.TemporaryDirectory() as root:
        shard = _shard(root)

        def drop(found: list[Row]) -> list[Row]:
            if not renumbered:
                return found[:row] + found[row + 1 :]
            found[row] = {**found[row - 1], "position": found[row]["position"]}
            return found

        _told(shard, lambda: _rewrite(shard, which, drop))


@settings(max_examples=12)
@given(which=files, pair=st.sampled_from([(0, 1), (1, 2), (0, 2)]), position_too=st.booleans())
def test_swapped_events(which: int, pair: tuple[int, int], position_too: bool) -> None:
    """Of one cube, or of two: each cube's chain would hold when only their order in the shard changes."""
    with tempfile.TemporaryDirectory() as root:
        shard = _shard(root)

        def swap(found: list[Row]) -> list[Row]:
            one, other = pair
            found[one], found[other] = found[other], found[one]
            if position_too:
                here, there = found[one]["position"], found[other]["position"]
                found[one]["position"], found[other]["position"] = there, here
            return found

        _told(shard, lambda: _rewrite(shard, which, swap))


@settings(max_examples=6)
@given(kept=st.integers(0, COMMITS - 1))
def test_a_tail_that_was_cut_with_its_log_entries(kept: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        shard = _shard(root)

        def cut() -> None:
            # Table made, claim, the commits, and the claim of the owner that has it open.
            for entry in shard.entries()[2 + kept :]:
                entry.unlink()

        _told(shard, cut)


def test_a_last_log_entry_that_was_removed(tmp_path: Path) -> None:
    shard = _shard(str(tmp_path))
    journal = shard.open()
    journal.append(Chains().batch("z"))
    shard.entries()[-1].unlink()
    assert any("ends at" in problem for problem in journal.verify())
    with pytest.raises(MemosError, match="13 were acknowledged"):
        shard.open()


@settings(max_examples=6)
@given(which=files)
def test_a_chain_made_anew_without_the_key(which: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        shard = _shard(root)
        sealer = Sealer(b"a guessed key", lambda n: bytes(n))

        def forge(found: list[Row]) -> list[Row]:
            for row in found:
                forged = seal(
                    sealer.chain_key,
                    cube_id=row["cube_id"],
                    version=row["version"],
                    type=EventType.MEMORY_ADDED,
                    memory_id=row["memory_id"],
                    memory_version=1,
                    recorded_at_us=ORIGIN.at_us,
                    principal="alice",
                    request_id="req-1",
                    idempotency="",
                    payload={"text": "forged"},
                    salt=bytes(16),
                    previous_hash=row["previous_hash"],
                )
                row.update(content=forged.content, commitment=forged.commitment, hash=forged.hash)
            return found

        _told(shard, lambda: _rewrite(shard, which, forge))


@settings(max_examples=6)
@given(which=files, cut=st.integers(1, 200))
def test_a_data_file_that_was_cut_short(which: int, cut: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        shard = _shard(root)
        file = shard.data_files()[which]

        def shorten() -> None:
            file.write_bytes(file.read_bytes()[:-cut])
            shard.set_size(file, file.stat().st_size)

        _told(shard, shorten)


@settings(max_examples=8)
@given(field=st.sampled_from(["position", "head", "epoch", "log_version", "mac", None]))
def test_an_anchor_that_was_edited_or_removed(field: str | None) -> None:
    with tempfile.TemporaryDirectory() as root:
        shard = _shard(root)

        def edit() -> None:
            if field is None:
                shard.anchor().unlink()
                return
            record = json.loads(shard.anchor().read_text())
            value = record[field]
            record[field] = value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1] != "0" else "1")
            shard.anchor().write_text(json.dumps(record))

        _told(shard, edit)


def test_an_anchor_and_a_tail_that_were_put_back_together(tmp_path: Path) -> None:
    """The anchor of an earlier moment is genuine, but the owner that has the shard open knows better."""
    shard, chains = ShardFolder(tmp_path), Chains()
    journal = shard.open()
    journal.append(chains.batch("a"))
    earlier = shard.anchor().read_bytes()
    journal.append(chains.batch("a"))
    journal.append(chains.batch("a"))
    shard.anchor().write_bytes(earlier)
    assert journal.verify() != []
    with pytest.raises(MemosError, match="older than one unacknowledged commit explains"):
        shard.open()


def test_an_anchor_made_with_another_key(tmp_path: Path) -> None:
    shard = _shard(str(tmp_path))
    journal = shard.open()
    forger = Anchors(Location(StorageSpec(str(shard.anchors))), b"a guessed key")
    forger.write(journal._anchor)
    assert any("edited, or made with another key" in problem for problem in journal.verify())
    with pytest.raises(MemosError, match="edited, or made with another key"):
        shard.open()


def test_what_a_cube_is_told_names_no_other_cube(tmp_path: Path) -> None:
    shard = _shard(str(tmp_path))
    journal = shard.open()

    def edit(found: list[Row]) -> list[Row]:
        found[1]["principal"] = "mallory"
        return found

    _rewrite(shard, 1, edit)
    assert any("cube b, event 2" in problem for problem in journal.verify())
    assert any("cube b, event 2" in problem for problem in journal.verify("b"))
    assert journal.verify("a") == []
    shard.entries()[-1].unlink()
    told = journal.verify("a")
    assert told
    assert not any("cube b" in problem for problem in told)
