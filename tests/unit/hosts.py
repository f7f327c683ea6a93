"""A CubeHost on in-process adapters, and on files: the same parts that production opens, without Ray."""

from __future__ import annotations

import atexit
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from actors.audit import AuditLimits, AuditLog
from actors.clock import SystemClock
from actors.errors import Unavailable
from actors.host import CubeHost, HostSpec
from actors.memory.analysis import terms_of
from actors.memory.draft import Sealer
from actors.memory.governance import Action, Caller, ClusterAccess, CubeAccess, Role
from actors.memory.ports import Vectors
from actors.memory.requests import AddMemories, NewMemory
from actors.memory.screening import Recognizer
from actors.memory.search_requests import SearchCube
from actors.memory_budget import OPEN_BYTES, MemoryBudget
from actors.shard import Shard, ShardLimits
from actors.shard_parts import ShardParts
from actors.stores.audit import PlainAuditStorage, PlainAuditTable
from actors.stores.journal.plain import PlainJournal, PlainStorage
from actors.stores.lexical.plain import PlainLexicalIndex
from actors.stores.vectors.plain import PlainVectorIndex
from actors.stores.vectors.store import VectorStoreSpec
from tests.unit.opened import closed_with_the_test
from tests.unit.plain_recognizer import PlainRecognizer
from tests.unit.test_open_cubes import DictSnapshots

OWNER = Caller("olga", "key-o", "req")
KEY = b"c" * 32


@cache
def rig_folder() -> str:
    """A folder for what hosts of rigs keep in files, gone when the tests end."""
    folder = tempfile.mkdtemp(prefix="memos-rigs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class HashEmbedder:
    """A bag of hashed terms: texts that share words are near each other. `broken` makes it fail."""

    model_id = "hash@1"
    dimension = 64

    def __init__(self) -> None:
        self.broken = False
        self.embedded = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.broken:
            raise Unavailable("the embedder is down")
        self.embedded += len(texts)
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for i, text in enumerate(texts):
            vectors[i, 0] = 0.1
            for term in terms_of(text):
                vectors[i, hashlib.blake2b(term.encode()).digest()[0] % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class Catalogue:
    """An access source that tests write to."""

    cubes: dict[str, CubeAccess] = field(default_factory=dict)
    strangers: list[tuple[str, Action, str]] = field(default_factory=list)
    """Attempts on cubes that do not exist."""
    cluster: ClusterAccess = field(default_factory=lambda: ClusterAccess(frozenset({"gov"})))

    def register(self, cube_id: str, owner: str = "olga", **grants: Role) -> None:
        self.cubes[cube_id] = CubeAccess(cube_id, owner, grants, name=f"Cube {cube_id}", revision=1)

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        return self.cubes.get(cube_id)

    def asked_access(self, caller: Caller, action: Action, cube_id: str) -> CubeAccess | None:
        found = self.cube_access(cube_id)
        if found is None:
            self.strangers.append((caller.principal, action, cube_id))
        return found

    def cluster_access(self) -> ClusterAccess:
        return self.cluster


def plain_audit(storage: PlainAuditStorage, limits: AuditLimits | None = None) -> AuditLog:
    return AuditLog(storage.name, lambda: PlainAuditTable(storage, KEY), SystemClock(), limits)


class PlainRig:
    """A host of one shard on in-process adapters; `reopen` is what a restart of its process would do."""

    def __init__(self, limits: ShardLimits | None = None, open_bytes: int = OPEN_BYTES) -> None:
        self.storage = PlainStorage()
        self.audited = PlainAuditStorage()
        self.snapshots = DictSnapshots()
        self.embedder = HashEmbedder()
        self.recognizer = PlainRecognizer()
        self.catalogue = Catalogue()
        self.open_bytes = open_bytes
        self.limits = limits or ShardLimits(index_wait_s=2.0)
        self.vectors, self.lexical = PlainVectorIndex(), PlainLexicalIndex()
        self.host = self.open()

    def open(self) -> CubeHost:
        spec = HostSpec("host-0", "plain", rig_folder(), (0,), 1, KEY, limits=self.limits, open_bytes=self.open_bytes)
        return closed_with_the_test(
            CubeHost(
                spec,
                self._open_shard,
                lambda _: plain_audit(self.audited),
                self.catalogue,
                SystemClock(),
                self.recognizer,
            )
        )

    def reopen(self) -> None:
        self.host = self.open()

    def _open_shard(self, number: int, budget: MemoryBudget) -> Shard:
        parts = ShardParts(
            journal=PlainJournal(self.storage, KEY),
            snapshots=self.snapshots,
            vectors=self.vectors,
            lexical=self.lexical,
            embedder=self.embedder,
            clock=SystemClock(),
            sealer=Sealer(KEY, secrets.token_bytes),
            budget=budget,
        )
        return Shard(number, parts, self.limits)


def file_host(
    folder: Path,
    catalogue: Catalogue,
    embedder: HashEmbedder,
    limits: ShardLimits | None = None,
    vectors: VectorStoreSpec | None = None,
    recognizer: Recognizer | None = None,
) -> CubeHost:
    """A host of two shards on files, opened as production opens it."""
    spec = HostSpec(
        name="host-0",
        shards_uri=str(folder / "shards"),
        index_folder=str(folder / "indexes"),
        shards=(0, 1),
        shard_count=2,
        chain_key=KEY,
        limits=limits or ShardLimits(),
        vectors=vectors or VectorStoreSpec(),
    )
    return closed_with_the_test(CubeHost.open(spec, embedder, catalogue, recognizer))


def texts(*contents: str, key: str = "") -> AddMemories:
    return AddMemories(tuple(NewMemory(text, ref=text) for text in contents), key)


def query(text: str, embedder: HashEmbedder, top_k: int = 5) -> SearchCube:
    return SearchCube(text, embedder.embed([text])[0], embedder.model_id, top_k)
