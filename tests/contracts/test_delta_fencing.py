"""An owner that was succeeded cannot commit, whichever handle it uses, and takes nothing of its successor."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.errors import Fenced, StorageUnavailable
from actors.memory.ports import Journal
from tests.contracts.journal_contract import Chains
from tests.contracts.shard_folder import ShardFolder


@pytest.fixture
def shard(tmp_path: Path) -> ShardFolder:
    return ShardFolder(tmp_path)


def _refuses(journal: Journal, chains: Chains, successor: Journal) -> None:
    before = list(successor.read())
    for _ in range(2):
        with pytest.raises(Fenced, match="epoch 1 was taken over by epoch 2"):
            journal.append(chains.batch("a"))
    assert list(successor.read()) == before
    assert successor.verify() == []


def test_on_its_kept_handle(shard: ShardFolder) -> None:
    chains = Chains()
    first = shard.open()
    first.append(chains.batch("a"))
    _refuses(first, chains, shard.open())


def test_on_a_handle_that_was_refreshed(shard: ShardFolder) -> None:
    """Delta itself accepts this one: nothing is concurrent any more, and it never compares epochs."""
    chains = Chains()
    first = shard.open()
    first.append(chains.batch("a"))
    second = shard.open()
    first._log.handle.update_incremental()
    _refuses(first, chains, second)


def test_when_the_claim_lands_between_check_and_commit(shard: ShardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    chains = Chains()
    first = shard.open()
    first.append(chains.batch("a"))
    successors: list[Journal] = []
    commit = first._log._commit

    def claim_first(*args: object) -> None:
        if not successors:
            successors.append(shard.open())
        commit(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(first._log, "_commit", claim_first)
    with pytest.raises(Fenced):
        first.append(chains.batch("a"))
    _refuses(first, chains, successors[0])


def test_when_the_claim_lands_right_behind_its_commit(shard: ShardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commit came first, so it stands; the next one does not."""
    chains = Chains()
    first = shard.open()
    successors: list[Journal] = []
    commit = first._log._commit

    def claim_after(*args: object) -> None:
        commit(*args)  # type: ignore[arg-type]
        successors.append(shard.open())

    monkeypatch.setattr(first._log, "_commit", claim_after)
    placed = first.append(chains.batch("a", "b"))
    assert list(successors[0].read()) == placed
    _refuses(first, chains, successors[0])
    again = shard.open()
    assert again.append(Chains().batch("z"))[0].position == 3
    assert again.verify() == []


def test_with_a_compaction(shard: ShardFolder) -> None:
    chains = Chains()
    first = shard.open(appends=2)
    placed = [*first.append(chains.batch("a")), *first.append(chains.batch("a"))]
    second = shard.open()
    with pytest.raises(Fenced):
        first.maintain()
    assert list(second.read()) == placed
    assert second.verify() == []


def test_with_a_claim_of_its_own_at_the_same_moment(shard: ShardFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two owners that open at once get different epochs."""
    from actors.stores.journal import deltalog

    commit = deltalog.DeltaLog._commit
    winners: list[Journal] = []

    def lose_the_race(self: deltalog.DeltaLog, actions: list[object], epoch: int) -> None:
        if not winners and self.epoch == 0:
            monkeypatch.setattr(deltalog.DeltaLog, "_commit", commit)
            winners.append(shard.open())
        commit(self, actions, epoch)

    monkeypatch.setattr(deltalog.DeltaLog, "_commit", lose_the_race)
    loser = shard.open()
    assert (winners[0].epoch, loser.epoch) == (1, 2)
    with pytest.raises(Fenced):
        winners[0].append(Chains().batch("a"))
    assert loser.append(Chains().batch("a"))[0].position == 1


def test_a_commit_that_another_program_made_is_not_taken_for_ours(shard: ShardFolder) -> None:
    """Something that knows nothing of epochs wrote the log: the outcome is told as unknown, nothing is retried."""
    chains = Chains()
    journal = shard.open()
    journal.append(chains.batch("a"))
    last = shard.entries()[-1]
    foreign = last.with_name(f"{int(last.stem) + 1:020d}.json")
    foreign.write_text('{"commitInfo":{"timestamp":0,"operation":"WRITE","operationParameters":{}}}')
    for _ in range(2):
        with pytest.raises(StorageUnavailable) as failure:
            journal.append(chains.batch("a"))
        assert failure.value.facts["outcome"] == "unknown"
    assert shard.open().position == 1


def test_a_late_anchor_of_a_fenced_owner_does_not_hide_its_successors(shard: ShardFolder) -> None:
    chains = Chains()
    first = shard.open()
    first.append(chains.batch("a"))
    late = first._anchor
    second = shard.open()
    second.append(chains.batch("a"))
    second.append(chains.batch("a"))
    first._anchors.write(late)
    assert second.verify() == []
    assert shard.open().position == 3
