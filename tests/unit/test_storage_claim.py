"""Who owns a storage: a second instance is refused or fences the first, and a stopped one frees it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import ConfigError, Corrupted, NewerFormat, StateInUse
from actors.instance_claim import CLAIM_FILE, InstanceClaim
from actors.stores.location import StorageSpec
from cluster.storage_claim import ClaimRecord, StorageClaim, seal_of

FIRST = ClaimRecord("one", "Ray at 10.0.0.1:6379", 1_700_000_000_000_000, 4, seal_of(b"k" * 32))
SECOND = replace(FIRST, instance="two", where="Ray at 10.0.0.2:6379")


@pytest.fixture
def storage(tmp_path: Path) -> StorageSpec:
    return StorageSpec(str(tmp_path / "shared"))


def test_the_first_claims_and_may_claim_again(storage: StorageSpec) -> None:
    claim = StorageClaim(storage)
    assert claim.read() is None
    for _ in range(2):
        assert claim.take(FIRST, "refuse") is None
        assert claim.read() == FIRST
    InstanceClaim(storage, "one").check()


def test_a_second_is_refused_and_told_who_where_and_since_when(storage: StorageSpec) -> None:
    StorageClaim(storage).take(FIRST, "refuse")
    with pytest.raises(StateInUse) as raised:
        StorageClaim(storage).take(SECOND, "refuse")
    for said in ("instance one", "10.0.0.1:6379", "2023-11-14T22:13:20", "cluster.takeover: fence"):
        assert said in raised.value.detail
    InstanceClaim(storage, "one").check()


def test_a_second_that_fences_says_whom_and_the_first_is_told(storage: StorageSpec) -> None:
    StorageClaim(storage).take(FIRST, "refuse")
    assert StorageClaim(storage).take(SECOND, "fence") == FIRST
    InstanceClaim(storage, "two").check()
    with pytest.raises(StateInUse, match=r"instance two \(Ray at 10.0.0.2:6379\).*instance one was fenced"):
        InstanceClaim(storage, "one").check()


def test_a_stopped_instance_frees_its_claim_and_no_other(storage: StorageSpec) -> None:
    claim = StorageClaim(storage)
    claim.take(FIRST, "refuse")
    assert claim.free("two") is False
    assert claim.free("one") is True
    with pytest.raises(StateInUse, match="nobody"):
        InstanceClaim(storage, "one").check()
    assert claim.take(SECOND, "refuse") is None


def test_a_predecessor_that_is_known_to_be_gone_is_not_in_the_way(storage: StorageSpec) -> None:
    StorageClaim(storage).take(FIRST, "refuse")
    assert StorageClaim(storage).take(SECOND, "refuse", predecessor="one") is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(replace(FIRST, shards=8), "created with 4"), (replace(FIRST, seal=seal_of(b"x" * 32)), "chain.key")],
)
def test_another_number_of_shards_or_key_is_refused_even_when_fencing(
    storage: StorageSpec, wanted: ClaimRecord, said: str
) -> None:
    StorageClaim(storage).take(FIRST, "refuse")
    StorageClaim(storage).free("one")
    with pytest.raises(ConfigError, match=said):
        StorageClaim(storage).take(wanted, "fence")


@pytest.mark.parametrize(("text", "error"), [("{", Corrupted), ("{}", Corrupted), ('{"format": 9}', NewerFormat)])
def test_a_claim_that_cannot_be_read_is_named(storage: StorageSpec, text: str, error: type[Exception]) -> None:
    assert storage.local is not None
    storage.local.mkdir()
    (storage.local / CLAIM_FILE).write_text(text)
    with pytest.raises(error, match=CLAIM_FILE):
        StorageClaim(storage).take(FIRST, "fence")
