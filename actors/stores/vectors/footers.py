"""Where the rows of a cube are in a segment, from its footer, which is read once.

The footer also holds a 32-bit digest of each cube id in the segment, so that of many segments, whose spans of ids all
include a cube, only those that have rows of it are read; one in 4 billion for nothing. Segments of before have none.
"""

from __future__ import annotations

import base64
import zlib
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

_ENTRY = "memos.cubes"


@dataclass(frozen=True, slots=True)
class Footer:
    """A segment's metadata, and the first and last cube of each of its row groups, which are in order."""

    metadata: pq.FileMetaData
    digests: npt.NDArray[np.uint32] | None
    first_cubes: list[str]
    last_cubes: list[str]

    @staticmethod
    def of(metadata: pq.FileMetaData) -> Footer:
        spans = [metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups)]
        return Footer(metadata, _digests(metadata), [span.min for span in spans], [span.max for span in spans])

    def groups_with(self, cube_id: str) -> list[int]:
        """The row groups whose span of cube ids includes `cube_id`."""
        if self.digests is not None:
            place = int(np.searchsorted(self.digests, _digest(cube_id)))
            if place == len(self.digests) or self.digests[place] != _digest(cube_id):
                return []
        found = []
        for number in range(bisect_left(self.last_cubes, cube_id), len(self.last_cubes)):
            if self.first_cubes[number] > cube_id:
                break
            found.append(number)
        return found


def digests_entry(cubes: Iterable[str]) -> dict[str, str]:
    """The footer's entry with the digests of the cubes in a segment."""
    digests = np.unique(np.fromiter(map(_digest, cubes), dtype=np.uint32))
    return {_ENTRY: base64.b64encode(digests.astype("<u4").tobytes()).decode()}


def _digests(metadata: pq.FileMetaData) -> npt.NDArray[np.uint32] | None:
    entry = (metadata.metadata or {}).get(_ENTRY.encode())
    return None if entry is None else np.frombuffer(base64.b64decode(entry), dtype="<u4")


def _digest(cube_id: str) -> int:
    return zlib.crc32(cube_id.encode())
