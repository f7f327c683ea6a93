"""What every journal must do, whatever it stands on. Inherit JournalContract and give `open_journal`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from actors.errors import Fenced, StorageUnavailable
from actors.memory.cube import CubeState
from actors.memory.draft import Draft, Origin, Sealer
from actors.memory.events import Event, EventType
from actors.memory.ports import Journal

KEY = b"key of the contract's chains...."
ORIGIN = Origin("alice", "req-1", 1_700_000_000_000_000)


class Chains:
    """Seals events of several cubes, each chain going on where it stood."""

    def __init__(self, key: bytes = KEY) -> None:
        self._sealer = Sealer(key, lambda n: bytes(n))
        self._drafts: dict[str, Draft] = {}

    def seal(self, cube_id: str, text: str = "hello") -> Event:
        draft = self._drafts.setdefault(cube_id, Draft(CubeState(cube_id), self._sealer))
        return draft.emit(ORIGIN, EventType.MEMORY_ADDED, {"text": text}, "mem_" + "0" * 32, 1)

    def tombstone(self, cube_id: str) -> Event:
        """Of the memory that every event of the cube is about."""
        draft = self._drafts[cube_id]
        return draft.emit(ORIGIN, EventType.MEMORY_ERASED, {"root": "mem_"}, "mem_" + "0" * 32, 1)

    def batch(self, *cube_ids: str) -> list[Event]:
        return [self.seal(cube_id, f"text of {cube_id}") for cube_id in cube_ids]


class JournalContract:
    """Subclasses answer `open_journal`: each call opens the same shard anew, as another owner would."""

    def open_journal(self) -> Journal:
        raise NotImplementedError

    @pytest.fixture
    def chains(self) -> Chains:
        return Chains()

    def test_an_empty_journal_has_nothing(self) -> None:
        journal = self.open_journal()
        assert journal.position == 0
        assert list(journal.read()) == []
        assert list(journal.read_cube("a")) == []
        assert journal.verify() == []
        assert journal.append([]) == []

    def test_what_is_appended_is_read_back_whole_and_in_order(self, chains: Chains) -> None:
        journal = self.open_journal()
        batches = [chains.batch("a", "b", "a"), chains.batch("c"), chains.batch("b", "a")]
        placed = [event for batch in batches for event in journal.append(batch)]
        assert [event.position for event in placed] == [1, 2, 3, 4, 5, 6]
        assert [event.at_position(0) for event in placed] == [event for batch in batches for event in batch]
        assert list(journal.read()) == placed
        assert journal.position == 6

    @pytest.mark.parametrize("after", [0, 1, 3, 5, 6, 7])
    def test_reading_goes_on_behind_a_position(self, chains: Chains, after: int) -> None:
        journal = self.open_journal()
        placed = journal.append(chains.batch("a", "b", "a")) + journal.append(chains.batch("b", "c", "a"))
        assert list(journal.read(after)) == placed[after:]

    def test_one_cube_is_read_alone_and_behind_a_version(self, chains: Chains) -> None:
        journal = self.open_journal()
        placed = journal.append(chains.batch("a", "b", "a")) + journal.append(chains.batch("b", "c", "a"))
        assert list(journal.read_cube("a")) == [event for event in placed if event.cube_id == "a"]
        assert [event.version for event in journal.read_cube("a", after_version=2)] == [3]
        assert list(journal.read_cube("nobody")) == []

    def test_erased_content_and_odd_text_survive_the_trip(self, chains: Chains) -> None:
        journal = self.open_journal()
        event = chains.seal("a", "ﷺ\x00 \u2028 😀")
        erased = Event(**{name: getattr(event, name) for name in event.__slots__} | {"content": None, "salt": None})
        journal.append([erased])
        assert next(iter(journal.read())).at_position(0) == erased
        assert "no erasure explains it" in journal.verify()[0]
        journal.append([chains.tombstone("a")])
        assert journal.verify() == []

    def test_parts_are_committed_together_each_read_once(self, chains: Chains) -> None:
        journal = self.open_journal()
        first = journal.append(chains.batch("a"))
        parts = [chains.batch("b", "b"), chains.batch("b"), chains.batch("b", "b", "b")]
        last = journal.append_parts(iter(parts))
        behind = journal.append(chains.batch("a"))
        assert (last.position, journal.position) == (7, 8)
        assert [event.at_position(0) for event in list(journal.read())[1:-1]] == [
            event for part in parts for event in part
        ]
        assert list(journal.read_cube("b"))[-1] == last
        assert [*first, *behind] == list(journal.read_cube("a"))
        assert journal.verify() == []

    def test_parts_that_cannot_be_made_leave_nothing(self, chains: Chains) -> None:
        journal = self.open_journal()
        placed = journal.append(chains.batch("a"))

        def failing() -> Iterator[list[Event]]:
            yield chains.batch("b")
            yield chains.batch("b")
            raise LookupError

        with pytest.raises(LookupError):
            journal.append_parts(failing())
        assert list(journal.read()) == placed
        placed += journal.append(chains.batch("a"))
        assert list(self.open_journal().read()) == placed

    def test_reading_answers_what_was_there_when_it_was_asked(self, chains: Chains) -> None:
        journal = self.open_journal()
        first = journal.append(chains.batch("a", "b"))
        reading = journal.read()
        journal.append(chains.batch("a"))
        assert list(reading) == first

    def test_an_owner_that_comes_later_has_a_higher_epoch_and_everything(self, chains: Chains) -> None:
        first = self.open_journal()
        placed = first.append(chains.batch("a", "b"))
        second = self.open_journal()
        assert second.epoch > first.epoch
        assert second.position == 2
        assert list(second.read()) == placed
        placed += second.append(chains.batch("a"))
        assert list(second.read()) == placed
        assert second.verify() == []

    def test_an_owner_that_was_succeeded_can_never_commit_again(self, chains: Chains) -> None:
        first = self.open_journal()
        first.append(chains.batch("a"))
        second = self.open_journal()
        late = chains.batch("a")
        for _ in range(2):
            with pytest.raises(Fenced):
                first.append(late)
        assert second.append(late)[0].position == 2
        with pytest.raises(Fenced):
            first.append(chains.batch("a"))
        assert [event.position for event in second.read()] == [1, 2]

    def test_two_owners_that_append_at_once_never_share_a_position(self) -> None:
        first = self.open_journal()
        acknowledged: list[Event] = []
        started = threading.Event()

        def write() -> None:
            chains = Chains()
            try:
                for _ in range(200):
                    acknowledged.extend(first.append(chains.batch("a")))
                    started.set()
            except Fenced:
                return

        writer = threading.Thread(target=write)
        writer.start()
        started.wait(30)
        second = self.open_journal()
        theirs = second.append(Chains().batch("b"))
        writer.join()
        stored = list(second.read())
        assert Counter(event.position for event in stored) == Counter(range(1, len(stored) + 1))
        assert stored[: len(acknowledged)] == acknowledged
        assert theirs[0] in stored

    def test_a_closed_journal_takes_nothing(self, chains: Chains) -> None:
        journal = self.open_journal()
        journal.close()
        with pytest.raises(StorageUnavailable):
            journal.append(chains.batch("a"))

    def test_maintenance_changes_nothing_that_is_read(self, chains: Chains) -> None:
        journal = self.open_journal()
        placed: list[Event] = []
        for number in range(12):
            placed += journal.append(chains.batch("a", f"cube-{number}"))
            journal.maintain()
        for _ in range(2):
            placed += journal.append(chains.batch("a"))
        reading, of_a_cube = journal.read(3), journal.read_cube("a")
        first, first_of_a = next(reading), next(of_a_cube)
        later = journal.append(chains.batch("a"))
        journal.maintain()
        assert [first, *reading] == placed[3:]
        assert [first_of_a, *of_a_cube] == [event for event in placed if event.cube_id == "a"]
        assert list(journal.read()) == placed + later
        assert journal.verify() == []
        assert list(self.open_journal().read()) == placed + later

    def test_emptied_events_lose_content_and_salt_and_nothing_else(self, chains: Chains) -> None:
        journal = self.open_journal()
        placed = journal.append(chains.batch("a", "b")) + journal.append(chains.batch("a", "a", "b"))
        placed += journal.append([chains.tombstone("a")])
        chosen = [event.position for event in placed[:-1] if event.cube_id == "a"]
        for _ in range(2):  # a repeat changes nothing
            assert journal.empty(chosen).files >= 1
            stored = list(journal.read())
            assert [event.content is None and event.salt is None for event in stored] == [
                event.position in chosen for event in placed
            ]
            assert [_header(event) for event in stored] == [_header(event) for event in placed]
            assert list(journal.read_cube("b")) == [event for event in placed if event.cube_id == "b"]
            assert journal.verify() == []
        journal.append(chains.batch("a"))
        journal.maintain()
        again = self.open_journal()
        assert [event.content is None for event in again.read()][:3] == [True, False, True]
        assert again.verify() == []
        with pytest.raises(Fenced):
            journal.empty([2])

    def test_events_are_found_by_what_their_content_mentions(self, chains: Chains) -> None:
        journal = self.open_journal()
        journal.append([chains.seal("a", "one"), chains.seal("b", "two")])
        journal.append([chains.seal("a", "two and two")])
        assert [(event.cube_id, event.version) for event in journal.mentioning(b"two")] == [("b", 1), ("a", 2)]
        journal.empty([2])
        assert [event.position for event in journal.mentioning(b"two")] == [3]
        assert list(journal.mentioning(b"three")) == []

    def test_a_chain_that_does_not_hold_is_told_by_cube(self, chains: Chains) -> None:
        journal = self.open_journal()
        honest, foreign = chains.batch("a", "a"), Chains(b"another key").batch("b")
        journal.append([*honest, *foreign])
        assert _mentions(journal.verify(), "b")
        assert journal.verify("a") == []
        assert _mentions(journal.verify("b"), "b")


def _header(event: Event) -> Event:
    return replace(event, content=None, salt=None)


def _mentions(problems: Sequence[str], cube_id: str) -> bool:
    return len(problems) == 1 and f"cube {cube_id}," in problems[0]
