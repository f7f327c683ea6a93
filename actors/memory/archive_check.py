"""Checking an archive while it arrives: every byte of its tar, its members' names and sizes, and their checksums. Pure.

Whatever is not exactly what an archive holds is refused, naming it: so there is no path to leave by, no link to follow
and no member that nobody looks at. It keeps what it has read of the manifest and the checksums alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from actors.errors import ArchiveRefused, RequestTooLarge
from actors.memory.archive_format import (
    BLOCK_BYTES,
    CHECKSUMS,
    CHECKSUMS_BYTES,
    END_BYTES,
    FOLDERS,
    MANIFEST,
    MANIFEST_BYTES,
    MEMBERS,
    PART_BYTES,
    Manifest,
    decode_checksums,
    part_name,
    part_of,
)

_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a named pipe",
    b"x": "an extended header",
    b"g": "an extended header",
    b"L": "a long name",
    b"K": "a long name",
    b"S": "a sparse file",
}


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's content is in the archive."""

    name: str
    offset: int
    size: int


class ArchiveCheck:
    """Takes the bytes of one archive in order. Every method raises ArchiveRefused, which names what is wrong, with a
    word for it in the fact `reason`; NewerArchive; RequestTooLarge beyond `limit_bytes`.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.manifest: Manifest | None = None
        """Known once it has arrived."""
        self.members: list[Member] = []
        self.digest = ""
        """SHA-256 of the checksums, which names the archive; empty until they have arrived."""
        self.size = 0
        self._limit_bytes = limit_bytes
        self._header = bytearray()
        self._name = ""
        self._left = 0
        """Bytes that the member's content lacks."""
        self._padding = 0
        self._hash = hashlib.sha256()
        self._kept = bytearray()
        self._digests: dict[str, str] = {}
        self._zeros = 0

    def feed(self, data: bytes) -> None:
        """The next bytes, any number of them."""
        if self.size + len(data) > self._limit_bytes:
            raise RequestTooLarge(
                f"the archive is over the limit of {self._limit_bytes} bytes", limit_bytes=self._limit_bytes
            )
        rest = memoryview(data)
        while rest:
            if self._left:
                taken = self._content(rest[: self._left])
            elif self._padding:
                taken = self._pad(rest[: self._padding])
            else:
                taken = self._block(rest[: BLOCK_BYTES - len(self._header)])
            self.size += taken
            rest = rest[taken:]

    def finish(self) -> Manifest:
        """The whole archive was fed: its manifest. Raises ArchiveRefused for one that was cut."""
        if self._left or self._padding or self._header:
            raise refused(f"it ends within {self._name or 'a header'}: it was cut off", "truncated")
        if not self.digest or self._zeros < END_BYTES or self.manifest is None:
            raise refused("it ends before its checksums: it was cut off", "truncated")
        return self.manifest

    # pieces

    def _content(self, piece: memoryview) -> int:
        self._hash.update(piece)
        if self._name in (MANIFEST, CHECKSUMS):
            self._kept += piece
        self._left -= len(piece)
        if not self._left:
            self._ended()
        return len(piece)

    def _pad(self, piece: memoryview) -> int:
        if any(piece):
            raise refused(f"what fills {self._name} up is not empty", "tar")
        self._padding -= len(piece)
        return len(piece)

    def _block(self, piece: memoryview) -> int:
        self._header += piece
        if len(self._header) == BLOCK_BYTES:
            header, self._header = bytes(self._header), bytearray()
            if any(header):
                self._begin(header, self.size + len(piece))
            else:
                self._end_block()
        return len(piece)

    def _end_block(self) -> None:
        if not self.digest:
            raise refused("it ends before its checksums: it was cut off", "truncated")
        self._zeros += BLOCK_BYTES

    # members

    def _begin(self, header: bytes, offset: int) -> None:
        if self._zeros:
            raise refused("something follows its end", "tar")
        name, size = _parsed(header)
        self._check_place(name)
        limit = {MANIFEST: MANIFEST_BYTES, CHECKSUMS: CHECKSUMS_BYTES}.get(name, PART_BYTES)
        if not 0 < size <= limit:
            raise refused(f"{name} says that it has {size} bytes; it may have 1 to {limit}", "size")
        self._name, self._left, self._padding = name, size, -size % BLOCK_BYTES
        self._hash, self._kept = hashlib.sha256(), bytearray()
        self.members.append(Member(name, offset, size))

    def _check_place(self, name: str) -> None:
        """Raise unless `name` is the member that may come next."""
        if self.digest:
            raise refused(f"{shown(name)} follows the checksums", "member")
        if name in self._digests:
            raise refused(f"{name} is there twice", "duplicate")
        if self.manifest is None:
            if name != MANIFEST:
                raise refused(f"it begins with {shown(name)}, not with {MANIFEST}", "member")
            return
        if len(self.members) >= MEMBERS:
            raise refused(f"it has more than {MEMBERS} members", "size")
        before = part_of(self.members[-1].name)
        if name != CHECKSUMS and name not in _followers(before):
            raise refused(f"{shown(name)} does not belong there, after {self.members[-1].name}", "member")
        if name == CHECKSUMS and before is None:
            raise refused("it holds no events", "member")

    def _ended(self) -> None:
        digest = self._hash.hexdigest()
        if self._name == CHECKSUMS:
            self._compare(decode_checksums(bytes(self._kept)))
            self.digest = digest
        else:
            self._digests[self._name] = digest
            if self._name == MANIFEST:
                self.manifest = Manifest.decode(bytes(self._kept))

    def _compare(self, said: dict[str, str]) -> None:
        for name, digest in self._digests.items():
            if said.get(name) != digest:
                raise refused(f"{name} is not what its checksum says", "checksum")
        if len(said) != len(self._digests):
            missing = sorted(set(said) - set(self._digests))[0]
            raise refused(f"{shown(missing)} has a checksum, and is missing", "checksum")


def _followers(before: tuple[str, int] | None) -> list[str]:
    """Numbered members that may come after one: the next of its folder, or the first of the next folder."""
    folders = list(FOLDERS)
    if before is None:
        return [part_name(folders[0], 0)]
    folder, number = before
    later = folders[folders.index(folder) + 1 :]
    return [part_name(folder, number + 1), *(part_name(name, 0) for name in later[:1])]


def _parsed(header: bytes) -> tuple[str, int]:
    """(name, size) of a tar header of a regular file. Raises ArchiveRefused, naming what it is of otherwise."""
    if header[257:262] != b"ustar":
        raise refused("it is not a tar", "tar")
    try:
        said = int(header[148:156].rstrip(b"\0 ") or b"0", 8)
        name = header[:100].rstrip(b"\0").decode("ascii")
        size = int(header[124:136].rstrip(b"\0 "), 8)
    except ValueError as error:
        raise refused("one of its headers cannot be read", "tar") from error
    if said != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise refused("the checksum of one of its headers does not hold", "tar")
    kind = header[156:157]
    if kind not in (b"0", b"\0"):
        raise refused(f"{shown(name)} is {_KINDS.get(kind, 'of an unknown kind')}, not a regular file", "kind")
    if name.startswith("/") or header[345:500].startswith(b"/"):
        raise refused(f"{shown(name)} is an absolute path", "traversal")
    if ".." in name.split("/") or b".." in header[345:500].rstrip(b"\0").split(b"/"):
        raise refused(f"{shown(name)} leads out of the archive", "traversal")
    if header[345:500].rstrip(b"\0"):
        raise refused(f"{shown(name)} does not belong there: its name is too long", "member")
    return name, size


def refused(detail: str, reason: str) -> ArchiveRefused:
    """The refusal of an archive. `reason` is a word for the kind of what is wrong with it."""
    return ArchiveRefused(f"the archive is refused: {detail}", reason=reason)


def shown(name: str) -> str:
    """A name that somebody else chose, as messages show it."""
    return repr(name[:100])
