"""The neighbour graph of a large cube's rows: HNSW (Malkov and Yashunin, 2016) by faiss.

The graph is over rows 0 to `rows` of the cube and names those near a query; whoever asks masks and scores them. faiss
can mask while it searches, but then answers with rows far down the list, and no sign of it, when few rows near a query
are allowed. So a search asks for enough of the nearest rows, of whichever kind: if as many as are wanted are allowed
among them, those are the best; if not, every allowed row is scored.

The graph reads vectors from a flat index that others own, so that no vector is held twice, save while it grows: adding
needs a flat index that ends where the graph does.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from actors.errors import Corrupted
from actors.memory.ports import Vectors

_faiss: Any = faiss
"""faiss's stubs know the C++ signatures alone, not the wrappers that take arrays and keywords, and not every name."""

GRAPH_FROM_ROWS = 20_000
"""Cubes with as many rows get a graph. 384 dimensions, sentences embedded by MiniLM, one thread, 200 rows asked for:

| rows | exact | graph | building it | its memory |
|---|---|---|---|---|
| 10,000 | 0.6 ms | 0.17 ms | 0.7 s | 1.4 MB |
| 20,000 | 1.9 ms | 0.16 ms | 2.5 s | 2.9 MB |
| 40,000 | 5.3 ms | 0.15 ms | 6.9 s | 5.8 MB |
| 100,000 | 9 ms | 0.5 ms | 23 s | 14.4 MB |

Below, exact search is a small part of embedding the query (5 to 10 ms), and finds everything.
"""

LINKS = 16
"""Neighbours of a row in the upper layers, half of those in the lowest (M)."""

BUILD_BREADTH = 80
"""Candidates that are weighed for a new row's neighbours (efConstruction)."""

SEARCH_BREADTH = 256
"""The least number of rows that a search visits in earnest (efSearch): recall@10 0.997 to 1 on the above."""

_BREADTH_PER_RESULT = 1.3
_ROWS_PER_BREADTH = 16
"""Visiting one row more in the graph costs as much as scoring so many rows one after the other, or a little more."""


def breadth_for(wanted: int, allowed: int, rows: int) -> int | None:
    """How many of the nearest rows to look at, so that `wanted` of them are allowed when `allowed` of all `rows` are;
    None when scoring every allowed row is cheaper.
    """
    breadth = max(SEARCH_BREADTH, int(_BREADTH_PER_RESULT * wanted * rows / max(1, allowed)))
    return breadth if _ROWS_PER_BREADTH * breadth <= allowed else None


class RowGraph:
    """Not thread-safe: a search must not run beside `add`."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._vectors: Any = None
        """The flat index that the graph reads: referred to here too, since faiss does not own it."""

    @classmethod
    def empty(cls, dimension: int) -> RowGraph:
        index = faiss.IndexHNSWFlat(dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_BREADTH
        _faiss.downcast_index(index.storage).this.own(
            True
        )  # so that it is freed: `read_from` puts another in its place
        index.own_fields = False
        graph = cls(index)
        graph.read_from(faiss.IndexFlatIP(dimension))
        return graph

    @property
    def rows(self) -> int:
        """The rows that the graph covers: those before this one."""
        return int(self._index.ntotal)

    @property
    def held_bytes(self) -> int:
        """Of the links alone."""
        hnsw = self._index.hnsw
        return int(4 * hnsw.neighbors.size() + 8 * hnsw.offsets.size() + 4 * hnsw.levels.size())

    def read_from(self, vectors: Any) -> None:
        """Read vectors from another flat index, which holds those of the graph's rows at least."""
        self._index.storage = vectors
        self._vectors = vectors

    def add(self, vectors: Vectors) -> None:
        """Take the next rows in, into the flat index too, which must end where the graph ends."""
        self._index.add(vectors)

    def nearest(self, query: Vectors, breadth: int) -> npt.NDArray[np.int64]:
        """About the `breadth` rows nearest to `query`, in no order that counts."""
        breadth = min(breadth, self.rows)
        parameters = _faiss.SearchParametersHNSW(efSearch=breadth)
        _, found = self._index.search(query, breadth, params=parameters)
        rows: npt.NDArray[np.int64] = found[0][found[0] >= 0]
        return rows

    # storage

    def to_bytes(self) -> bytes:
        """The links, without the vectors."""
        writer = faiss.VectorIOWriter()
        faiss.write_index(self._index, writer, faiss.IO_FLAG_SKIP_STORAGE)
        return bytes(faiss.vector_to_array(writer.data))

    @classmethod
    def from_bytes(cls, data: bytes, dimension: int) -> RowGraph:
        """What `to_bytes` gave, whose checksum was checked; `read_from` comes next. Raises Corrupted."""
        reader = faiss.VectorIOReader()
        faiss.copy_array_to_vector(np.frombuffer(data, dtype=np.uint8), reader.data)
        try:
            index = faiss.read_index(reader, faiss.IO_FLAG_SKIP_STORAGE)
        except RuntimeError as error:
            raise Corrupted(f"a graph of {len(data)} bytes cannot be decoded") from error
        if not isinstance(index, faiss.IndexHNSWFlat) or index.d != dimension:
            raise Corrupted(f"a graph of {len(data)} bytes is of another kind than was written")
        index.own_fields = False
        return cls(index)
