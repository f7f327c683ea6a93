"""The projector of a shard: follows committed events and brings the indexes up to them.

Two lanes, each with its thread and its own queue in order of position: one embeds texts and puts vectors, one puts
analysed texts. A lane that fails keeps its place, tries again with growing pauses and tells why, while the
other goes on. Nothing here is the truth: what a killed process had not flushed is replayed from the journal.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence

from actors.index_lanes import DenseLane, Lane, LexicalLane, ProjectorPace
from actors.lane_follower import Follower
from actors.memory.ports import Embedder, LexicalIndex, VectorIndex
from actors.memory.ranking import DENSE, LEXICAL
from actors.row_deltas import RowDelta

__all__ = ["CHANNELS", "Projector", "ProjectorPace", "RowDelta"]

CHANNELS = (DENSE, LEXICAL)


class Projector:
    """Feeds a shard's indexes. `feed` is called by one thread, in order of position; the rest from any."""

    def __init__(
        self,
        vectors: VectorIndex,
        lexical: LexicalIndex,
        embedder: Embedder,
        pace: ProjectorPace | None = None,
    ) -> None:
        pace = pace or ProjectorPace()
        self._changed = threading.Condition()
        lanes: list[Lane] = [DenseLane(vectors, embedder, pace), LexicalLane(lexical, pace)]
        self._followers = [Follower(lane, pace, self._changed) for lane in lanes]
        for follower in self._followers:
            follower.start()

    def begin_replay(self, channels: Container[str]) -> None:
        """Before the first `feed`: these channels have missed events, which `replay` is going to bring."""
        with self._changed:
            for follower in self._of(channels):
                follower.begin_replay()

    def replay(self, deltas: Sequence[RowDelta], channel: str) -> None:
        """A part of what a channel has missed; from a thread of its own, beside `feed`. It moves no position."""
        with self._changed:
            for follower in self._of((channel,)):
                follower.replay(deltas)
            self._changed.notify_all()

    def end_replay(self, position: int, channel: str) -> None:
        """A channel was given all that it has missed, up to a journal position; what was fed meanwhile comes next."""
        with self._changed:
            for follower in self._of((channel,)):
                follower.end_replay(RowDelta.reached(position))
            self._changed.notify_all()

    def fail(self, channel: str, reason: str) -> None:
        """A replay does not get on; the next batch that a channel projects takes it back."""
        with self._changed:
            for follower in self._of((channel,)):
                follower.failure = reason
            self._changed.notify_all()

    def _of(self, channels: Container[str]) -> list[Follower]:
        return [follower for follower in self._followers if follower.lane.name in channels]

    def feed(self, deltas: Sequence[RowDelta], channels: Container[str] = CHANNELS) -> None:
        """Take what committed events did, for some channels or all. Never blocks and never refuses: the
        journal holds the events already. What waits is a reference a row; the texts are the cube's own.
        """
        with self._changed:
            for follower in self._of(channels):
                follower.feed(deltas)
            self._changed.notify_all()

    def wait(self, cube_id: str, version: int, timeout_s: float, channels: Container[str] = CHANNELS) -> bool:
        """Whether these channels can find what was fed of a cube up to `version`, within the time given.

        False at once when the channel that lacks it is failing, or far behind after an opening: waiting would not help.
        """
        followers = [follower for follower in self._followers if follower.lane.name in channels]

        def settled() -> bool:
            return all(f.reached(cube_id, version) or bool(f.failure) or f.far_behind for f in followers)

        with self._changed:
            if not settled():
                for follower in followers:
                    follower.hurry()
                self._changed.wait_for(settled, timeout_s)
            return all(follower.reached(cube_id, version) for follower in followers)

    def version(self, cube_id: str, newest: int, channel: str) -> int:
        """Up to which version of a cube a channel finds everything that was fed; `newest` is the cube's own."""
        with self._changed:
            return min(follower.version(cube_id, newest) for follower in self._of((channel,)))

    def behind(self, cube_id: str, version: int, channels: Container[str] = CHANNELS) -> dict[str, str]:
        """Channel -> why, for those of the channels that have not reached a cube's version."""
        with self._changed:
            return {
                follower.lane.name: follower.failure or f"changes not indexed yet: {follower.waiting()}"
                for follower in self._followers
                if follower.lane.name in channels and not follower.reached(cube_id, version)
            }

    def erasure_note(self, channel: str) -> str:
        """What a channel's index said of the rows that it forgot last: what is not in its hands."""
        return next((follower.lane.note for follower in self._of((channel,))), "")

    def lag(self) -> dict[str, int]:
        """Channel -> number of events that it has not projected yet."""
        with self._changed:
            return {follower.lane.name: follower.waiting() for follower in self._followers}

    def failures(self) -> dict[str, str]:
        """Channel -> why its last try failed; the channels that work are left out."""
        with self._changed:
            return {follower.lane.name: follower.failure for follower in self._followers if follower.failure}

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything fed so far is projected; False when that took too long or a channel fails."""
        with self._changed:
            for follower in self._followers:
                follower.hurry()
            self._changed.wait_for(lambda: all(not f.waiting() or bool(f.failure) for f in self._followers), timeout_s)
            return all(not follower.waiting() for follower in self._followers)

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop both lanes after what they are doing, and store what they have; what waits is replayed later."""
        for follower in self._followers:
            follower.stop(timeout_s)
