"""A state that the first version wrote (commit f712fdf, two shards, closed in order) opens in this one."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import NewerFormat
from actors.host import CubeHost, HostSpec
from actors.memory.events import EventType, encode_content
from actors.memory.governance import Caller, Role
from actors.memory.lifecycle import State
from actors.memory.policy import DEFAULTS
from actors.memory.requests import ChangeMemory, ListMemories, Moment
from actors.memory.upcasting import OLDEST, SCHEMA, upcast
from actors.stores.journal.schema import to_events, to_table
from actors.system import SystemHost
from actors.system_opening import SystemSpec, open_system
from cluster.state_folder import StateFolder
from tests.contracts.journal_contract import Chains
from tests.unit.hosts import HashEmbedder, query, texts

FIXTURE = Path(__file__).parent.parent / "fixtures" / "state-of-the-first-version.tar.xz"


class Opened:
    """The state, unpacked and opened as production opens it."""

    def __init__(self, folder: Path) -> None:
        with tarfile.open(FIXTURE) as tar:
            tar.extractall(folder, filter="data")
        state = StateFolder(folder)
        state.settle_format(2)
        chain_key, uri = bytes.fromhex(state.secret(state.chain_key_file)), str(folder / "shards")
        self.system: SystemHost = open_system(SystemSpec(uri, chain_key, None))
        self.embedder = HashEmbedder()
        spec = HostSpec("host-0", uri, uri, (0, 1), 2, chain_key)
        self.host = CubeHost.open(spec, self.embedder, self.system)
        self.key = state.key_file.read_text().strip()
        self.governor: Caller = self.system.authenticate(self.key, "req").caller

    def close(self) -> None:
        self.host.close()
        self.system.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path)
    yield found
    found.close()


def test_what_it_remembered_is_there_with_its_history(opened: Opened) -> None:
    host, who = opened.host, opened.governor
    view = host.read_cube(who, "home")
    assert (view.name, view.version, dict(view.grants)) == ("Cube home", 7, {"governor": "owner", "ada": "writer"})
    assert view.policy == DEFAULTS
    page = host.list_memories(who, "home", ListMemories())
    assert {memory.text: memory.state for memory in page.items} == {
        "the cat sleeps on the bed": State.ACTIVATED,
        "the dog barks at night": State.ARCHIVED,
        "rain fell in May": State.FROZEN,
    }
    cat = page.items[0].id
    assert [m.text for m in host.history(who, "home", cat)] == [
        "the cat sleeps on the sofa",
        "the cat sleeps on the bed",
    ]
    assert host.read_memory(who, "home", cat, Moment(version=4)).text == "the cat sleeps on the sofa"


def test_it_is_searched_and_embeds_nothing_again(opened: Opened) -> None:
    found = opened.host.search(opened.governor, "home", query("cat on the bed", opened.embedder))
    assert found.hits[0].memory.text == "the cat sleeps on the bed"
    assert found.degraded == ()
    assert opened.embedder.embedded == 1  # the query


def test_its_chains_hold_and_go_on(opened: Opened) -> None:
    host, who = opened.host, opened.governor
    assert host.verify(who, "home").problems == () == host.verify(who, "work").problems
    assert opened.system.verify() == []
    added = host.add(who, "home", texts("snow fell in January"))
    host.change_memory(who, "home", ChangeMemory(added.memories[0].id, {"text": "snow fell in February"}))
    assert host.verify(who, "home").problems == ()
    found = host.search(who, "home", query("snow in February", opened.embedder))
    assert found.hits[0].memory.text == "snow fell in February"


def test_a_repeat_of_a_write_that_the_first_version_answered_adds_nothing(opened: Opened) -> None:
    before = opened.host.read_cube(opened.governor, "home").version
    again = texts("the cat sleeps on the sofa", "the dog barks at night", "rain fell in May", key="k1")
    assert opened.host.add(opened.governor, "home", again).version == 4
    assert opened.host.read_cube(opened.governor, "home").version == before


def test_its_keys_and_grants_count(opened: Opened) -> None:
    access = opened.system.cube_access("home")
    assert access is not None and access.role_of("ada") is Role.WRITER and not access.importing


def test_a_policy_that_was_recorded_with_fewer_settings_has_the_defaults_of_the_others() -> None:
    recorded = {"owner": "olga", "policy": {"retention": {"archive_after_days": None}}}
    assert upcast(OLDEST, EventType.CUBE_CREATED, recorded)["policy"] == DEFAULTS
    assert upcast(SCHEMA, EventType.CUBE_CREATED, recorded) == recorded
    assert upcast(OLDEST, EventType.MEMORY_ADDED, {"text": "x"}) == {"text": "x"}


def test_an_older_event_stays_as_it_was_sealed() -> None:
    event = replace(Chains().seal("a"), schema=1, position=1)
    [read] = to_events(to_table([event]), "t")
    assert read == event and read.content == encode_content(read.payload())


def test_an_event_of_a_newer_version_is_refused_naming_what_is_read() -> None:
    newer = replace(Chains().seal("a"), schema=SCHEMA + 1, position=1)
    with pytest.raises(NewerFormat, match=f"format {SCHEMA + 1}; this version reads up to {SCHEMA}"):
        list(to_events(to_table([newer]), "t"))
