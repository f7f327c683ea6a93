"""What the parts of an instance are made of, from its plan: the specs of its actors, and its claim on the storage."""

from __future__ import annotations

from actors.clock import SystemClock
from actors.host import HostSpec
from actors.instance_claim import InstanceClaim
from actors.memory.credentials import digest_secret, key_id_of
from actors.models.embedder import EmbedderSpec
from actors.models.recognition import CustomPattern, CustomRecognizer, RecognizerSpec
from actors.shard import ShardLimits
from actors.stores.location import StorageSpec
from actors.system import FirstGovernor
from actors.system_opening import SystemSpec
from cluster.capacity import Wanted
from cluster.directory import host_name
from cluster.plan import Plan
from cluster.preflight import embedder_path
from cluster.settings import Settings
from cluster.state_folder import StateFolder
from cluster.storage_claim import ClaimRecord, StorageClaim, seal_of
from cluster.topology import Topology
from cluster.vector_store import vector_store

FIRST_PRINCIPAL = "governor"
INGEST_PADDED_TO = 8


def system_spec(plan: Plan) -> SystemSpec:
    state, chain_key = StateFolder(plan.state), chain_key_of(plan)
    secret = state.key_file.read_text(encoding="utf-8").strip() if state.key_file.exists() else ""
    key_id = key_id_of(secret)
    first = None if key_id is None else FirstGovernor(FIRST_PRINCIPAL, key_id, digest_secret(chain_key, secret))
    return SystemSpec(
        shards_uri=plan.settings.shards_uri,
        chain_key=chain_key,
        first_governor=first,
        storage_options=plan.settings.state.storage_options,
        queue_limit=plan.settings.limits.system_queue,
        entities=recognizer_spec(plan.settings).kinds,
    )


def embedder_spec(settings: Settings) -> EmbedderSpec:
    return EmbedderSpec(
        path=str(embedder_path(settings)), threads=settings.models.embedder.threads, padded_to=INGEST_PADDED_TO
    )


def host_spec(plan: Plan, number: int) -> HostSpec:
    """One of `cluster.hosts`. In a cluster its inverted indexes are in a folder of the node that it is on."""
    settings, limits = plan.settings, plan.settings.limits
    topology = Topology(settings.cluster.shards, settings.cluster.hosts)
    return HostSpec(
        name=host_name(number),
        shards_uri=settings.shards_uri,
        index_folder=str(plan.state / "shards"),
        shards=topology.shards_of(number),
        shard_count=topology.shards,
        chain_key=chain_key_of(plan),
        storage_options=settings.state.storage_options,
        open_bytes=limits.open_bytes,
        vectors=vector_store(settings.vectors, chain_key_of(plan)),
        limits=ShardLimits(
            open_cubes=limits.open_cubes,
            queue=limits.queue,
            snapshot_events=limits.snapshot_events,
            index_wait_s=limits.index_wait_s,
        ),
        archive_bytes=limits.archive_bytes,
        node_cache=str(settings.cache_folder) if settings.ray.address else "",
    )


def recognizer_spec(settings: Settings) -> RecognizerSpec:
    return RecognizerSpec(
        custom=tuple(
            CustomRecognizer(
                name=recognizer.name,
                entity=recognizer.entity,
                patterns=tuple(CustomPattern(pattern.regex, pattern.score) for pattern in recognizer.patterns),
                context=recognizer.context,
            )
            for recognizer in settings.redaction.recognizers
        ),
        threads=settings.redaction.threads,
        regex_timeout_s=settings.redaction.regex_timeout_s,
    )


def chain_key_of(plan: Plan) -> bytes:
    state = StateFolder(plan.state)
    return bytes.fromhex(state.secret(state.chain_key_file))


def parts_of(settings: Settings) -> list[Wanted]:
    """What needs room in a cluster, the pickiest first."""
    placing, replicas = settings.cluster, settings.http.replicas
    return [
        Wanted("system host", 1, placing.system_resources, "the system host", "cluster.system_resources"),
        Wanted("embedder", 1, placing.embedder_resources, "the embedder", "cluster.embedder_resources"),
        Wanted("hosts", placing.hosts, placing.host_resources, "cluster.hosts", "cluster.host_resources"),
        Wanted("replicas", replicas, settings.http.replica_resources, "http.replicas", "http.replica_resources"),
    ]


# the claim: a state of this machine is claimed by its own instance.json, a storage elsewhere by an object in it


def claim_of(plan: Plan) -> InstanceClaim:
    """What the hosts of an instance look at before they open their shards."""
    place = _storage(plan) if plan.settings.state.journal_uri else StorageSpec(str(plan.state))
    return InstanceClaim(place, plan.instance)


def take_claim(plan: Plan, where: str) -> str:
    """Claim the storage of an instance; whom that fenced, in words. Raises StateInUse, ConfigError, Corrupted."""
    settings = plan.settings
    if not settings.state.journal_uri:
        return ""
    wanted = ClaimRecord(
        plan.instance, where, SystemClock().now_us(), settings.cluster.shards, seal_of(chain_key_of(plan))
    )
    found = StorageClaim(_storage(plan)).take(wanted, settings.cluster.takeover, plan.predecessor)
    return "" if found is None else f"instance {found.instance} ({found.where}, since {found.since})"


def free_claim(plan: Plan) -> None:
    """Give the storage of an instance up, if it is still its own."""
    if plan.settings.state.journal_uri:
        StorageClaim(_storage(plan)).free(plan.instance)


def _storage(plan: Plan) -> StorageSpec:
    return StorageSpec(plan.settings.shards_uri, plan.settings.state.storage_options)
