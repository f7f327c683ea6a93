"""The journal: an append-only, chained, fenced table of one shard's events."""

from actors.stores.journal.compaction import CompactionLimits
from actors.stores.journal.delta import DeltaJournal
from actors.stores.journal.plain import PlainJournal, PlainStorage
from actors.stores.location import StorageSpec

__all__ = ["CompactionLimits", "DeltaJournal", "PlainJournal", "PlainStorage", "StorageSpec"]
