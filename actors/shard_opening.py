"""How a shard is opened: from a frozen spec to its adapters. Indexes that cannot be trusted are rebuilt."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.audit import AuditLimits, AuditLog
from actors.clock import SystemClock
from actors.errors import ConfigError, Corrupted
from actors.memory.analysis import ANALYSIS_VERSION
from actors.memory.draft import Sealer
from actors.memory.ports import Embedder, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL
from actors.memory_budget import OPEN_BYTES, MemoryBudget
from actors.shard import Shard, ShardLimits
from actors.shard_parts import ShardParts
from actors.stores.audit import DeltaAuditTable
from actors.stores.journal import DeltaJournal
from actors.stores.lexical.tantivy_index import TantivyIndex
from actors.stores.location import StorageSpec
from actors.stores.snapshots import SnapshotFolder
from actors.stores.vectors.faiss_index import FaissVectorIndex
from actors.stores.vectors.store import VectorBackend, VectorStoreSpec

log = logging.getLogger(__name__)


ARCHIVE_BYTES = 4 << 30
"""The largest archive that is taken in where nothing else is said."""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a host is made of. `shards_uri` holds the truth, and the vectors, so that a host that moves embeds nothing
    again; `index_folder`, local, what is quickly rebuilt: the inverted indexes.

    `shards` are the numbers that this host owns, of `shard_count` in all. Its open cubes hold `open_bytes` at most,
    beside those in use; it takes in archives of up to `archive_bytes`. `node_cache`, in a cluster: the folder that has
    each node's `index_folder` below it, by the node's id.
    """

    name: str
    shards_uri: str
    index_folder: str
    shards: tuple[int, ...]
    shard_count: int
    chain_key: bytes
    storage_options: Mapping[str, str] = field(default_factory=dict)
    limits: ShardLimits = field(default_factory=ShardLimits)
    vectors: VectorStoreSpec = field(default_factory=VectorStoreSpec)
    open_bytes: int = OPEN_BYTES
    node_cache: str = ""
    audit: AuditLimits = field(default_factory=AuditLimits)
    archive_bytes: int = ARCHIVE_BYTES

    @property
    def spool(self) -> Path:
        """A folder of this host's own on the node that it runs on, for what is there while it runs."""
        return Path(self.index_folder) / "spool" / self.name

    def on_node(self, node: str, living: Callable[[], Container[str]]) -> HostSpec:
        """The spec of a host that runs on `node`; what nodes that are gone left in the cache is deleted."""
        cache = Path(self.node_cache)
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = living()
        for folder in cache.iterdir():
            if folder.name != node and folder.name not in kept and re.fullmatch(r"[0-9a-f]{56}", folder.name):
                log.info("the cache of a node that is gone is deleted: %s", folder)
                shutil.rmtree(folder, ignore_errors=True)
        return replace(self, index_folder=str(cache / node))


def shard_name(number: int) -> str:
    return f"{number:03d}"


def open_shard(spec: HostSpec, number: int, embedder: Embedder, budget: MemoryBudget) -> Shard:
    """Claim the shard's journal and bring everything that follows it up to it. `budget` is the host's.

    Raises what opening a journal raises. A damaged index is named in the log and rebuilt from the journal.
    """
    base = f"{spec.shards_uri.rstrip('/')}/{shard_name(number)}"
    options = dict(spec.storage_options)
    indexes = Path(spec.index_folder) / shard_name(number)
    journal = DeltaJournal(
        StorageSpec(f"{base}/journal", options), StorageSpec(f"{base}/anchors", options), spec.chain_key
    )
    parts = ShardParts(
        journal=journal,
        snapshots=SnapshotFolder(StorageSpec(f"{base}/snapshots", options), spec.chain_key),
        vectors=_open_vectors(spec, number, journal.epoch, embedder),
        lexical=_open_lexical(indexes),
        embedder=embedder,
        clock=SystemClock(),
        sealer=Sealer(spec.chain_key, secrets.token_bytes),
        budget=budget,
        condemn=lambda channel: _condemned(indexes, channel).touch(),
    )
    try:
        return Shard(number, parts, spec.limits)
    except BaseException:
        parts.close()  # what stays open here would lock out the next try
        raise


def open_audit(spec: HostSpec, number: int) -> AuditLog:
    """The shard's audit: `audit/` beside the journal, its head in `audit-anchors/`. Opened behind the answers."""
    base, options = f"{spec.shards_uri.rstrip('/')}/{shard_name(number)}", dict(spec.storage_options)
    table, anchors = StorageSpec(f"{base}/audit", options), StorageSpec(f"{base}/audit-anchors", options)
    return AuditLog(
        f"shard {number}", lambda: DeltaAuditTable(table, anchors, spec.chain_key), SystemClock(), spec.audit
    )


def _condemned(indexes: Path, channel: str) -> Path:
    """A file that says: this index was found damaged while it was searched."""
    return indexes / f"{channel}.damaged"


def _open_vectors(spec: HostSpec, number: int, epoch: int, embedder: Embedder) -> VectorIndex:
    if spec.vectors.backend is VectorBackend.MILVUS:
        return _open_milvus(spec.vectors, number, embedder)
    storage = StorageSpec(f"{spec.shards_uri.rstrip('/')}/{shard_name(number)}/vectors", dict(spec.storage_options))
    condemned = _condemned(Path(spec.index_folder) / shard_name(number), DENSE)
    return _open_faiss(storage, epoch, condemned, embedder)


def _open_milvus(store: VectorStoreSpec, number: int, embedder: Embedder) -> VectorIndex:
    """Contacts nothing yet. An index that was found damaged is made anew by the first contact, which finds it gone."""
    try:
        from actors.stores.vectors.milvus_index import MilvusVectorIndex
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"vectors.backend is milvus, and {missing.name} is not installed: install the extra, "
            "`pip install 'memory-os[milvus]'`, or set vectors.backend to faiss"
        ) from missing
    return MilvusVectorIndex(store, shard_name(number), embedder.model_id, embedder.dimension)


def _open_faiss(storage: StorageSpec, epoch: int, condemned: Path, embedder: Embedder) -> FaissVectorIndex:
    try:
        if not condemned.exists():
            return FaissVectorIndex(storage, embedder.model_id, embedder.dimension, epoch)
    except Corrupted as damaged:
        log.error("%s; rebuilding the vectors from the journal", damaged)
    except ConfigError as other_model:
        log.warning("%s; embedding everything anew", other_model)
    index = FaissVectorIndex.begin_anew(storage, embedder.model_id, embedder.dimension, epoch)
    condemned.unlink(missing_ok=True)
    return index


def _open_lexical(indexes: Path) -> TantivyIndex:
    folder, condemned, analysis = indexes / "lexical", _condemned(indexes, LEXICAL), str(ANALYSIS_VERSION)
    try:
        if not condemned.exists():
            return TantivyIndex(folder, analysis)
    except Corrupted as damaged:
        log.error("%s; rebuilding it", damaged)
    TantivyIndex.discard(folder)
    condemned.unlink(missing_ok=True)
    return TantivyIndex(folder, analysis)
