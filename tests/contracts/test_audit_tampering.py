"""Whatever is done to an audit behind its back, verify tells, and opening it again tells or verify does."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import MemosError
from actors.memory.auditing import AuditAction, AuditRow, audit_key, row_hash
from actors.stores.audit.rows import COLUMNS
from actors.stores.journal.anchor import Anchors
from actors.stores.location import Location, StorageSpec
from tests.contracts.audit_contract import KEY, append, row
from tests.contracts.audit_folder import AuditFolder, Row

COMMITS, ROWS = 4, 3


@cache
def _untouched() -> tempfile.TemporaryDirectory[str]:
    """The audit that every example begins with; gone when the process ends."""
    folder = tempfile.TemporaryDirectory()
    table = AuditFolder(Path(folder.name)).open()
    for n in range(COMMITS):
        append(table, *(row(10 * n + i, cube) for i, cube in enumerate(("a", "b", "a"))))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[AuditFolder]:
    yield _copy(str(tmp_path))


def _copy(root: str) -> AuditFolder:
    shutil.copytree(_untouched().name, root, dirs_exist_ok=True)
    return AuditFolder(Path(root))


def _told(folder: AuditFolder, tamper: Callable[[], None]) -> None:
    """The owner that has it open, and the one that opens it next, both see what `tamper` did: for the cube, too."""
    table = folder.open()
    assert table.verify(None).problems == ()
    tamper()
    for cube in (None, "a", "b"):
        assert table.verify(cube).problems != ()
    try:
        problems = folder.open().verify("a").problems
    except MemosError:
        return
    assert problems != ()


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return value + 1 if isinstance(value, int) else value + "x"


files = st.integers(0, COMMITS - 1)
rows = st.integers(0, ROWS - 1)


@settings(max_examples=20)
@given(which=files, at=rows, column=st.sampled_from(COLUMNS.names))
def test_an_edited_field(which: int, at: int, column: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)

        def edit(found: list[Row]) -> list[Row]:
            found[at][column] = "erase" if column == "action" else _other(found[at][column])
            return found

        _told(folder, lambda: folder.rewrite(which, edit))


@settings(max_examples=10)
@given(which=files, at=rows, renumbered=st.booleans())
def test_a_dropped_row(which: int, at: int, renumbered: bool) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)

        def drop(found: list[Row]) -> list[Row]:
            if not renumbered:
                return found[:at] + found[at + 1 :]
            found[at] = {**found[at - 1], "position": found[at]["position"]}
            return found

        _told(folder, lambda: folder.rewrite(which, drop))


def test_dropped_rows_whose_followers_were_renumbered(folder: AuditFolder) -> None:
    def drop(found: list[Row]) -> list[Row]:
        return [{**r, "position": found[i]["position"]} for i, r in enumerate(found[1:])] + [found[-1]]

    _told(folder, lambda: folder.rewrite(1, drop))


@settings(max_examples=10)
@given(which=files, pair=st.sampled_from([(0, 1), (1, 2), (0, 2)]), position_too=st.booleans())
def test_a_swapped_pair(which: int, pair: tuple[int, int], position_too: bool) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)

        def swap(found: list[Row]) -> list[Row]:
            one, other = pair
            found[one], found[other] = found[other], found[one]
            if position_too:
                here, there = found[one]["position"], found[other]["position"]
                found[one]["position"], found[other]["position"] = there, here
            return found

        _told(folder, lambda: folder.rewrite(which, swap))


@settings(max_examples=6)
@given(kept=st.integers(0, COMMITS - 1))
def test_a_tail_that_was_cut_with_its_log_entries(kept: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)

        def cut() -> None:
            # Table made, claim, the commits, and the claim of the owner that has it open.
            for entry in folder.entries()[2 + kept :]:
                entry.unlink()

        _told(folder, cut)


def test_a_tail_that_was_taken_off_by_a_commit_of_delta_itself(folder: AuditFolder) -> None:
    """The log goes on, and names one file less."""
    _told(folder, lambda: DeltaTable(str(folder.table)).delete(f"position > {ROWS * (COMMITS - 1)}"))


def test_a_last_log_entry_that_was_removed(folder: AuditFolder) -> None:
    table = folder.open()
    append(table, row(1000))
    folder.entries()[-1].unlink()
    assert table.verify("a").problems != ()
    with pytest.raises(MemosError, match="the tail was cut off"):
        folder.open()


@settings(max_examples=6)
@given(which=files)
def test_a_chain_made_anew_without_the_key(which: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)
        guessed = audit_key(b"a guessed key")

        def forge(found: list[Row]) -> list[Row]:
            head = bytes(32)
            for r in found:
                forged = AuditRow(
                    r["at_us"], "mallory", "key-1", AuditAction(r["action"]), r["cube_id"], "", r["request_id"]
                )
                head = row_hash(guessed, head, forged)
                r.update(principal="mallory", memory_id="", detail="{}", ids="", hash=head)
            return found

        _told(folder, lambda: folder.rewrite(which, forge))


@settings(max_examples=6)
@given(which=files, cut=st.integers(1, 200))
def test_a_data_file_that_was_cut_short(which: int, cut: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)

        def shorten() -> None:
            file = folder.data_files()[which]
            file.write_bytes(file.read_bytes()[:-cut])
            folder.set_size(file)

        _told(folder, shorten)


@settings(max_examples=6)
@given(which=files)
def test_a_data_file_that_was_removed(which: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)
        _told(folder, lambda: folder.data_files()[which].unlink())


@settings(max_examples=8)
@given(field=st.sampled_from(["position", "head", "epoch", "log_version", "mac", None]))
def test_an_anchor_that_was_edited_or_removed(field: str | None) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _copy(root)

        def edit() -> None:
            if field is None:
                folder.anchor().unlink()
                return
            record = json.loads(folder.anchor().read_text())
            value = record[field]
            record[field] = value + 1 if isinstance(value, int) else value[:-1] + ("0" if value[-1] != "0" else "1")
            folder.anchor().write_text(json.dumps(record))

        _told(folder, edit)


def test_an_anchor_of_the_journal_does_not_pass_for_one_of_the_audit(folder: AuditFolder) -> None:
    table = folder.open()
    Anchors(Location(StorageSpec(str(folder.anchors))), KEY).write(table._anchor)
    assert any("edited, or made with another key" in problem for problem in table.verify(None).problems)


def test_the_first_break_is_named_and_no_other_cube_is(folder: AuditFolder) -> None:
    table = folder.open()

    def edit(found: list[Row]) -> list[Row]:
        found[1]["principal"] = "mallory"
        return found

    folder.rewrite(1, edit)
    assert "'req-11' on 'b'" in table.verify("b").problems[0]
    [told] = table.verify("a").problems
    assert "req-11" not in told and "'b'" not in told
