"""What a shard is made of: the adapters behind its ports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from actors.memory.draft import Sealer
from actors.memory.ports import Clock, Embedder, Journal, LexicalIndex, Snapshots, VectorIndex
from actors.memory_budget import MemoryBudget


@dataclass(frozen=True, slots=True)
class ShardParts:
    """The adapters that a shard stands on, opened."""

    journal: Journal
    snapshots: Snapshots
    vectors: VectorIndex
    lexical: LexicalIndex
    embedder: Embedder
    clock: Clock
    sealer: Sealer
    condemn: Callable[[str], None] = lambda channel: None
    """Marks an index as damaged, so that the next opening of the shard rebuilds it from the journal."""
    budget: MemoryBudget = field(default_factory=MemoryBudget)
    """The memory of the host's open cubes, one for all of its shards."""

    def close(self) -> None:
        """Let go of every file, also when one of them cannot be closed."""
        with ExitStack() as closing:
            closing.callback(self.journal.close)
            closing.callback(self.vectors.close)
            closing.callback(self.lexical.close)
