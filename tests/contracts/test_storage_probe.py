"""What is wrong with a storage is told before anything starts: which URI, what it is, and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.errors import ConfigError, StorageUnavailable
from actors.stores.location import Location, StorageSpec
from actors.stores.probe import probe
from cluster.preflight import check_storage, examine
from cluster.settings import Settings
from tests.contracts.s3 import S3, Fault, no_faults, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3_server() as store:
        yield store


@pytest.fixture
def s3(server: S3) -> S3:
    server.faults = no_faults
    return server


def test_a_storage_that_works_is_left_as_it_was(s3: S3, tmp_path: Path) -> None:
    probe(s3.uri, s3.options)
    probe(str(tmp_path / "shared"), {})
    assert Location(StorageSpec(s3.uri, s3.options)).sizes() == {}
    assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [(Fault.EXPIRED, "the credentials have expired: renew them"), (Fault.READ_ONLY, "it may not be written")],
)
def test_what_the_store_refuses_is_told(s3: S3, fault: Fault, said: str) -> None:
    s3.faults = lambda method, path: fault
    with pytest.raises(StorageUnavailable, match=said) as raised:
        probe(s3.uri, s3.options)
    assert s3.uri in raised.value.detail
    assert len(s3.seen) < 50  # it is not tried for long


def test_a_missing_bucket_is_told(s3: S3) -> None:
    with pytest.raises(ConfigError, match=r"s3://nowhere/state: there is no such bucket.*state\.journal_uri"):
        probe("s3://nowhere/state", s3.options)


def test_a_store_that_is_not_reached_is_told(s3: S3) -> None:
    with pytest.raises(StorageUnavailable, match="it is not reached: check the network"):
        probe(s3.uri, {**s3.options, "aws_endpoint_url": "http://127.0.0.1:9"})


def test_an_unknown_scheme_is_told() -> None:
    with pytest.raises(ConfigError, match="gopher://"):
        probe("gopher://hole/state", {})


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnavailable, match=str(tmp_path)):
        probe(str(tmp_path / "file" / "shared"), {})


def test_a_start_and_the_doctor_look_at_it(s3: S3, tmp_path: Path) -> None:
    state = {"folder": str(tmp_path), "journal_uri": "s3://nowhere/state", "storage_options": s3.options}
    settings = Settings.model_validate({"state": state})
    with pytest.raises(ConfigError, match="no such bucket"):
        check_storage(settings)
    assert ["no such bucket" in check.problem for check in examine(settings) if check.name == "storage"] == [True]
