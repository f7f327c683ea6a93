"""Where the rows of a cube are in a segment, from its footer, which is read once."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class Footer:
    """A segment's metadata, and the first and last cube of each of its row groups, which are in order."""

    metadata: pq.FileMetaData
    first_cubes: list[str]
    last_cubes: list[str]

    @staticmethod
    def of(metadata: pq.FileMetaData) -> Footer:
        spans = [metadata.row_group(number).column(0).statistics for number in range(metadata.num_row_groups)]
        return Footer(metadata, [span.min for span in spans], [span.max for span in spans])

    def groups_with(self, cube_id: str) -> list[int]:
        """The row groups whose span of cube ids includes `cube_id`."""
        found = []
        for number in range(bisect_left(self.last_cubes, cube_id), len(self.last_cubes)):
            if self.first_cubes[number] > cube_id:
                break
            found.append(number)
        return found
