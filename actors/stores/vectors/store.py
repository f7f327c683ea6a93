"""Which store holds a shard's vectors: what settings become and adapters are opened from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class VectorBackend(StrEnum):
    FAISS = "faiss"
    MILVUS = "milvus"


@dataclass(frozen=True, slots=True)
class VectorStoreSpec:
    """faiss keeps its vectors beside the shard's other indexes and needs nothing else of this.

    `prefix` begins the name of every collection: what shares a Milvus needs prefixes of its own. `timeout_s` is the
    longest that one call of it may take.
    """

    backend: VectorBackend = VectorBackend.FAISS
    uri: str = ""
    token: str = field(default="", repr=False)
    prefix: str = "memos"
    timeout_s: float = 5.0
