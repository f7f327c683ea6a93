"""Settings: the only place that reads YAML and the environment. What comes out is frozen and checked."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from actors.errors import ConfigError
from actors.stores.vectors.store import VectorBackend

MIB = 1 << 20

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]
AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""Relative to where `memos` is called: the parts of the system run in other folders."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StateSettings(_Section):
    """Where everything is kept. `journal_uri` empty: in `folder`/shards; else any URI that Delta takes."""

    folder: AbsolutePath = Path(".memos")
    journal_uri: str = ""
    storage_options: dict[str, str] = Field(default_factory=dict)


class HttpSettings(_Section):
    port: Port = 8000
    replicas: Count = 1


class ClusterSettings(_Section):
    """`shards` is fixed when a state is created; `hosts` may change between starts."""

    shards: Annotated[int, Field(ge=1, le=1024)] = 4
    hosts: Count = 1
    call_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    restart_wait_s: Annotated[float, Field(gt=0)] = 15.0


class EmbedderSettings(_Section):
    """`model_path` None: the weights that the set-up installed. Threads of the ingest actor and of each replica."""

    model_path: AbsolutePath | None = None
    threads: Count = 1
    query_threads: Count = 1


class EngineSettings(_Section):
    """The chat model. `model_path` None: the one that the set-up made. `queue` chats may wait for it."""

    model_path: AbsolutePath | None = None
    threads: Count = 1
    queue: Count = 16


class ModelSettings(_Section):
    embedder: EmbedderSettings = EmbedderSettings()
    engine: EngineSettings = EngineSettings()


class LimitSettings(_Section):
    """Bounds. `open_cubes` and `queue` are a shard's, `open_bytes` a host's: what its open cubes may hold; those of
    searches, writes and reads are an HTTP replica's.
    """

    open_cubes: Count = 4096
    open_bytes: Bytes = 1024 * MIB
    queue: Count = 1024
    snapshot_events: Count = 2000
    index_wait_s: Annotated[float, Field(gt=0)] = 5.0
    host_concurrency: Count = 64
    searches_at_once: Count = 8
    searches_waiting: Count = 56
    writes_at_once: Count = 64
    writes_waiting: Count = 64
    reads_at_once: Count = 32
    reads_waiting: Count = 96
    system_queue: Count = 1024


class VectorSettings(_Section):
    """Where vectors are kept: faiss beside the shards' other indexes, or a Milvus at `uri`. `token_file` holds what it
    asks for ("user:password" or an API key). `prefix` begins the names of the collections, "" makes one that is this
    state's own.
    """

    backend: VectorBackend = VectorBackend.FAISS
    uri: Annotated[str, Field(pattern=r"^$|^(https?|tcp)://[^/?#]+(/[^?#]*)?$")] = ""
    token_file: AbsolutePath | None = None
    prefix: Annotated[str, Field(pattern=r"^$|^[A-Za-z_][A-Za-z0-9_]{0,63}$")] = ""
    timeout_s: Annotated[float, Field(gt=0)] = 5.0

    @model_validator(mode="after")
    def _fits_its_backend(self) -> VectorSettings:
        if self.backend is VectorBackend.MILVUS and not self.uri:
            raise ValueError("backend milvus needs a uri, http://HOST:19530 say")
        if self.backend is VectorBackend.FAISS and (self.uri or self.token_file or self.prefix):
            raise ValueError("uri, token_file and prefix are of backend milvus; faiss needs none of them")
        return self


class MachineSettings(_Section):
    """`memory_floor_bytes` free memory is needed to start, `disk_floor_bytes` free disk below the state."""

    memory_floor_bytes: Bytes = 2048 * MIB
    disk_floor_bytes: Bytes = 512 * MIB


class RaySettings(_Section):
    """`dashboard_port` None: a free one. `run_folder` None: a short path below the system's temporary folder."""

    dashboard_port: Port | None = None
    object_store_bytes: Bytes = 128 * MIB
    cpus: Count | None = None
    log_bytes: Bytes = 16 * MIB
    log_backups: Count = 3
    run_folder: AbsolutePath | None = None


class Settings(_Section):
    """Everything that can be set, with the defaults of the local profile."""

    state: StateSettings = StateSettings()
    http: HttpSettings = HttpSettings()
    cluster: ClusterSettings = ClusterSettings()
    models: ModelSettings = ModelSettings()
    vectors: VectorSettings = VectorSettings()
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
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from error


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
            lines.append(f"setting {'.'.join(names)}: {problem['msg']} (it is {problem['input']!r})")
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
