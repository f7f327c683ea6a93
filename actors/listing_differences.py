"""Pages of what is different between two versions of a cube."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from actors.errors import InvalidCursor
from actors.memory.cube import CubeState
from actors.memory.differences import Difference, differences
from actors.memory.item import Memory, owned
from actors.memory.time_requests import CompareVersions


@dataclass(frozen=True, slots=True)
class DifferencePage:
    """`first` and `second` are the versions compared, `counts` the number of differences of each kind over all pages;
    `next` is an opaque cursor, None at the end.
    """

    first: int
    second: int
    counts: Mapping[str, int]
    items: tuple[Difference, ...]
    next: str | None


def differences_of(cube: CubeState, request: CompareVersions) -> DifferencePage:
    """One page, in order of first record. A cursor goes on between the versions that its first page compared."""
    first, second, start = cube.version_of(request.first), cube.version_of(request.second), 0
    if request.cursor is not None:
        first, second, start = _decoded(request.cursor, cube)
    found: list[Difference] = []
    counts: Counter[str] = Counter()
    following: int | None = None
    for place, difference in differences(cube.history, first, second):
        counts[difference.change.value] += 1
        if place < start or following is not None:
            continue
        if len(found) == request.limit:
            following = place
        else:
            found.append(_owned(difference, cube.cube_id))
    cursor = None if following is None else _encoded(cube.cube_id, first, second, following)
    return DifferencePage(first, second, dict(counts), tuple(found), cursor)


def _owned(difference: Difference, cube_id: str) -> Difference:
    def own(memory: Memory | None) -> Memory | None:
        return memory if memory is None else owned(memory, cube_id)

    return replace(difference, before=own(difference.before), after=own(difference.after))


def _encoded(*parts: str | int) -> str:
    raw = json.dumps(parts, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str, cube: CubeState) -> tuple[int, int, int]:
    try:
        parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        cube_id, first, second, start = parts
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidCursor("the cursor is not one that this list gave out; leave it out to begin anew") from error
    numbers = all(type(number) is int for number in (first, second, start))
    if cube_id != cube.cube_id or not numbers or start < 0:
        raise InvalidCursor("the cursor belongs to another list; leave it out to begin anew")
    if not (0 <= first <= cube.version and 0 <= second <= cube.version):
        raise InvalidCursor("the cursor belongs to another list; leave it out to begin anew")
    return first, second, start
