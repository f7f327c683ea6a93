"""Erasing memories of a shard: tombstones first, then every place that holds their content, then the receipt.

1. The tombstones are committed. From there on the fold answers nothing of the memories, whatever happens.
2. Between two appends, the journal's files lose the content. Then the snapshots of the cube are written anew, and
   only with them the stored position passes the tombstones: so as long as there is a tombstone in the tail without a
   receipt behind it, the next opening does this again.
3. The indexes follow, as they follow everything: their stored positions pass the tombstones when they have forgotten
   the rows, so the next opening replays it.
4. The receipt is recorded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.errors import Unavailable
from actors.memory.cube_draft import CubeDraft
from actors.memory.draft import Origin
from actors.memory.erasing import complete
from actors.memory.erasure import Emptied, Place, Receipt, receipt_of, unfinished
from actors.memory.events import EventType
from actors.memory.ports import Clock, Journal
from actors.open_cubes import Captured, OpenCube, OpenCubes
from actors.projector import CHANNELS, Projector
from actors.snapshotting import Snapshotting
from actors.writer import ShardWriter

log = logging.getLogger(__name__)

INDEXES_WITHIN_S = 10.0
"""How long an erasure waits for the indexes before it says that it is not done."""

FINISHING_WITHIN_S = 2.0
"""The same in the background, where it is tried again."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Between two tries of an erasure that an opening found unfinished; they double."""

KEPT = frozenset({EventType.MEMORY_ERASED, EventType.CUBE_ERASED, EventType.ERASURE_COMPLETED})
"""Events without content of memories, which say what was erased."""


class Erasing:
    """One of these a shard. Methods may be called from many threads; erasures take turns. `forget_words` drops what is
    remembered of a cube's texts.
    """

    def __init__(
        self,
        journal: Journal,
        cubes: OpenCubes,
        writer: ShardWriter[CubeDraft],
        projector: Projector,
        clock: Clock,
        snapshotting: Snapshotting,
        forget_words: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._cubes = cubes
        self._writer = writer
        self._projector = projector
        self._clock = clock
        self._snapshotting = snapshotting
        self._forget_words = forget_words
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._waiting: list[str] = cubes.unfinished()
        """Cubes with an erasure that was begun and has to be finished without being asked for."""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Finish, in the background, what an earlier owner of the shard had begun."""
        with self._guard:
            if self._waiting and self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._finish_all, name="erasures", daemon=True)
                self._thread.start()

    def erase(self, cube_id: str, decide: Callable[[CubeDraft], str], origin: Origin) -> Receipt:
        """Erase what `decide` records the tombstones of; it answers the erasure's root. The receipt, when nothing is
        left anywhere; the first one again for what was erased before.

        Raises what `decide` raises, StorageError, and Unavailable when an index did not follow in time: the content
        is out of every answer then and out of the journal, and a repeat goes on.
        """
        with self._cubes.pinned(cube_id) as cube:
            with self._snapshotting.lock:  # until ours, no snapshot may pass the tombstones
                root = self._writer.submit(cube_id, decide).result()
                with cube.lock:
                    known = cube.state.receipts.get(root)
                if known is not None:
                    return known
                with self._seen_to(cube_id):
                    places = self._purge(cube_id, cube)
            with self._seen_to(cube_id):
                places += self._await_indexes(cube_id, cube, INDEXES_WITHIN_S)
                return self._complete(cube_id, cube, root, places, origin)

    @property
    def unfinished(self) -> int:
        """Number of cubes with an erasure that is being finished in the background."""
        return len(self._waiting)

    def close(self) -> None:
        """Stop trying; the next opening does."""
        with self._guard:
            self._closing.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    @contextmanager
    def _seen_to(self, cube_id: str) -> Iterator[None]:
        """What fails after the tombstones is finished in the background, whether the caller comes back or not."""
        try:
            yield
        except BaseException:
            with self._guard:
                if cube_id not in self._waiting:
                    self._waiting.append(cube_id)
            self.start()
            raise

    # the places

    def _purge(self, cube_id: str, cube: OpenCube) -> list[Place]:
        """Journal, snapshots and memory. Called with the snapshots' lock held; repeatable."""
        self._forget_words(cube_id)
        with cube.lock:
            erased = set(cube.state.erased)
        whole = cube_id in erased
        positions = [
            event.position
            for event in self._journal.read_cube(cube_id)
            if event.content is not None and event.type not in KEPT and (whole or event.memory_id in erased)
        ]

        def empty() -> tuple[int, Emptied, list[Captured]]:
            return self._journal.position, self._journal.empty(positions), self._cubes.capture()

        position, emptied, captured = self._writer.run_exclusive(empty).result()
        # A cube that is not captured has its tombstones in a snapshot already, and nothing older beside it.
        anew = {captured_id for captured_id, _, _ in captured} & {cube_id}
        replaced = self._snapshotting.store(position, captured, anew)
        return [
            Place("journal events", position, len(positions)),
            Place("journal files", emptied.files, emptied.rewritten),
            Place("stray files", emptied.files + emptied.strays, emptied.strays),
            Place("snapshots", replaced, replaced),
        ]

    def _await_indexes(self, cube_id: str, cube: OpenCube, within_s: float) -> list[Place]:
        with cube.lock:
            version, total = cube.state.version, len(cube.state.rows)
            roots = set(unfinished(cube.state))
            rows = sum(len(erased.rows) for erased in cube.state.erased.values() if erased.root in roots)
        if not self._projector.wait(cube_id, version, within_s):
            behind = self._projector.behind(cube_id, version)
            why = "; ".join(f"{channel}: {reason}" for channel, reason in behind.items())
            raise Unavailable(
                f"the erasure is recorded, and no answer holds the content any more, but an index still has to forget "
                f"it ({why}); repeat the request to get the receipt",
                retry_after_s=5.0,
                indexes=sorted(behind),
            )
        return [Place(f"{channel} index", total, rows, self._projector.erasure_note(channel)) for channel in CHANNELS]

    def _complete(self, cube_id: str, cube: OpenCube, root: str, places: list[Place], origin: Origin) -> Receipt:
        with cube.lock:
            receipt = receipt_of(cube.state, root, places, self._clock.now_us())
        return self._writer.submit(cube_id, lambda draft: complete(draft, origin, root, receipt)).result()

    # without being asked

    def _finish_all(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            with self._guard:
                if not self._waiting or self._closing.is_set():
                    self._thread = None
                    return
                cube_id = self._waiting[0]
            try:
                self._finish(cube_id)
            except Exception as error:  # noqa: BLE001 - the outer loop of a thread: it is tried again
                log.warning("an erasure in cube %s is not finished, next try in %.1f s: %s", cube_id, pause_s, error)
                with self._guard:  # the next one's turn
                    self._waiting.append(self._waiting.pop(0))
                self._closing.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                with self._guard:
                    self._waiting.remove(cube_id)

    def _finish(self, cube_id: str) -> None:
        with self._cubes.pinned(cube_id) as cube:
            with self._snapshotting.lock:
                places = self._purge(cube_id, cube)
            places += self._await_indexes(cube_id, cube, FINISHING_WITHIN_S)
            with cube.lock:
                roots = unfinished(cube.state)
            for root in roots:
                origin = Origin("system", "unfinished erasure", self._clock.now_us())
                self._complete(cube_id, cube, root, places, origin)
                log.info("the erasure of memory %s of cube %s, which was interrupted, is finished", root, cube_id)
