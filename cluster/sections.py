"""The sections of a profile: every setting with its default and what it may be. Read by `cluster/settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from actors.models.recognition import REGEX_TIMEOUT_S, check_regex
from actors.stores.vectors.store import VectorBackend

MIB = 1 << 20

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1)]
AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""Relative to where `memos` is called: the parts of the system run in other folders."""
Resources = dict[str, Annotated[float, Field(gt=0)]]
"""Ray's resources by name, as `{CPU: 1, my_resource: 0.5}`; a node that has them takes the part."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StateSettings(Section):
    """Where everything is kept. `journal_uri` empty: in `folder`/shards; else any URI that Delta takes.

    `storage_options_from` names where an option's value is, as `env:NAME` or `file:/path`: `load_settings` puts it into
    `storage_options`, so that credentials are in no profile. `cache_folder` None: `folder`/cache.
    """

    folder: AbsolutePath = Path(".memos")
    cache_folder: AbsolutePath | None = None
    journal_uri: str = ""
    storage_options: dict[str, str] = Field(default_factory=dict)
    storage_options_from: dict[str, str] = Field(default_factory=dict)


class HttpSettings(Section):
    """`proxies`: on the head node alone, or on every node with a replica. `url` empty: the head node's."""

    host: str = "127.0.0.1"
    port: Port = 8000
    url: str = ""
    proxies: Literal["head", "every"] = "head"
    replicas: Count = 1
    replica_resources: Resources = Field(default_factory=dict)


class ClusterSettings(Section):
    """`shards` is fixed when a state is created; `hosts` may change between starts.

    `takeover`: what a start does when another cluster owns the storage.
    """

    shards: Annotated[int, Field(ge=1, le=1024)] = 4
    hosts: Count = 1
    host_resources: Resources = Field(default_factory=dict)
    system_resources: Resources = Field(default_factory=dict)
    embedder_resources: Resources = Field(default_factory=dict)
    redactor_resources: Resources = Field(default_factory=dict)
    takeover: Literal["refuse", "fence"] = "refuse"
    join_wait_s: Annotated[float, Field(ge=0)] = 30.0
    call_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    restart_wait_s: Annotated[float, Field(gt=0)] = 15.0


class EmbedderSettings(Section):
    """`model_path` None: the weights that the set-up installed. Threads of the ingest actor and of each replica."""

    model_path: AbsolutePath | None = None
    threads: Count = 1
    query_threads: Count = 1


class EngineSettings(Section):
    """The chat model. `model_path` None: the one that the set-up made. `queue` chats may wait for it."""

    model_path: AbsolutePath | None = None
    threads: Count = 1
    queue: Count = 16


class ModelSettings(Section):
    embedder: EmbedderSettings = EmbedderSettings()
    engine: EngineSettings = EngineSettings()


class LimitSettings(Section):
    """Bounds. `open_cubes` and `queue` are a shard's, `open_bytes` a host's: what its open cubes may hold; those of
    searches, writes and reads are an HTTP replica's. `archive_bytes` is the largest archive that is imported.
    """

    open_cubes: Count = 4096
    open_bytes: Bytes = 1024 * MIB
    queue: Count = 1024
    snapshot_events: Count = 2000
    index_wait_s: Annotated[float, Field(gt=0)] = 5.0
    host_concurrency: Count = 64
    searches_at_once: Count = 8
    searches_beside_writes: Count = 6
    searches_waiting: Count = 56
    writes_at_once: Count = 64
    writes_beside_searches: Count = 6
    writes_waiting: Count = 64
    reads_at_once: Count = 32
    reads_waiting: Count = 96
    system_queue: Count = 1024
    archive_bytes: Bytes = 4096 * MIB


class VectorSettings(Section):
    """Where vectors are kept: faiss, stored beside the journals, or a Milvus at `uri`. `token_file` holds what it
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


class PatternSettings(Section):
    """`score`: how certain a match is, 0 to 1."""

    regex: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(check_regex)]
    score: Annotated[float, Field(gt=0, le=1)] = 0.8


class RecognizerSettings(Section):
    """Finds one kind of entity by patterns. Words of `context` near a match make it more certain."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    entity: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,63}$")]
    patterns: Annotated[tuple[PatternSettings, ...], Field(min_length=1, max_length=32)]
    context: Annotated[tuple[str, ...], Field(max_length=64)] = ()


class RedactionSettings(Section):
    """What finds personal data, beside what is built in. Its process is started when a cube first needs it; a pattern
    that takes longer than `regex_timeout_s` on a text has the text refused.
    """

    recognizers: Annotated[tuple[RecognizerSettings, ...], Field(max_length=64)] = ()
    threads: Count = 1
    regex_timeout_s: Annotated[float, Field(gt=0)] = REGEX_TIMEOUT_S

    @model_validator(mode="after")
    def _names_differ(self) -> RedactionSettings:
        names = [recognizer.name for recognizer in self.recognizers]
        if len(set(names)) < len(names):
            raise ValueError("two recognizers have the same name")
        return self


class MachineSettings(Section):
    """`memory_floor_bytes` free memory is needed to start, `disk_floor_bytes` free disk below the state."""

    memory_floor_bytes: Bytes = 2048 * MIB
    disk_floor_bytes: Bytes = 512 * MIB


class RaySettings(Section):
    """`address` empty: a head node of our own, which the rest is about; else the running Ray to attach to.

    `dashboard_port` None: a free one. `run_folder` None: a short path below the system's temporary folder.
    """

    address: Annotated[str, Field(pattern=r"^(auto|[^\s:/]+:\d{1,5})?$")] = ""
    dashboard_port: Port | None = None
    object_store_bytes: Bytes = 128 * MIB
    cpus: Count | None = None
    log_bytes: Bytes = 16 * MIB
    log_backups: Count = 3
    run_folder: AbsolutePath | None = None
