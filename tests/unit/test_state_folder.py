"""A state folder says why it cannot be used, and keeps its secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actors.errors import ConfigError, Corrupted, NewerFormat, StateInUse, StorageUnavailable
from cluster.state_folder import FORMAT, Instance, StateFolder

INSTANCE = Instance("i", "ready", "h", "b", "http://127.0.0.1:1", "127.0.0.1:2", 3, "/tmp/r", 4)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    return folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="--state"):
        StateFolder(tmp_path / "file" / "state").prepare()


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(StorageUnavailable, match="cannot be written"):
        StateFolder(Path("/proc")).prepare()  # there for all, writable for none, root included


def test_the_number_of_shards_is_fixed(state: StateFolder) -> None:
    state.settle_format(4)
    state.settle_format(4)
    with pytest.raises(ConfigError, match="created with 4"):
        state.settle_format(8)


def test_a_newer_format_is_refused(state: StateFolder) -> None:
    (state.path / "format.json").write_text(json.dumps({"format": FORMAT + 1, "shards": 4}))
    with pytest.raises(NewerFormat):
        state.settle_format(4)


def test_a_newer_format_need_not_look_like_ours(state: StateFolder) -> None:
    (state.path / "format.json").write_text(json.dumps({"format": FORMAT + 1, "layout": {}}))
    with pytest.raises(NewerFormat):
        state.settle_format(4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x", "shards": 1}'])
def test_a_format_that_cannot_be_read_is_named(state: StateFolder, text: str) -> None:
    (state.path / "format.json").write_text(text)
    with pytest.raises(Corrupted, match=r"format\.json"):
        state.settle_format(4)


def test_secrets_are_made_once_and_private(state: StateFolder) -> None:
    first = state.secret(state.chain_key_file)
    assert state.secret(state.chain_key_file) == first
    assert len(bytes.fromhex(first)) == 32
    assert state.chain_key_file.stat().st_mode & 0o777 == 0o600
    assert state.chain_key_file.parent.stat().st_mode & 0o777 == 0o700
    state.chain_key_file.write_text(first[:10])
    with pytest.raises(Corrupted, match=r"chain\.key"):
        state.secret(state.chain_key_file)


def test_one_process_at_a_time_starts_or_stops(state: StateFolder) -> None:
    program = (
        "import sys; from pathlib import Path; from cluster.state_folder import StateFolder\n"
        "with StateFolder(Path(sys.argv[1])).locked():\n    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(state.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StateInUse), state.locked():
            pass
        other.communicate("")
    with state.locked():
        pass


def test_the_instance_is_remembered(state: StateFolder) -> None:
    assert state.read_instance() is None
    state.write_instance(INSTANCE)
    assert state.read_instance() == INSTANCE
    state.instance_file.write_text("{")
    with pytest.raises(Corrupted, match=r"instance\.json"):
        state.read_instance()


def test_a_read_only_folder_serves_a_cluster_once_the_keys_are_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(state: StateFolder) -> None:
        raise StorageUnavailable("read-only file system")

    state = StateFolder(tmp_path)
    assert state.prepare_shared() is True
    monkeypatch.setattr(StateFolder, "prepare", refuse)
    with pytest.raises(ConfigError, match=r"lacks .*chain\.key and .*key: mount both"):
        state.prepare_shared()
    state.make_secrets()
    kept = state.key_file.read_text(), state.chain_key_file.read_text()
    assert state.prepare_shared() is False
    state.make_secrets()
    assert (state.key_file.read_text(), state.chain_key_file.read_text()) == kept
