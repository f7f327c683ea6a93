"""Settings: the only place that reads YAML and the environment. What comes out is frozen and checked."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from actors.errors import ConfigError
from cluster.sections import (
    ClusterSettings,
    HttpSettings,
    LimitSettings,
    MachineSettings,
    ModelSettings,
    RaySettings,
    RedactionSettings,
    Section,
    StateSettings,
    VectorSettings,
)


class Settings(Section):
    """Everything that can be set, with the defaults of the local profile."""

    state: StateSettings = StateSettings()
    http: HttpSettings = HttpSettings()
    cluster: ClusterSettings = ClusterSettings()
    models: ModelSettings = ModelSettings()
    vectors: VectorSettings = VectorSettings()
    redaction: RedactionSettings = RedactionSettings()
    limits: LimitSettings = LimitSettings()
    machine: MachineSettings = MachineSettings()
    ray: RaySettings = RaySettings()

    @property
    def state_folder(self) -> Path:
        return self.state.folder.expanduser().absolute()

    @property
    def shards_uri(self) -> str:
        """Where the shards live: `<this>/<number>` and `<this>/system`."""
        return self.state.journal_uri.rstrip("/") or str(self.state_folder / "shards")

    @property
    def cache_folder(self) -> Path:
        """In a cluster, where each node keeps what it can rebuild."""
        return self.state.cache_folder or self.state_folder / "cache"


def load_settings(
    config: Path | None,
    state: Path | None = None,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settings of a YAML file, under what the environment says (MEMOS_CONFIG, MEMOS_STATE, MEMOS_PORT), under
    what the command line says (`state`, `port`). Raises ConfigError naming the key and the way out.
    """
    variables = os.environ if environment is None else environment
    if config is None and variables.get("MEMOS_CONFIG"):
        config = Path(variables["MEMOS_CONFIG"])
    data = {} if config is None else _read_yaml(config)
    folder = state or (Path(variables["MEMOS_STATE"]) if variables.get("MEMOS_STATE") else None)
    wanted_port = port if port is not None else variables.get("MEMOS_PORT")
    if folder is not None:
        _section(data, "state")["folder"] = str(folder)
    # A default is not validated, so it would stay relative.
    _section(data, "state").setdefault("folder", str(StateSettings.model_fields["folder"].default))
    if wanted_port is not None:
        _section(data, "http")["port"] = wanted_port
    source = "the settings" if config is None else str(config)
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from error
    if settings.ray.address and not settings.state.journal_uri:
        raise ConfigError(
            f"{source}: ray.address names a cluster, so state.journal_uri must name storage that all of its nodes "
            "reach: an object store's URI, or the absolute path of a shared folder",
            setting="state.journal_uri",
        )
    return _with_storage_options(settings, variables)


def _with_storage_options(settings: Settings, variables: Mapping[str, str]) -> Settings:
    """The settings with the values that `state.storage_options_from` points to. Raises ConfigError."""
    found = dict(settings.state.storage_options)
    for option, place in settings.state.storage_options_from.items():
        found[option] = _value_at(place, f"state.storage_options_from.{option}", variables)
    state = settings.state.model_copy(update={"storage_options": found, "storage_options_from": {}})
    return settings.model_copy(update={"state": state})


def _value_at(place: str, setting: str, variables: Mapping[str, str]) -> str:
    kind, _, name = place.partition(":")
    if kind == "env" and name:
        value = variables.get(name, "")
        if not value:
            raise ConfigError(f"{setting}: the environment variable {name} is not set", setting=setting)
        return value
    if kind == "file" and name:
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"{setting}: {name} cannot be read: {reason}", setting=setting) from error
    raise ConfigError(f"{setting}: {place!r} is neither env:NAME nor file:/path", setting=setting)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"the configuration file {path} does not exist", file=str(path)) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the configuration file {path} cannot be read: {reason}", file=str(path)) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold `name: value` sections, not {type(data).__name__}", file=str(path))
    return data


def _section(data: dict[str, Any], name: str) -> dict[str, Any]:
    section = data.setdefault(name, {})
    if section is None:
        section = data[name] = {}
    if not isinstance(section, dict):
        raise ConfigError(f"the section {name!r} must hold `name: value` pairs")
    return section


def _explain(error: ValidationError, source: str) -> str:
    """One line a problem, naming the key."""
    lines = []
    for problem in error.errors():
        names = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            known = _known(names[:-1])
            near = difflib.get_close_matches(names[-1], known, n=1, cutoff=0.0)
            lines.append(f"unknown setting {'.'.join(names)}; did you mean {'.'.join([*names[:-1], *near])}?")
        else:
            shown = "" if "storage_options" in names else f" (it is {problem['input']!r})"  # may be a secret
            lines.append(f"setting {'.'.join(names)}: {problem['msg']}{shown}")
    return f"{source}: " + "; ".join(lines)


def _known(section: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for name in section:
        inner = model.model_fields[name].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def process_environment() -> dict[str, str]:
    """A copy of this process's environment: what a child process starts from."""
    return dict(os.environ)


def job_environment() -> tuple[str, str]:
    """(URL, API key) that a job's process was given. Raises ConfigError outside of one."""
    try:
        return os.environ["MEMOS_URL"], os.environ["MEMOS_API_KEY"]
    except KeyError as error:
        raise ConfigError(f"{error.args[0]} is not set: jobs are started with `memos job submit`") from error
