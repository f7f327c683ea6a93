"""Snapshots: the newest state of each chain, never a damaged one, whatever a crash leaves behind."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import Corrupted, NewerFormat
from actors.stores.location import Location, StorageSpec
from actors.stores.snapshots import MANIFEST, MERGE_ABOVE, SnapshotFolder

KEY = b"snapshot key"


def _open(folder: Path) -> SnapshotFolder:
    return SnapshotFolder(StorageSpec(str(folder)), KEY)


def _files(folder: Path) -> list[Path]:
    named = [file["name"] for file in json.loads((folder / MANIFEST).read_text())["files"]]
    assert sorted(named) == sorted(path.name for path in folder.glob("*.states"))
    return [folder / name for name in named]


def test_there_are_none_at_first(tmp_path: Path) -> None:
    snapshots = _open(tmp_path)
    assert snapshots.position == 0
    assert snapshots.read("a") is None


def test_the_newest_state_of_each_chain_is_read_here_and_by_the_next_owner(tmp_path: Path) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(3, [("b", b"b1"), ("a", b"a1")])
    snapshots.write(5, [("b", b"b2")])
    for view in (snapshots, _open(tmp_path)):
        assert view.position == 5
        assert [view.read(cube) for cube in ("a", "b", "c")] == [b"a1", b"b2", None]


def test_a_write_holds_only_what_changed(tmp_path: Path) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(1, [(f"cube-{i}", bytes(1000)) for i in range(500)])
    large = _files(tmp_path)[0].read_bytes()
    snapshots.write(2, [("cube-7", b"changed")])
    first, second = _files(tmp_path)
    assert first.read_bytes() == large
    assert second.stat().st_size < 2000


def test_a_write_without_states_moves_the_position(tmp_path: Path) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(4, [])
    assert _open(tmp_path).position == 4
    with pytest.raises(ValueError, match="reach 4"):
        snapshots.write(3, [])


@settings(max_examples=20)
@given(
    writes=st.lists(
        st.dictionaries(st.sampled_from("abcdefgh"), st.binary(max_size=40), max_size=5), min_size=1, max_size=30
    )
)
def test_many_writes_read_as_a_dictionary_does(
    tmp_path_factory: pytest.TempPathFactory, writes: list[dict[str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("snapshots")
    snapshots, expected = _open(folder), dict[str, bytes]()
    for position, states in enumerate(writes, start=1):
        snapshots.write(position, states.items())
        expected.update(states)
        assert len(_files(folder)) <= MERGE_ABOVE + 1
    for view in (snapshots, _open(folder)):
        assert {cube: state for cube in "abcdefgh" if (state := view.read(cube)) is not None} == expected


@pytest.mark.parametrize("when", ["file", "manifest"])
def test_a_crash_while_writing_leaves_the_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(3, [("a", b"a1")])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(snapshots._location, "sync" if when == "file" else "replace", die)
        with pytest.raises(KeyboardInterrupt):
            snapshots.write(5, [("a", b"a2"), ("b", b"b1")])
    assert len(list(tmp_path.glob("*.states"))) == 2
    again = _open(tmp_path)
    assert (again.position, again.read("a"), again.read("b")) == (3, b"a1", None)
    assert len(_files(tmp_path)) == 1


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_a_damaged_file_is_named_and_the_others_still_answer(tmp_path: Path, damage: str, known: bool) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(1, [("a", b"state of a " * 10), ("b", b"b1")])
    snapshots.write(2, [("b", b"b2")])
    if known:
        assert snapshots.read("a") is not None
    file = _files(tmp_path)[0]
    data = bytearray(file.read_bytes())
    data[data.index(b"state of a")] ^= 255
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(data if damage == "flip" else data[:20])
    view = snapshots if known else _open(tmp_path)
    assert view.read("b") == b"b2"
    with pytest.raises(Corrupted, match=file.name):
        view.read("a")
    if damage != "flip" and not known:
        with pytest.raises(Corrupted, match=file.name):
            view.read("nobody")  # it may have been in the damaged file: what it holds is not known
    view.discard()
    assert (view.position, view.read("a")) == (0, None)


def test_a_damaged_file_does_not_stop_later_writes(tmp_path: Path) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(1, [("a", b"a1")])
    _files(tmp_path)[0].write_bytes(b"")
    snapshots = _open(tmp_path)
    for position in range(2, 2 + 2 * MERGE_ABOVE):
        snapshots.write(position, [("b", bytes([position]))])
    assert snapshots.read("b") == bytes([position])
    with pytest.raises(Corrupted):
        snapshots.read("a")


@pytest.mark.parametrize("edit", [b"", b"{", None])
def test_a_damaged_or_edited_manifest_counts_as_none(tmp_path: Path, edit: bytes | None) -> None:
    _open(tmp_path).write(3, [("a", b"a1")])
    manifest = tmp_path / MANIFEST
    if edit is None:
        edit = manifest.read_bytes().replace(b'"position": 3', b'"position": 9')
    manifest.write_bytes(edit)
    snapshots = _open(tmp_path)
    assert (snapshots.position, snapshots.read("a")) == (0, None)


def test_a_manifest_from_the_future_is_refused(tmp_path: Path) -> None:
    _open(tmp_path).write(3, [("a", b"a1")])
    manifest = tmp_path / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b'"format": 3', b'"format": 4'))
    with pytest.raises(NewerFormat, match=MANIFEST):
        _open(tmp_path)
    assert list(tmp_path.glob("*.states"))


def test_snapshots_of_an_older_format_are_folded_anew(tmp_path: Path) -> None:
    old = {"format": 1, "position": 3, "files": [{"name": "s-1.parquet", "sha256": "00", "size": 3}], "mac": "00"}
    (tmp_path / MANIFEST).write_text(json.dumps(old))
    (tmp_path / "s-1.parquet").write_bytes(b"old")
    snapshots = _open(tmp_path)
    assert (snapshots.position, snapshots.read("a")) == (0, None)
    assert not (tmp_path / "s-1.parquet").exists()
    snapshots.write(4, [("a", b"a1")])
    assert _open(tmp_path).read("a") == b"a1"


def test_reading_a_state_reads_its_own_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(1, [(f"cube-{n:04d}", random.Random(n).randbytes(5000)) for n in range(2000)])
    snapshots = _open(tmp_path)
    sizes, read = [], Location.read_part

    def counting(self: Location, name: str, offset: int, size: int) -> bytes:
        sizes.append(size)
        return read(self, name, offset, size)

    monkeypatch.setattr(Location, "read_part", counting)
    assert snapshots.read("cube-0777") == random.Random(777).randbytes(5000)
    assert snapshots.read("cube-0777x") is None
    assert len(sizes) == 2 and sum(sizes) < 200_000


def test_of_many_files_only_the_one_with_the_state_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = _open(tmp_path)
    for position in range(MERGE_ABOVE):
        snapshots.write(position, [(f"cube-{n:03d}-{position}", bytes(3000)) for n in range(100)])
        assert snapshots.read("nobody") is None  # the directories are known now
    parts, read = [], Location.read_part
    monkeypatch.setattr(Location, "read_part", lambda *asked: parts.append(asked) or read(*asked))
    assert snapshots.read("cube-050-0") == bytes(3000)
    assert len(parts) == 1


def test_discarding_leaves_no_state_behind(tmp_path: Path) -> None:
    snapshots = _open(tmp_path)
    snapshots.write(3, [("a", b"a1")])
    snapshots.discard()
    assert (snapshots.position, snapshots.read("a")) == (0, None)
    assert _files(tmp_path) == []


def test_they_may_live_in_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageSpec, "local", None)
    snapshots = SnapshotFolder(StorageSpec(f"file://{tmp_path}"), KEY)
    for position in range(1, 2 * MERGE_ABOVE):
        snapshots.write(position, [("a", b"a%d" % position), (f"b{position}", b"b")])
    again = SnapshotFolder(StorageSpec(f"file://{tmp_path}"), KEY)
    assert (again.position, again.read("a"), again.read("b1"), again.read("c")) == (
        position,
        b"a%d" % position,
        b"b",
        None,
    )
    assert len(_files(tmp_path)) <= MERGE_ABOVE + 1
