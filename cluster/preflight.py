"""What must hold before an instance starts, checked so that the reason for a refusal is clear."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.errors import ConfigError, MemosError
from actors.footprint import available_memory_bytes
from actors.models.weights import default_embedder_path, default_engine_path
from cluster.processes import describe_owner_of_port
from cluster.sections import MIB
from cluster.settings import Settings
from cluster.state_folder import StateFolder


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `problem` is empty when it is fine."""

    name: str
    detail: str
    problem: str = ""


def check_port(port: int, setting: str, option: str = "") -> None:
    """Raise ConfigError, naming who has it, when a loopback port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            owner = describe_owner_of_port(port)
            way_out = f"choose another with {option} or the setting {setting}" if option else f"change {setting}"
            raise ConfigError(
                f"port {port} is taken{f' by {owner}' if owner else ''}: {way_out}", setting=setting
            ) from error


def check_memory(settings: Settings) -> None:
    """Raise ConfigError when less memory is free than `machine.memory_floor_bytes`."""
    free, floor = available_memory_bytes(), settings.machine.memory_floor_bytes
    if free < floor:
        raise ConfigError(
            f"{free // MIB} MiB of memory are free, {floor // MIB} are needed; end other programs, "
            "or lower machine.memory_floor_bytes",
            setting="machine.memory_floor_bytes",
        )


def check_disk(settings: Settings, folder: Path) -> None:
    """Raise ConfigError when less disk is free below `folder` than `machine.disk_floor_bytes`."""
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    free, floor = shutil.disk_usage(existing).free, settings.machine.disk_floor_bytes
    if free < floor:
        raise ConfigError(
            f"{free // MIB} MiB are free on the disk of {existing}, {floor // MIB} are needed; "
            "free some, choose another --state, or lower machine.disk_floor_bytes",
            setting="machine.disk_floor_bytes",
        )


def embedder_path(settings: Settings) -> Path:
    """The embedder's folder. Raises ConfigError naming the setting when it is not there."""
    return _model(settings.models.embedder.model_path, "models.embedder.model_path", default_embedder_path)


def engine_path(settings: Settings) -> Path:
    """The chat model's folder. Raises ConfigError naming the setting when it is not there."""
    return _model(settings.models.engine.model_path, "models.engine.model_path", default_engine_path)


def _model(path: Path | None, setting: str, default: Callable[[], Path]) -> Path:
    if path is None:
        return default()
    folder = path.expanduser().absolute()
    if not (folder / "config.json").is_file():
        problem = "has no config.json" if folder.is_dir() else "does not exist"
        raise ConfigError(f"{setting}: {folder} {problem}; name a model folder, or leave it out", setting=setting)
    return folder


def check_storage(settings: Settings) -> str:
    """Write, read and delete a small file at `state.journal_uri`, within seconds; what was found, in words.

    Raises StorageUnavailable (not reached, read-only, credentials refused or expired), ConfigError (no such bucket, an
    unknown scheme), each naming the URI and the way out.
    """
    if not settings.state.journal_uri:
        return "in the state folder"
    from actors.stores.probe import probe  # its libraries take a while to load, and a start without a URI needs none

    probe(settings.shards_uri, settings.state.storage_options)
    return f"{settings.shards_uri} can be written"


def check_machine(settings: Settings) -> None:
    """All of it, before a start; raises the first problem."""
    for _, look in _looks(settings):
        look()


def examine(settings: Settings) -> list[Check]:
    """All of it, for `doctor`: every check with what it found."""
    found = []
    for name, look in _looks(settings):
        try:
            found.append(Check(name, look()))
        except MemosError as error:
            found.append(Check(name, "", error.detail))
    return found


def _looks(settings: Settings) -> list[tuple[str, Callable[[], str]]]:
    folder = settings.state_folder

    def state() -> str:
        StateFolder(folder).prepare()
        return f"{folder} can be written"

    def memory() -> str:
        check_memory(settings)
        return f"{available_memory_bytes() // MIB} MiB free"

    def disk() -> str:
        check_disk(settings, folder)
        return f"enough free below {folder}"

    def port() -> str:
        check_port(settings.http.port, "http.port", "--port")
        return f"{settings.http.port} is free"

    def dashboard() -> str:
        if settings.ray.dashboard_port is not None:
            check_port(settings.ray.dashboard_port, "ray.dashboard_port")
        return "free"

    return [
        ("state", state),
        ("memory", memory),
        ("disk", disk),
        ("storage", lambda: check_storage(settings)),
        ("port", port),
        ("dashboard port", dashboard),
        ("embedder", lambda: str(embedder_path(settings))),
        ("chat model", lambda: str(engine_path(settings))),
    ]
