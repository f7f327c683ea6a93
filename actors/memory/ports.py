"""Ports: what the domain needs of the world. Adapters in `actors/stores` and `actors/models` implement them.

Each port says what it guarantees on a crash and under concurrency; one contract suite a port
(`tests/contracts`) holds every adapter to it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from actors.memory.erasure import Emptied
from actors.memory.events import Event

Vectors = npt.NDArray[np.float32]
"""Shape (texts, dimension), rows of unit length."""

RowNumbers = npt.NDArray[np.int64]
"""Shape (rows,): numbers of rows of a cube."""

Mask = npt.NDArray[np.bool_]
"""Shape (rows,): which rows of a cube may be answered."""

"""Shape (rows,): numbers of rows of a cube."""


JsonObject = dict[str, Any]


class Journal(Protocol):
    """The events of one shard: append-only, totally ordered, owned by one writer at a time.

    Opening an adapter claims the next epoch; from then on every append of an older owner raises Fenced,
    through whichever handle. Single-threaded: one thread at a time calls the methods that change it.
    """

    @property
    def epoch(self) -> int: ...

    @property
    def position(self) -> int:
        """Position of the last committed event, 0 when empty."""
        ...

    def append_parts(self, parts: Iterable[Sequence[Event]]) -> Event:
        """Commit the events of all parts, of which there is one at least, in order, all or none; the last, with its
        position. Parts are taken one at a time and not kept. Durable, and raises, as `append`; what `parts` raises
        comes out as it is, with nothing committed.
        """
        ...

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Commit `events` in order, all or none, and return them with their positions.

        Durable when it returns: survives a killed process, and for local storage a power cut.
        Raises Fenced when another owner has claimed the shard (never retries then), StorageUnavailable
        when the storage failed; after StorageUnavailable the outcome may be unknown: close and open anew.
        """
        ...

    def read(self, after: int = 0) -> Iterator[Event]:
        """Events with a position beyond `after`, in order of position."""
        ...

    def read_cube(self, cube_id: str, after_version: int = 0) -> Iterator[Event]:
        """One cube's events with a version beyond `after_version`, in order of version."""
        ...

    def head_at(self, cube_id: str, version: int) -> bytes | None:
        """The hash of one event of a cube, None when there is no such event."""
        ...

    def mentioning(self, text: bytes) -> Iterator[Event]:
        """Events whose content holds these bytes, in order of position. For ids, never for content."""
        ...

    def empty(self, positions: Collection[int]) -> Emptied:
        """Take content and salt out of the events at `positions`, and every copy of them off storage, in the
        writer's own sequence. What else of them there is, stays, so that the chain holds. Durable when it returns;
        after a crash some are emptied: repeat it. Raises as `append`, and Corrupted.
        """
        ...

    def maintain(self) -> bool:
        """Compact when it is due, in the writer's own sequence; True when something was done."""
        ...

    def verify(self, cube_id: str | None = None) -> list[str]:
        """What is wrong: missing, edited, dropped or reordered events, a cut tail. Empty when all holds."""
        ...

    def close(self) -> None: ...


class Snapshots(Protocol):
    """Folded states of chains, written now and then, so that opening one reads little.

    A snapshot is derived from the journal: one that is missing, truncated or edited is reported and
    ignored, never trusted. A crash while writing leaves the earlier ones intact.
    """

    @property
    def position(self) -> int:
        """Journal position up to which the snapshots reach, 0 when there are none."""
        ...

    def write(self, position: int, states: Iterable[tuple[str, bytes]], anew: Collection[str] = ()) -> int:
        """Store the states of the chains that changed since `self.position`, as of `position`; atomic.

        Of the chains in `anew` nothing older stays on storage when it returns. Answers how many files held some.
        """
        ...

    def read(self, cube_id: str) -> bytes | None:
        """The newest stored state of a chain, None when it has none. Raises Corrupted, naming the file."""
        ...

    def discard(self) -> None:
        """Forget every snapshot: the next recovery folds the journal from its first event."""
        ...


class VectorIndex(Protocol):
    """Vectors of the rows of cubes. A projection: may lag, may be rebuilt, never holds the truth.

    `put` is idempotent by (cube, row). What `put` was given before a `flush` that returned survives a
    killed process. Reading and writing from several threads is safe. While its store is away an index raises
    StorageUnavailable; it works again, without being opened anew, when the store is back.
    """

    @property
    def position(self) -> int:
        """Journal position up to which everything is stored durably. Raises StorageUnavailable while a store over the
        network has not been reached yet.
        """
        ...

    def put(self, cube_id: str, rows: Sequence[int], vectors: Vectors) -> None: ...

    def flush(self, position: int) -> None:
        """Make all puts so far durable, and `position` with them."""
        ...

    def present(self, cube_id: str) -> int:
        """Number of rows of a cube that are searchable; opens the cube when it is not in memory."""
        ...

    def search(self, cube_id: str, query: Vectors, allowed: Mask, k: int) -> list[tuple[int, float]]:
        """The `k` allowed rows nearest to `query` (shape (1, dimension)): (row, cosine), best first."""
        ...

    def read(self, cube_id: str, rows: Sequence[int]) -> tuple[RowNumbers, Vectors]:
        """Those of some rows of a cube that are there, in ascending order, and their vectors, shape (found, dimension).
        Opens the cube when it is not in memory.
        """
        ...

    def held_bytes(self, cube_id: str) -> int:
        """What a cube takes in this process's memory, 0 when it is not open here. Opens nothing, and is quick."""
        ...

    def unload(self, cube_id: str) -> None:
        """Drop a cube from memory; a later search opens it again."""
        ...

    def erase(self, cube_id: str) -> None:
        """Forget a cube, on storage too."""
        ...

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> str:
        """Forget rows of cubes, or whole cubes (None), on storage too, durably. Answers what is not in this index's
        hands, in words; empty when nothing is left anywhere.
        """
        ...

    def clear(self) -> None:
        """Forget everything: position 0, to be rebuilt from the journal."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LexicalDocument:
    """An interval of a row: its analysed text, `terms` in order, is live in the cube versions `since` to before
    `until`. A row may have several, which do not overlap.
    """

    cube_id: str
    row: int
    terms: tuple[str, ...]
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """A cube's own statistics at one version: nothing of another cube enters them."""

    documents: int
    total_terms: int
    document_frequency: tuple[int, ...]
    """Per asked term, the number of live rows that hold it."""


class LexicalIndex(Protocol):
    """An inverted index over the rows of cubes: it proposes candidates, the domain scores them.

    `put` replaces the document of the same (cube, row, since). A projection, as VectorIndex is.
    """

    @property
    def position(self) -> int: ...

    def put(self, documents: Sequence[LexicalDocument]) -> None: ...

    def flush(self, position: int) -> None:
        """Make puts searchable and durable, and `position` with them, atomically."""
        ...

    def statistics(self, cube_id: str, terms: Sequence[str], version: int) -> CorpusStatistics: ...

    def candidates(self, cube_id: str, weighted: Sequence[tuple[str, float]], version: int, limit: int) -> list[int]:
        """Rows live at `version` that hold a term, by the sum of the given weights of those they hold.

        The order depends on this cube's documents alone.
        """
        ...

    def erase(self, cube_id: str) -> None: ...

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> None:
        """Forget rows of cubes, or whole cubes (None), and their terms, on storage too; other puts are flushed."""
        ...

    def clear(self) -> None: ...

    def close(self) -> None: ...


class Embedder(Protocol):
    """Turns texts into vectors. Deterministic for a model; safe to call from several threads."""

    @property
    def model_id(self) -> str:
        """Names model and revision: vectors of different ids never meet in one index."""
        ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Shape (len(texts), dimension), float32, rows of unit length. Empty texts are allowed."""
        ...


class Clock(Protocol):
    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...
