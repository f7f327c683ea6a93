"""Keys, the cube catalogue, grants and jobs, as the system host keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from actors.errors import (
    AlreadyExists,
    Conflict,
    CubeNotFound,
    Forbidden,
    InvalidCursor,
    InvalidRequest,
    KeyNotFound,
    PolicyUnavailable,
    PrincipalNotFound,
    Unauthenticated,
)
from actors.memory.governance import Role
from actors.memory.requests import NewCube, NewKey
from actors.stores.journal import PlainJournal
from actors.system import FirstGovernor
from tests.unit.system_hosts import KEY, SystemBench


@pytest.fixture
def bench() -> SystemBench:
    return SystemBench()


def test_the_first_governor_is_made_once(bench: SystemBench) -> None:
    bench.host.bootstrap(FirstGovernor("mallory", "key_0000000000000000", "0" * 64))
    assert [p.id for p in bench.host.list_principals(bench.root, 10, None).items] == ["root"]


def test_a_key_speaks_for_its_principal_until_it_is_revoked(bench: SystemBench) -> None:
    caller, issued = bench.new_principal("ann")
    assert (caller.principal, caller.key_id) == ("ann", issued.view.id)
    assert bench.host.revoke_key(bench.root, issued.view.id).revoked_at_us is not None
    with pytest.raises(Unauthenticated):
        bench.caller(issued.secret)
    assert issued.view.id in bench.host.cluster_access().revoked_keys
    with pytest.raises(Unauthenticated):  # a caller that was checked before
        bench.host.register_cube(caller, NewCube("c"))


def test_a_key_ends_when_it_expires(bench: SystemBench) -> None:
    until = bench.clock.at_us + 10
    issued = bench.host.create_key(bench.root, NewKey("ann", expires_at_us=until))
    assert bench.host.authenticate(issued.secret, "r").expires_at_us == until
    bench.clock.at_us = until
    with pytest.raises(Unauthenticated):
        bench.caller(issued.secret)
    with pytest.raises(InvalidRequest, match="expired already"):
        bench.host.create_key(bench.root, NewKey("ann", expires_at_us=until))


@pytest.mark.parametrize("secret", ["", "memos_", "x" * 5000, "memos_0123456789abcdef_" + "0" * 64, "memos_é_ü"])
def test_unknown_keys_are_refused(bench: SystemBench, secret: str) -> None:
    with pytest.raises(Unauthenticated):
        bench.caller(secret)


def test_a_known_id_with_another_secret_is_refused(bench: SystemBench) -> None:
    good = bench.secret.text
    with pytest.raises(Unauthenticated):
        bench.caller(good[:-1] + ("0" if good[-1] != "0" else "1"))


def test_no_secret_is_ever_stored(bench: SystemBench) -> None:
    _, issued = bench.new_principal("ann")
    bench.host.close()
    stored = b"".join(e.content or b"" for e in PlainJournal(bench.storage, KEY).read())
    stored += b"".join(bench.snapshots.states.values())
    for secret in (issued.secret, bench.secret.text):
        assert secret.rsplit("_", 1)[1].encode() not in stored
        assert secret.split("_")[1].encode() in stored


def test_only_governors_handle_keys(bench: SystemBench) -> None:
    ann, issued = bench.new_principal("ann")
    actions: list[Callable[[], object]] = [
        lambda: bench.host.create_key(ann, NewKey("eve")),
        lambda: bench.host.list_keys(ann, 10, None),
        lambda: bench.host.revoke_key(ann, issued.view.id),
        lambda: bench.host.list_principals(ann, 10, None),
    ]
    for action in actions:
        with pytest.raises(Forbidden):
            action()


def test_a_governors_key_makes_its_principal_a_governor(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    view = bench.host.create_key(bench.root, NewKey("ann", governor=True)).view
    assert view.governor
    assert "ann" in bench.host.cluster_access().governors
    bench.host.create_key(ann, NewKey("bob"))


def test_the_last_way_to_govern_cannot_be_revoked(bench: SystemBench) -> None:
    with pytest.raises(Conflict, match="last key of a governor"):
        bench.host.revoke_key(bench.root, bench.secret.key_id)
    bench.host.create_key(bench.root, NewKey("root2", governor=True))
    bench.host.revoke_key(bench.root, bench.secret.key_id)


def test_revoking_again_changes_nothing_and_an_unknown_key_is_named(bench: SystemBench) -> None:
    _, issued = bench.new_principal("ann")
    first = bench.host.revoke_key(bench.root, issued.view.id)
    bench.clock.at_us += 100
    assert bench.host.revoke_key(bench.root, issued.view.id) == first
    with pytest.raises(KeyNotFound):
        bench.host.revoke_key(bench.root, "key_nope")


def test_cube_ids_are_taken_once(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    access = bench.host.register_cube(ann, NewCube("c", "Name", {"promotion": {"enabled": False}}))
    assert (access.owner, access.name) == ("ann", "Name")
    assert bench.host.register_cube(ann, NewCube("c", "Name")) == access  # a repeat of the same request
    with pytest.raises(AlreadyExists):
        bench.host.register_cube(replace(ann, request_id="another"), NewCube("c"))
    with pytest.raises(AlreadyExists):
        bench.host.register_cube(bench.root, NewCube("c"))


def test_a_cube_that_cannot_be_is_not_registered(bench: SystemBench) -> None:
    with pytest.raises(InvalidRequest):
        bench.host.register_cube(bench.root, NewCube("../etc"))
    with pytest.raises(PolicyUnavailable):
        bench.host.register_cube(bench.root, NewCube("c", policy={"promotion": {"enabled": True}}))
    assert bench.host.cube_access("c") is None


def test_grants_take_effect_and_end(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    bob, _ = bench.new_principal("bob")
    bench.host.register_cube(ann, NewCube("c"))
    with pytest.raises(CubeNotFound):
        bench.host.put_grant(bob, "c", "bob", Role.OWNER)
    granted = bench.host.put_grant(ann, "c", "bob", Role.READER)
    assert granted.role_of("bob") is Role.READER
    assert [(c.id, c.role) for c in bench.host.list_cubes(bob, 10, None).items] == [("c", "reader")]
    with pytest.raises(Forbidden):
        bench.host.put_grant(bob, "c", "bob", Role.OWNER)
    removed = bench.host.remove_grant(ann, "c", "bob")
    assert removed.role_of("bob") is None
    assert removed.revision > granted.revision
    assert bench.host.list_cubes(bob, 10, None).items == ()
    assert bench.host.remove_grant(ann, "c", "bob") == removed


def test_a_grant_to_a_stranger_says_how_to_make_one(bench: SystemBench) -> None:
    bench.host.register_cube(bench.root, NewCube("c"))
    with pytest.raises(PrincipalNotFound, match="memos key create eve"):
        bench.host.put_grant(bench.root, "c", "eve", Role.READER)


def test_an_owner_keeps_the_cube(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    bench.host.register_cube(ann, NewCube("c"))
    with pytest.raises(InvalidRequest):
        bench.host.put_grant(bench.root, "c", "ann", Role.READER)
    with pytest.raises(InvalidRequest):
        bench.host.remove_grant(bench.root, "c", "ann")


def test_an_archived_cube_is_gone_for_everyone_and_its_id_stays_taken(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    bench.host.register_cube(ann, NewCube("c"))
    assert bench.host.archive_cube(ann, "c", "done").archived
    assert bench.host.archive_cube(ann, "c", "done").archived  # a repeat of the same request
    again = replace(ann, request_id="later")
    with pytest.raises(CubeNotFound):
        bench.host.archive_cube(again, "c", "")
    with pytest.raises(CubeNotFound):
        bench.host.put_grant(bench.root, "c", "root", Role.READER)
    with pytest.raises(AlreadyExists):
        bench.host.register_cube(again, NewCube("c"))
    assert bench.host.list_cubes(ann, 10, None).items == ()
    assert bench.host.list_cubes(bench.root, 10, None).items == ()


def test_lists_come_in_pages_without_gaps_and_cursors_cannot_be_made_up(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    for n in range(7):
        bench.host.register_cube(ann, NewCube(f"c{n}"))
    seen, cursor = [], None
    while True:
        page = bench.host.list_cubes(ann, 3, cursor)
        seen += [c.id for c in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"c{n}" for n in range(7)]
    good = bench.host.list_cubes(ann, 3, None).next
    assert good is not None
    for bad in ("", "x", "%%%", good[:-2], good + "A", "W10"):
        with pytest.raises(InvalidCursor):
            bench.host.list_cubes(ann, 3, bad)
    with pytest.raises(InvalidCursor):  # another list's, and another principal's
        bench.host.list_jobs(ann, 3, good)
    with pytest.raises(InvalidCursor):
        bench.host.list_cubes(bench.root, 3, good)


def test_everything_survives_a_restart(bench: SystemBench) -> None:
    ann, issued = bench.new_principal("ann")
    bench.host.register_cube(ann, NewCube("c", "Name"))
    bench.host.put_grant(ann, "c", "root", Role.WRITER)
    job, _ = bench.host.create_job(ann, "promote_kv", "c", {"n": 1})
    before = bench.host._state.to_snapshot()
    for restart in (bench.crash, bench.reopen, bench.reopen):
        restart()
        assert bench.host._state.to_snapshot() == before
        assert bench.caller(issued.secret) == ann
        assert bench.host.read_job(ann, job.id) == job
        assert [c.id for c in bench.host.list_cubes(ann, 5, None).items] == ["c"]


@pytest.mark.parametrize("damage", ["broken", "garbage", "ahead"])
def test_a_snapshot_that_cannot_be_trusted_is_passed_over(bench: SystemBench, damage: str) -> None:
    ann, issued = bench.new_principal("ann")
    bench.reopen()
    assert bench.snapshots.position == bench.host._parts.journal.position
    if damage == "broken":
        bench.snapshots.broken = True
    elif damage == "garbage":
        bench.snapshots.states = dict.fromkeys(bench.snapshots.states, b"{]")
    else:
        bench.snapshots.position += 5
    bench.crash()
    assert bench.caller(issued.secret) == ann


def test_a_snapshot_is_taken_now_and_then_and_a_failing_one_stops_nothing() -> None:
    bench = SystemBench(snapshot_events=4)
    for n in range(4):
        bench.new_principal(f"p{n}")
    taken = bench.snapshots.position
    assert taken >= 4
    bench.snapshots.failing = True
    for n in range(4, 9):
        bench.new_principal(f"p{n}")
    assert bench.snapshots.position == taken
    bench.crash()
    assert len(bench.host.list_principals(bench.root, 20, None).items) == 10


def test_the_chain_of_the_system_shard_holds(bench: SystemBench) -> None:
    bench.new_principal("ann")
    assert bench.host.verify() == []
