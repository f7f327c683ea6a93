"""Which segments hold a shard's vectors: a manifest for each owner of the shard, the newest owner's counts.

An owner writes the manifest of its own epoch alone, so a fenced owner that is late never replaces its successor's.
Nor does it delete what its successor names, whatever the order in which the two get their turn. Opening writes its
own manifest and reads its predecessor's again, until it reads there what it wrote. Deleting looks for a manifest of
a later epoch first, after the manifest that no longer names the files is written. So either the opening sees that
last manifest of the predecessor, or the predecessor sees the new one and deletes nothing. This asks of the storage
that what was written is listed and read at once, as local folders and object stores do.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from actors.errors import Corrupted, Fenced, NewerFormat, StorageUnavailable
from actors.stores.location import Location

FORMAT = 2
FIRST_NAME = "manifest.json"
"""How the manifest was called while there was one owner: it counts as one of epoch 0."""

_READS = 8
"""Tries to read a manifest that disappears between the listing and the reading."""

_NAME = re.compile(r"manifest-(\d{8})\.json")
_EPOCH = re.compile(r"^\.?(?:manifest|v|graph)-(\d{8})\b")


@dataclass(frozen=True, slots=True)
class Segment:
    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class GraphFile:
    """The links of a large cube's first `rows` rows, with the checksum of the file."""

    cube_id: str
    name: str
    rows: int
    crc: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is stored as of a journal `position`: rows of one model in `segments`, oldest first, and `graphs`."""

    model_id: str
    dimension: int
    position: int = 0
    segments: tuple[Segment, ...] = ()
    graphs: tuple[GraphFile, ...] = ()

    @property
    def files(self) -> set[str]:
        return {segment.name for segment in self.segments} | {graph.name for graph in self.graphs}


class Manifests:
    """The manifests of one shard, and the files that they name; `epoch` is the caller's. Not thread-safe."""

    def __init__(self, location: Location, epoch: int) -> None:
        self._location = location
        self._epoch = epoch

    def adopt(self, fresh: Manifest) -> Manifest:
        """Take over what the newest owner before this one left, `fresh` when there is nothing; it becomes this
        owner's manifest. Raises Corrupted, NewerFormat, Fenced, StorageUnavailable.
        """
        written: Manifest | None = None
        while True:
            found = self._inherited() or fresh
            if found == written:
                return found
            self.write(found)
            written = found

    def _inherited(self) -> Manifest | None:
        """The manifest of the newest owner before this one, None when there is none. Raises Fenced."""
        for _ in range(_READS):
            names = self._location.sizes()
            self._refuse_later(names)
            earlier = [epoch for epoch in _epochs(names) if epoch < self._epoch]
            if not earlier and FIRST_NAME not in names:
                self._refuse_stray(names)
                return None
            name = manifest_name(max(earlier)) if earlier else FIRST_NAME
            data = self._location.read(name)
            if data is not None:  # else another opening deleted it, having written its own
                return self._decoded(name, data)
        uri = self._location.uri
        raise StorageUnavailable(f"the manifests in {uri} change all the time", uri=uri)

    def _refuse_stray(self, names: Mapping[str, int]) -> None:
        """Vector files without a manifest are damage; but one may be left by a kill in the very first flush."""
        stray = [name for name in names if name.endswith(".parquet")]
        if len(stray) > 1:
            missing = self._location.name_of(manifest_name(self._epoch))
            raise Corrupted(
                f"no manifest.json, nor {missing}, beside {len(stray)} vector files", uri=self._location.uri
            )

    def write(self, manifest: Manifest) -> None:
        """Make `manifest` the one of this owner; durable when it returns."""
        body: dict[str, Any] = {"format": FORMAT, **asdict(manifest)}
        self._location.replace(manifest_name(self._epoch), json.dumps({"body": body, "crc": _crc(body)}).encode())

    def delete(self, names: set[str]) -> None:
        """Delete files that this owner's written manifest no longer names. Raises Fenced, and deletes nothing, when
        there is a later owner.
        """
        if names:
            self._refuse_later(self._location.sizes())
            for name in names:
                self._location.delete(name)

    def delete_leftovers(self, manifest: Manifest) -> None:
        """Delete what owners before this one left and `manifest` does not name. Raises Fenced likewise."""
        earlier = {name for name in self._location.sizes() if _epoch_of(name) < self._epoch}
        self.delete(earlier - manifest.files)

    def refuse_later(self) -> None:
        """Raise Fenced when there is a later owner."""
        self._refuse_later(self._location.sizes())

    def _refuse_later(self, names: Mapping[str, int]) -> None:
        latest = max(_epochs(names), default=0)
        if latest > self._epoch:
            uri = self._location.uri
            raise Fenced(f"the vectors in {uri} belong to the owner of epoch {latest}, not {self._epoch}", uri=uri)

    def _decoded(self, name: str, data: bytes) -> Manifest:
        path = self._location.name_of(name)
        try:
            stored = json.loads(data)
            body = dict(stored["body"])
            intact = stored["crc"] == _crc(body)
            version = body.pop("format")
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupted(f"{path} is damaged: {error}", uri=path) from error
        if not intact:
            raise Corrupted(f"{path} has another checksum than when it was written", uri=path)
        if version > FORMAT:
            raise NewerFormat(f"{path} was written by a newer version", uri=path)
        segments = tuple(Segment(**segment) for segment in body.pop("segments"))
        graphs = tuple(GraphFile(**graph) for graph in body.pop("graphs", ()))
        return Manifest(**body, segments=segments, graphs=graphs)


def manifest_name(epoch: int) -> str:
    return f"manifest-{epoch:08d}.json"


def segment_name(epoch: int, unique: str) -> str:
    return f"v-{epoch:08d}-{unique}.parquet"


def graph_name(epoch: int, unique: str) -> str:
    return f"graph-{epoch:08d}-{unique}.hnsw"


def _epochs(names: Mapping[str, int]) -> list[int]:
    return [int(match[1]) for match in map(_NAME.fullmatch, names) if match]


def _epoch_of(name: str) -> int:
    """The epoch of the owner that wrote a file; 0 for those of before there were epochs."""
    match = _EPOCH.search(name)
    return int(match[1]) if match else 0


def _crc(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
