"""After a power cut at any moment, everything that was acknowledged by then is there, and nothing is half there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from actors.memory.events import Event
from actors.stores.durability import sync_file
from actors.stores.location import StorageSpec
from actors.stores.snapshots import SnapshotFolder
from tests.contracts.journal_contract import Chains
from tests.contracts.power_cut import Names, PowerCut
from tests.contracts.shard_folder import ShardFolder

COMMITS, COMPACT_AFTER = 6, 2


@pytest.mark.parametrize("names", Names)
def test_a_journal_keeps_what_it_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names) -> None:
    root, image = tmp_path / "shard", tmp_path / "image"
    root.mkdir()
    acknowledged: list[Event] = []
    cuts = 0

    def cut() -> None:
        nonlocal cuts
        cuts += 1
        power.image(image, names)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", lambda _: None)
            _check(ShardFolder(image), acknowledged)
        shutil.rmtree(image)

    with PowerCut(root, monkeypatch) as power:
        power.before_sync = cut
        chains = Chains()
        for _ in range(2):
            journal = ShardFolder(root).open(COMPACT_AFTER)
            for _ in range(COMMITS // 2):
                acknowledged += journal.append(chains.batch("a", "b"))
                journal.maintain()
        cut()
    assert cuts > 5 * COMMITS


def _check(shard: ShardFolder, acknowledged: list[Event]) -> None:
    journal = shard.open(COMPACT_AFTER)
    stored = list(journal.read())
    assert stored[: len(acknowledged)] == acknowledged
    assert len(stored) - len(acknowledged) in (0, 2)
    assert journal.verify() == []
    journal.append(Chains().batch("z"))
    assert journal.verify() == []


@pytest.mark.parametrize("names", Names)
def test_snapshots_are_the_earlier_ones_or_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: Names
) -> None:
    root, image = tmp_path / "snapshots", tmp_path / "image"
    root.mkdir()
    written = 0

    def cut() -> None:
        power.image(image, names)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", lambda _: None)
            again = SnapshotFolder(StorageSpec(str(image)), b"key")
        assert again.position in (written, written + 1)
        for cube in range(again.position):
            assert again.read(f"cube-{cube % 3}") is not None
        if again.position:
            newest = again.position - 1
            assert again.read(f"cube-{newest % 3}") == b"state %d" % newest
        shutil.rmtree(image)

    with PowerCut(root, monkeypatch) as power:
        power.before_sync = cut
        snapshots = SnapshotFolder(StorageSpec(str(root)), b"key")
        for number in range(20):
            snapshots.write(number + 1, [(f"cube-{number % 3}", b"state %d" % number)])
            written = number + 1
        cut()


def test_a_file_that_was_never_synced_is_empty_also_in_the_place_of_one_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File systems hand out the inode of a deleted file again, at once."""
    root = tmp_path / "root"
    root.mkdir()
    with PowerCut(root, monkeypatch) as power:
        for number in range(50):
            synced, unsynced = root / f"synced-{number}", root / f"unsynced-{number}"
            synced.write_bytes(b"synced")
            sync_file(synced)
            synced.unlink()
            unsynced.write_bytes(b"unsynced")
        power.image(tmp_path / "image", Names.ALL)
    assert {file.read_bytes() for file in (tmp_path / "image").iterdir()} == {b""}
