"""Pages of a cube's memories: a cursor continues the list as it was when its first page was read."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from actors.errors import InvalidCursor
from actors.memory.cube import CubeState
from actors.memory.disclosure import OPEN, Disclosure
from actors.memory.item import Memory
from actors.memory.requests import ListMemories, Page
from actors.memory.sources import shown


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: in which cube, at which of its versions, behind how many memories."""

    cube_id: str
    version: int
    offset: int

    def encode(self) -> str:
        raw = json.dumps([self.cube_id, self.version, self.offset], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, cube: CubeState) -> Cursor:
        """Raises InvalidCursor unless `text` is a cursor that this cube gave out."""
        try:
            parts = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
            cube_id, version, offset = parts
        except (ValueError, TypeError, binascii.Error) as error:
            raise InvalidCursor("the cursor is not one that this list gave out; leave it out to begin anew") from error
        numbers = type(version) is int and type(offset) is int
        if cube_id != cube.cube_id or not numbers or not 0 <= version <= cube.version or offset < 0:
            raise InvalidCursor("the cursor belongs to another list; leave it out to begin anew")
        return cls(cube_id, version, offset)


def page_of(cube: CubeState, request: ListMemories, version: int | None, seen: Disclosure = OPEN) -> Page[Memory]:
    """One page, oldest first, of the memories that match as they are `seen`. `version` None is now."""
    if request.cursor is None:
        cursor = Cursor(cube.cube_id, cube.version if version is None else version, 0)
    else:
        cursor = Cursor.decode(request.cursor, cube)
    found: list[Memory] = []
    for offset, recorded in enumerate(cube.held_memories(cursor.version)):
        if offset < cursor.offset:
            continue
        memory = seen.shown(recorded)
        if not _matches(memory, request):
            continue
        if len(found) == request.limit:
            return Page(tuple(found), Cursor(cube.cube_id, cursor.version, offset).encode())
        found.append(seen.shown(shown(cube, cube.at(memory.id, cursor.version), cursor.version)))
    return Page(tuple(found), None)


def _matches(memory: Memory, request: ListMemories) -> bool:
    return (
        (request.state is None or memory.state is request.state)
        and (request.form is None or memory.form.value == request.form)
        and (request.type is None or memory.type == request.type)
    )
