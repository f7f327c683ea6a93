"""An import: the cube that an archive becomes, whole or not at all.

The archive's events are checked and folded, its rows are indexed, and its whole chain is committed at once. Until then
nothing of it is anywhere but in the spooled file and, under the id of a cube that is not there, in the indexes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from itertools import islice

import numpy as np
import numpy.typing as npt

from actors.errors import MemosError
from actors.exporting import text_digest
from actors.import_screening import screened
from actors.imported_chain import ImportedChain
from actors.memory.analysis import terms_of
from actors.memory.cube import CubeState
from actors.memory.ports import LexicalDocument, RowNumbers
from actors.memory.requests import ImportedCube
from actors.redaction_gate import RedactionGate
from actors.row_deltas import RowDelta
from actors.shard_archives import ShardArchives
from actors.spool import Spool
from actors.stores.archive.parts import DIGEST_BYTES, Digests, decode_vectors

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 2048
"""Rows that are handed to an index at a time."""


def take_in(shard: ShardArchives, spool: Spool, chain: ImportedChain, gate: RedactionGate) -> ImportedCube:
    """Make the cube. Raises what `import_screening.screened` raises (ArchiveRefused, RequestTooLarge, RedactionBlocked
    and others), AlreadyExists, and what storage and indexes raise; then nothing of it is left.
    """
    state = screened(chain, gate)
    try:
        found = _put_vectors(shard, spool, chain, state)
        _put_documents(shard, state)
        shard.take_in(state, chain.parts(), _missing(state, found))
    except BaseException:
        shard.forget(state.cube_id)
        raise
    return ImportedCube(state.cube_id, state.version, len(state.history), int(found.sum()), len(found))


Flags = npt.NDArray[np.bool_]


class RowsByText:
    """The rows of a cube by the digests of their texts."""

    def __init__(self, texts: Iterable[str], count: int) -> None:
        digests = np.zeros((count, DIGEST_BYTES), dtype=np.uint8)
        for row, text in enumerate(texts):
            digests[row] = text_digest(text)
        named = _names(digests)
        self._order = np.argsort(named, kind="stable")
        self._named = named[self._order]

    def rows(self, digests: Digests) -> Iterator[tuple[RowNumbers, int]]:
        """(the rows of a text, the place among `digests` where it is named first), for each text that there is."""
        named, places = np.unique(_names(digests), return_index=True)
        starts = np.searchsorted(self._named, named, side="left")
        ends = np.searchsorted(self._named, named, side="right")
        for start, end, place in zip(starts, ends, places, strict=True):
            if start < end:
                yield self._order[start:end], int(place)


def _names(digests: Digests) -> npt.NDArray[np.bytes_]:
    return np.ascontiguousarray(digests).view(f"S{DIGEST_BYTES}").ravel()


def _put_vectors(shard: ShardArchives, spool: Spool, chain: ImportedChain, state: CubeState) -> Flags:
    """Index the archive's vectors when they are of our model; which rows have theirs. Others are embedded later."""
    found: Flags = np.zeros(len(state.rows), dtype=np.bool_)
    model_id, dimension = chain.manifest.model_id, chain.manifest.dimension
    ours = (model_id, dimension) == (shard.model_id, shard.dimension)
    by_text = RowsByText(state.rows.texts, len(found)) if ours else None
    for name, data in spool.members("vectors"):
        digests, vectors = decode_vectors(name, data, dimension)
        if by_text is None:
            continue
        rows: list[int] = []
        places: list[int] = []
        for of_text, place in by_text.rows(digests):
            new = of_text[~found[of_text]].tolist()
            rows += new
            places += [place] * len(new)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            chosen = places[start : start + ROWS_AT_ONCE]
            shard.put_rows(state.cube_id, rows[start : start + ROWS_AT_ONCE], vectors[chosen].astype(np.float32))
        found[rows] = True
    return found


def _missing(state: CubeState, found: Flags) -> list[RowDelta]:
    """What is to be embedded; nothing is made of rows whose vectors came with them."""
    if all(found[interval.row] for interval in state.rows.intervals()):
        return []
    return [delta for delta in RowDelta.since(state, 1) if delta.opened and not found[delta.opened.row]]


def _put_documents(shard: ShardArchives, state: CubeState) -> None:
    rows = state.rows
    intervals = rows.intervals()
    while some := list(islice(intervals, ROWS_AT_ONCE)):
        shard.put_documents(
            [
                LexicalDocument(state.cube_id, each.row, terms_of(rows.texts[each.row]), each.since, each.until)
                for each in some
            ]
        )


class Import:
    """One that is under way: it arrives, then it is worked on by a thread of its own. Its session guards it."""

    def __init__(
        self,
        shard: ShardArchives,
        spool: Spool,
        gate: RedactionGate,
        begin: Callable[[], ImportedChain],
        made: Callable[[ImportedCube, str], None],
    ) -> None:
        """`made` is told the cube and the digest of its archive, before anybody else is."""
        self._shard = shard
        self._made = made
        self._gate = gate
        self._spool = spool
        self._begin = begin
        self._outcome: ImportedCube | MemosError | None = None
        self._done = threading.Event()
        self._working: threading.Thread | None = None

    def write(self, offset: int, data: bytes) -> None:
        self._spool.write(offset, data)

    def finish(self) -> None:
        """Everything has arrived: begin to work on it. Raises ArchiveRefused for an archive that was cut."""
        if self._working is None:
            chain = self._begin()
            self._working = threading.Thread(target=self._work, args=(chain,), name="import", daemon=True)
            self._working.start()

    def outcome(self, wait_s: float) -> ImportedCube | None:
        """What was made, None while it is worked on. Raises why nothing was."""
        self._done.wait(wait_s)
        if isinstance(self._outcome, MemosError):
            raise copy(self._outcome)
        return self._outcome

    def _work(self, chain: ImportedChain) -> None:
        try:
            cube = take_in(self._shard, self._spool, chain, self._gate)
            self._made(cube, self._spool.check.digest)
            self._outcome = cube
        except MemosError as error:
            self._outcome = error
        except Exception:  # the outer loop of a thread: who waits is told
            log.exception("an import failed in an unforeseen way")
            self._outcome = MemosError("the host failed; its log says why")
        finally:
            self._done.set()

    def close(self) -> None:
        """Waits for what works on it: the file must not go while it is read."""
        if self._working is not None:
            self._working.join()
        self._spool.close()
