"""Opening after a crash: what was acknowledged is there, what was not is whole or gone, damage is named."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import Corrupted, NewerFormat, StorageUnavailable
from actors.memory.events import Event
from actors.memory.upcasting import SCHEMA
from actors.stores.journal import DeltaJournal, StorageSpec
from tests.contracts.journal_contract import KEY, Chains
from tests.contracts.shard_folder import ShardFolder


@pytest.fixture
def shard(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path)


def _filled(shard: ShardFolder, commits: int, chains: Chains | None = None, appends: int = 64) -> list[Event]:
    chains, journal = chains or Chains(), shard.open(appends)
    placed: list[Event] = []
    for _ in range(commits):
        placed += journal.append(chains.batch("a", "b"))
        journal.maintain()
    return placed


def _unacknowledged(shard: ShardFolder, chains: Chains, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """A commit whose owner died before the anchor, and so before the answer."""
    journal = shard.open()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_anchor_commit", die)
        with pytest.raises(KeyboardInterrupt):
            journal.append(chains.batch("c"))
    return list(shard.events_of(shard.data_files()[-1]))


@pytest.mark.parametrize("keep", [0, 1, 40])
def test_a_torn_last_entry_that_nobody_was_told_of_is_set_aside(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, keep: int
) -> None:
    chains = Chains()
    placed = _filled(shard, 3, chains)
    _unacknowledged(shard, chains, monkeypatch)
    last = shard.entries()[-1]
    last.write_bytes(last.read_bytes()[:keep])
    with caplog.at_level(logging.WARNING):
        journal = shard.open()
    assert last.name in caplog.text
    assert (shard.table / "_torn" / last.name).exists()
    assert list(journal.read()) == placed
    assert journal.verify() == []
    assert journal.append(Chains().batch("z"))[0].position == 7
    assert journal.verify() == []
    assert shard.open().position == 7


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_last_entry_whose_data_did_not_reach_the_disk_is_set_aside(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    chains = Chains()
    placed = _filled(shard, 3, chains)
    _unacknowledged(shard, chains, monkeypatch)
    file = shard.data_files()[-1]
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-7])
    journal = shard.open()
    assert list(journal.read()) == placed
    assert journal.verify() == []


def test_a_commit_that_landed_whole_without_an_answer_is_kept_and_anchored(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = Chains()
    placed = _filled(shard, 3, chains)
    placed += _unacknowledged(shard, chains, monkeypatch)
    journal = shard.open()
    assert list(journal.read()) == placed
    assert journal.verify() == []


def test_an_unanchored_commit_that_was_not_sealed_with_the_key_is_refused(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(shard, 2)
    _unacknowledged(shard, Chains(b"another key"), monkeypatch)
    with pytest.raises(Corrupted, match="not sealed with this shard's key"):
        shard.open()


@pytest.mark.parametrize("content", [b"", b'{"add":{"pa'])
def test_a_damaged_last_entry_that_was_acknowledged_is_named(shard: ShardFolder, content: bytes) -> None:
    _filled(shard, 3)
    last = shard.entries()[-1]
    last.write_bytes(content)
    with pytest.raises(Corrupted, match=last.name):
        shard.open()
    assert last.read_bytes() == content


def test_a_damaged_earlier_entry_is_named(shard: ShardFolder) -> None:
    _filled(shard, 3)
    shard.entries()[2].write_bytes(b"")
    with pytest.raises(Corrupted, match=shard.entries()[2].name):
        shard.open()


def test_a_missing_earlier_entry_is_named(shard: ShardFolder) -> None:
    _filled(shard, 3)
    missing = shard.entries()[2]
    missing.unlink()
    with pytest.raises(Corrupted, match=missing.name):
        shard.open()


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_damaged_data_file_is_named(shard: ShardFolder, which: int, damage: str) -> None:
    _filled(shard, 3)
    file = shard.data_files()[which]
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(Corrupted, match=file.name):
        shard.open()


def test_a_flipped_bit_is_named_when_it_is_read(shard: ShardFolder) -> None:
    _filled(shard, 3)
    journal = shard.open()
    file = shard.data_files()[1]
    data = bytearray(file.read_bytes())
    data[data.index(b"mem_") + 6] ^= 1
    file.write_bytes(data)
    with pytest.raises(Corrupted, match=file.name):
        list(journal.read())
    with pytest.raises(Corrupted, match=file.name):
        list(journal.read_cube("a"))
    assert any(file.name in problem for problem in journal.verify())


def test_a_torn_checkpoint_is_set_aside_while_the_log_holds_what_it_held(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between writing the checkpoint and syncing it."""
    chains, journal = Chains(), shard.open(appends=3)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    placed: list[Event] = []
    with monkeypatch.context() as patch:
        patch.setattr("actors.stores.journal.deltalog.sync_checkpoint", die)
        for _ in range(3):
            placed += journal.append(chains.batch("a", "b"))
        with pytest.raises(KeyboardInterrupt):
            journal.maintain()
    checkpoint = next(shard.log.glob("*.checkpoint.parquet"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    (shard.log / "_last_checkpoint").write_bytes(b"")
    again = shard.open()
    assert list(again.read()) == placed
    assert (shard.table / "_torn" / checkpoint.name).exists()
    assert again.append(chains.batch("a"))[0].position == 7
    assert again.verify() == []


def test_a_damaged_checkpoint_that_the_log_needs_is_named(shard: ShardFolder) -> None:
    _filled(shard, 3, appends=3)
    checkpoint = next(shard.log.glob("*.checkpoint.parquet"))
    checkpoint.write_bytes(b"")
    with pytest.raises(Corrupted, match=checkpoint.name):
        shard.open()


def test_files_that_no_commit_names_are_collected(shard: ShardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    chains = Chains()
    placed = _filled(shard, 2, chains)
    journal = shard.open()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal._log, "commit", die)
    with pytest.raises(KeyboardInterrupt):
        journal.append(chains.batch("a"))
    assert len(shard.data_files()) == 3
    again = shard.open()
    assert len(shard.data_files()) == 2
    assert list(again.read()) == placed


def test_a_log_entry_that_its_owner_was_killed_while_writing_is_collected(shard: ShardFolder) -> None:
    placed = _filled(shard, 3)
    entry = shard.entries()[-1]
    staged = [shard.log / f"{name}#1" for name in (entry.name, "_last_checkpoint")]
    for path in staged:
        path.write_bytes(entry.read_bytes()[:40])
    assert list(shard.open().read()) == placed
    assert not any(path.exists() for path in staged) and entry.exists()


def test_files_that_a_compaction_replaced_are_collected_after_a_crash(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains, journal = Chains(), shard.open(appends=3)
    placed = [event for _ in range(3) for event in journal.append(chains.batch("a", "b"))]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal._location, "delete", die)
    with pytest.raises(KeyboardInterrupt):
        journal.maintain()
    assert len(shard.data_files()) == 4
    again = shard.open()
    assert len(shard.data_files()) == 1
    assert list(again.read()) == placed
    assert again.verify() == []


def test_neither_files_nor_log_grow_for_ever(shard: ShardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.stores.journal.deltalog.LONGEST_LOG", 10)
    journal, chains = shard.open(appends=4), Chains()
    for _ in range(40):
        journal.append(chains.batch("a"))
        journal.maintain()
    assert len(shard.data_files()) <= 8
    assert len(shard.entries()) <= 8
    for _ in range(30):
        shard.open()
    assert len(shard.entries()) <= 12
    assert shard.open().verify() == []


def test_no_content_enters_the_log_or_its_checkpoint(shard: ShardFolder) -> None:
    journal, chains = shard.open(appends=2), Chains()
    secret = "the-secret-is-out"
    for _ in range(3):
        journal.append([chains.seal("a", secret)])
    journal.maintain()
    journal.append([chains.seal("a", secret)])
    logged = b"".join(path.read_bytes() for path in shard.log.iterdir())
    assert journal.position == 4
    for private in (secret, "alice", "req-1"):
        assert private.encode() not in logged


def test_a_format_from_the_future_is_refused_at_once(shard: ShardFolder) -> None:
    journal = shard.open()
    journal.append([replace(Chains().seal("a"), schema=SCHEMA + 1)])
    with pytest.raises(NewerFormat, match=str(shard.table)):
        shard.open()
    with pytest.raises(NewerFormat):
        list(journal.read())


def test_a_table_that_is_gone_is_not_made_anew(shard: ShardFolder) -> None:
    _filled(shard, 2)
    shard.table.rename(shard.table.with_name("elsewhere"))
    with pytest.raises(Corrupted, match=str(shard.table)):
        shard.open()
    assert not shard.log.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for table, anchors in ((blocked / "journal", tmp_path / "a"), (tmp_path / "j", blocked / "a")):
        with pytest.raises(StorageUnavailable, match=str(blocked)):
            DeltaJournal(StorageSpec(str(table)), StorageSpec(str(anchors)), KEY)


def test_a_data_file_that_could_not_be_written_leaves_the_journal_usable(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, chains = shard.open(), Chains()
    first = journal.append(chains.batch("a"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    lost = chains.batch("a")
    with monkeypatch.context() as patch:
        patch.setattr("actors.stores.location.write_file", full)
        with pytest.raises(StorageUnavailable, match="No space left") as failure:
            journal.append(lost)
    assert failure.value.facts["outcome"] == "none"
    assert journal.append(lost)[0].position == 2
    assert next(iter(journal.read())) == first[0]


def test_after_an_unknown_outcome_nothing_is_appended_until_it_is_opened_anew(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, chains = shard.open(), Chains()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    batch = chains.batch("a")
    with monkeypatch.context() as patch:
        patch.setattr("actors.stores.location.sync_file", broken)
        with pytest.raises(StorageUnavailable, match="Input/output") as failure:
            journal.append(batch)
    assert failure.value.facts["outcome"] == "unknown"
    with pytest.raises(StorageUnavailable):
        journal.append(batch)
    assert [event.at_position(0) for event in shard.open().read()] == batch


def _parts(chains: Chains) -> list[list[Event]]:
    return [chains.batch("c", "c"), chains.batch("c"), chains.batch("c", "c")]


def _dying(shard: ShardFolder, chains: Chains, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """An owner that dies within a commit of several files."""
    journal = shard.open()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal if what.startswith("_") else journal._log, what, die)
        with pytest.raises(KeyboardInterrupt):
            journal.append_parts(_parts(chains))


def test_a_commit_of_several_files_that_was_not_anchored_is_kept_whole(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = Chains()
    placed = _filled(shard, 2, chains)
    _dying(shard, chains, monkeypatch, "_anchor_commit")
    journal = shard.open()
    assert len(list(journal.read())) == len(placed) + 5
    assert journal.verify() == []
    assert shard.open().position == len(placed) + 5


def test_a_commit_of_several_files_that_did_not_land_leaves_none(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = Chains()
    placed = _filled(shard, 2, chains)
    before = set(shard.data_files())
    _dying(shard, chains, monkeypatch, "commit_all")
    assert len(set(shard.data_files()) - before) == 3
    journal = shard.open()
    assert list(journal.read()) == placed
    assert set(shard.data_files()) == before


def test_a_commit_of_several_files_without_one_of_them_is_set_aside(
    shard: ShardFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains = Chains()
    placed = _filled(shard, 2, chains)
    before = set(shard.data_files())
    _dying(shard, chains, monkeypatch, "_anchor_commit")
    next(iter(set(shard.data_files()) - before)).unlink()
    assert list(shard.open().read()) == placed


def test_compaction_leaves_the_files_of_such_a_commit_alone(shard: ShardFolder) -> None:
    chains, journal = Chains(), shard.open(4)
    journal.append(chains.batch("a"))
    last = journal.append_parts(_parts(chains))
    large = {file.name for file in shard.data_files() if "-i" in file.name}
    for _ in range(9):
        journal.append(chains.batch("a"))
        journal.maintain()
    assert len(large) == 3 and large <= {file.name for file in shard.data_files()}
    assert last.position == 6 and [e.position for e in journal.read()] == list(range(1, 16))
    assert journal.verify() == []
