"""Imports and backups, killed; and a backup beside writers. All on files, without Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actors.errors import Corrupted, StateInUse
from actors.host import CubeHost, HostSpec
from actors.memory.governance import Caller
from actors.memory.requests import AddMemories, ExportCube, ListMemories, Moment, NewCube, NewMemory, Wait
from actors.stores.journal import CompactionLimits, DeltaJournal
from actors.system import FirstGovernor, SystemHost
from actors.system_opening import SystemSpec, open_system
from cluster.backup import RECORD, Backup, back_up, restore
from cluster.settings import load_settings
from cluster.state_folder import StateFolder
from tests.integration.archive_child import COPY, import_into
from tests.unit.hosts import OWNER, Catalogue, HashEmbedder, file_host

ROUNDS = int(os.environ.get("MEMOS_KILL_ROUNDS", "3"))


def child(what: str, folder: Path, other: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.archive_child", what, str(folder), str(other)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], word: str, pause_s: float) -> None:
    """Kill -9 when it has said `word`, a moment later: where in its work it is then is anybody's guess."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            break
    threading.Event().wait(pause_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def many(count: int, start: int = 0) -> AddMemories:
    return AddMemories(
        tuple(NewMemory(f"memory {n} of many, {n * n}") for n in range(start, start + count)), wait=Wait.JOURNAL
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of two thousand memories."""
    catalogue = Catalogue()
    catalogue.register("home")
    host = file_host(tmp_path_factory.mktemp("origin"), catalogue, HashEmbedder())
    for start in range(0, 2000, 1000):
        host.add(OWNER, "home", many(1000, start))
    name = host.begin_export(OWNER, "home", ExportCube())
    file, number = tmp_path_factory.mktemp("archive") / "home.tar", 0
    with file.open("wb") as out:
        while chunk := host.export_chunk(OWNER, name, number):
            out.write(chunk)
            number += 1
    host.close()
    return file


@pytest.mark.timeout(200)
def test_an_import_that_is_killed_is_there_whole_or_not_at_all(archive: Path, tmp_path: Path) -> None:
    outcomes = set()
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        kill_after(child("import", folder, archive), "sent", 0.4 * number)
        host = file_host(folder, Catalogue(), HashEmbedder())
        there = host.settle_import(COPY)
        outcomes.add(there)
        assert not list((folder / "indexes" / "spool").rglob("*.tar"))
        catalogue = Catalogue()
        host.close()
        if not there:
            import_into(folder, archive.read_bytes())  # what is left of it does not stand in the way
        catalogue.register("copy")
        host = file_host(folder, catalogue, HashEmbedder())
        assert host.read_cube(OWNER, "copy").version == 2001
        assert host.verify(OWNER, "copy").problems == ()
        host.close()
    assert False in outcomes


class State:
    """A state folder with a system shard and a host of two shards, open."""

    def __init__(self, folder: Path) -> None:
        self.folder = StateFolder(folder)
        self.folder.prepare()
        self.folder.settle_format(2)
        self.folder.make_secrets()
        self.chain_key = bytes.fromhex(self.folder.secret(self.folder.chain_key_file))
        self.system, self.host = self.open()
        self.governor = Caller("governor", "key-1", "req")

    def open(self) -> tuple[SystemHost, CubeHost]:
        uri = str(self.folder.path / "shards")
        system = open_system(SystemSpec(uri, self.chain_key, FirstGovernor("governor", "key-1", "digest")))
        spec = HostSpec("host-0", uri, uri, (0, 1), 2, self.chain_key)
        return system, CubeHost.open(spec, HashEmbedder(), system)

    def close(self) -> None:
        self.host.close()
        self.system.close()

    def back_up(self, target: Path) -> Backup:
        return back_up(load_settings(None, self.folder.path, None), target, lambda text: None)


class Writer(threading.Thread):
    """Adds to a cube of its own, one memory at a time; `answered` are those that it was told of."""

    def __init__(self, state: State, number: int) -> None:
        super().__init__()
        self.cube = f"cube-{number}"
        self.answered: list[str] = []
        self._state, self._ended = state, threading.Event()
        state.system.register_cube(state.governor, NewCube(self.cube))

    def run(self) -> None:
        while not self._ended.is_set():
            added = self._state.host.add(self._state.governor, self.cube, many(1, len(self.answered)))
            self.answered.append(added.memories[0].id)

    def stop(self) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """A state whose journals compact every few commits."""
    known = DeltaJournal.__init__

    def eager(journal: DeltaJournal, *args: object, **options: object) -> None:
        known(journal, *args, **{**options, "limits": CompactionLimits(appends=4)})  # type: ignore[arg-type]

    monkeypatch.setattr(DeltaJournal, "__init__", eager)
    return State(tmp_path / "state")


def test_a_backup_beside_writers_has_all_that_was_answered_before_it_began(busy: State, tmp_path: Path) -> None:
    writers = [Writer(busy, number) for number in range(3)]
    backups = []
    for writer in writers:
        writer.start()
    try:
        while min(len(writer.answered) for writer in writers) < 5:
            threading.Event().wait(0.01)
        for number in range(3):
            before = {writer.cube: list(writer.answered) for writer in writers}
            backups.append((before, busy.back_up(tmp_path / f"backup-{number}")))
    finally:
        for writer in writers:
            writer.stop()
        busy.close()
    for number, (before, made) in enumerate(backups):
        restore(made.path, tmp_path / f"restored-{number}", lambda text: None)
        restored = State(tmp_path / f"restored-{number}")
        assert restored.system.verify() == []
        for cube, answered in before.items():
            for memory_id in answered:
                restored.host.read_memory(busy.governor, cube, memory_id, None)
            assert restored.host.verify(busy.governor, cube).problems == ()
            restored.host.add(busy.governor, cube, many(1))
        restored.close()


def test_a_backup_that_is_killed_leaves_nothing_that_looks_like_one(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.system.register_cube(state.governor, NewCube("home"))
    state.host.add(state.governor, "home", many(1000))
    state.close()
    target = tmp_path / "backup"
    for word in ("begun", "checking"):
        kill_after(child("backup", tmp_path / "state", target), word, 0.0)
        assert not target.exists() or (target / RECORD).exists()
        if target.exists():
            break
    made = target if target.exists() else state.back_up(target).path
    restore(made, tmp_path / "restored", lambda text: None)
    assert State(tmp_path / "restored").host.read_cube(state.governor, "home").version == 1001


def test_what_is_private_stays_so_and_nothing_of_the_running_instance_is_copied(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    (tmp_path / "state" / "instance.json").write_text("{}")
    state.folder.secret(state.folder.ray_token_file)
    state.close()
    state.back_up(tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored", lambda text: None)
    for folder in (tmp_path / "backup", tmp_path / "restored"):
        paths = [folder, *folder.rglob("*")]
        assert all(path.stat().st_mode & 0o077 == 0 for path in paths)
        assert not {path.name for path in paths} & {"instance.json", "ray.token", "url", "lock"}
    assert (tmp_path / "restored" / "key").read_text() == (tmp_path / "state" / "key").read_text()


def test_a_restore_refuses_a_folder_in_use_and_a_backup_that_is_damaged(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.close()
    state.back_up(tmp_path / "backup")
    with pytest.raises(StateInUse, match="not empty"):
        restore(tmp_path / "backup", tmp_path / "state", lambda text: None)
    with pytest.raises(StateInUse, match="not empty"):
        state.back_up(tmp_path / "backup")
    with pytest.raises(Corrupted, match="is no backup"):
        restore(tmp_path / "state", tmp_path / "other", lambda text: None)
    [entry, *_] = (tmp_path / "backup").glob("shards/system/journal/*.parquet")
    entry.write_bytes(entry.read_bytes()[:-1] + b"x")
    with pytest.raises(Corrupted, match="is not what was backed up"):
        restore(tmp_path / "backup", tmp_path / "other", lambda text: None)
    entry.unlink()
    with pytest.raises(Corrupted, match="is missing from the backup"):
        restore(tmp_path / "backup", tmp_path / "other", lambda text: None)
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob(".other*"))


def test_a_version_of_the_past_is_read_from_an_import(archive: Path, tmp_path: Path) -> None:
    import_into(tmp_path, archive.read_bytes())
    catalogue = Catalogue()
    catalogue.register("copy")
    host = file_host(tmp_path, catalogue, HashEmbedder())
    page = host.list_memories(OWNER, "copy", ListMemories(limit=5, as_of=Moment(version=4)))
    assert [memory.text for memory in page.items] == [f"memory {n} of many, {n * n}" for n in range(3)]
    host.close()
