"""The client's methods about where memories came from, and about merges."""

from __future__ import annotations

from typing import Any

from serve.client_transport import path_of
from serve.client_types import Json, Memory, Provenance, Split, read


class LineageMethods:
    """A part of MemosClient, which sends the requests."""

    def split(self, cube_id: str, memory_id: str, reason: str = "") -> Split:
        """Undoes a merge, or the merges into a memory: call again while `remaining` is not 0."""
        done = self._json("POST", path_of("cubes", cube_id, "memories", memory_id, "split"), body={"reason": reason})
        return Split(done["version"], tuple(read(Memory, memory) for memory in done["memories"]), done["remaining"])

    def consolidate(self, cube_id: str, start: int = 0, rows: int = 256) -> Json:
        """One step of merging near-duplicates: {"checked", "merged", "linked", "next"}; goes on from `next`."""
        return self._json("POST", path_of("cubes", cube_id, "consolidate"), body={"start": start, "rows": rows})

    def provenance(
        self,
        cube_id: str,
        memory_id: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        as_of: int | str | None = None,
    ) -> Provenance:
        """A page of where a memory came from; `next` is the cursor of the page after."""
        path = path_of("cubes", cube_id, "memories", memory_id, "provenance")
        return read(Provenance, self._json("GET", path, query={"limit": limit, "cursor": cursor, "as_of": as_of}))

    def _json(self, method: str, path: str, **options: Any) -> Json:
        """The JSON answer to a request."""
        raise TypeError(f"{type(self).__name__} sends no requests")
