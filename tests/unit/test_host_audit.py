"""What a host records: one row a request and cube, of what was done, answered, refused or failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from actors.errors import CubeNotFound, Forbidden, MemosError, Unauthenticated, Unavailable
from actors.memory.auditing import AuditAction, AuditQuery, AuditRow
from actors.memory.governance import Caller, Role
from actors.memory.lifecycle import State
from actors.memory.requests import ChangeMemory, ListMemories, MoveMemory
from tests.unit.hosts import OWNER, PlainRig, query, texts

RITA, EVE, GOV = Caller("rita", "key-r", "req-r"), Caller("eve", "key-e", "req-e"), Caller("gov", "key-g", "req-g")


@pytest.fixture
def rig() -> PlainRig:
    rig = PlainRig()
    rig.catalogue.register("c", rita=Role.READER)
    return rig


def told(rig: PlainRig, cube: str = "c", **narrowed: Any) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(principal, action, memory, detail) of the cube's rows, oldest first; reading them leaves a row, left out."""
    rows = rig.host.audit(OWNER if cube == "c" else GOV, cube, AuditQuery(limit=500, **narrowed))
    return [(r.principal, r.action.value, r.memory_id, json.loads(r.detail)) for r in reversed(rows)]


def last(rig: PlainRig) -> AuditRow:
    return rig.host.audit(OWNER, "c", AuditQuery(limit=1))[0]


def test_each_request_leaves_one_row_that_says_what_it_did(rig: PlainRig) -> None:
    host = rig.host
    [made] = host.add(OWNER, "c", texts("my dog is called Biscuit")).memories
    done: list[tuple[Callable[[], Any], AuditAction, str]] = [
        (lambda: host.read_cube(OWNER, "c"), AuditAction.READ, ""),
        (lambda: host.change_cube(OWNER, "c", "Cats", None), AuditAction.CHANGE, ""),
        (lambda: host.read_memory(OWNER, "c", made.id, None), AuditAction.READ, made.id),
        (lambda: host.history(OWNER, "c", made.id), AuditAction.READ, made.id),
        (lambda: host.list_memories(OWNER, "c", ListMemories()), AuditAction.READ, ""),
        (lambda: host.change_memory(OWNER, "c", ChangeMemory(made.id, {"text": "x"})), AuditAction.CHANGE, made.id),
        (lambda: host.move_memory(OWNER, "c", MoveMemory(made.id, State.ARCHIVED)), AuditAction.TRANSITION, made.id),
        (lambda: host.verify(OWNER, "c"), AuditAction.READ, ""),
        (lambda: host.search(OWNER, "c", query("dog", rig.embedder)), AuditAction.SEARCH, ""),
    ]
    for number, (call, action, memory_id) in enumerate(done, start=1):
        call()
        row = last(rig)
        assert (row.action, row.memory_id, row.principal, row.request_id) == (action, memory_id, "olga", "req")
        assert len(rig.audited.rows) == 2 * number  # with the row of each look at the audit but the last
    first = rig.audited.rows[0].row
    assert (first.action, first.memory_id, first.ids) == (AuditAction.CREATE, made.id, (made.id,))


def test_a_search_leaves_a_digest_of_its_query_and_what_it_answered(rig: PlainRig) -> None:
    [made] = rig.host.add(OWNER, "c", texts("my dog is called Biscuit")).memories
    rig.catalogue.register("d")
    for cube, text in (("c", "the dog"), ("c", "the dog"), ("c", "the cat"), ("d", "the dog")):
        rig.host.search(OWNER, cube, query(text, rig.embedder))
    rows = [sealed.row for sealed in rig.audited.rows]
    rig.host.audit(OWNER, "c", AuditQuery())
    rows = [sealed.row for sealed in rig.audited.rows if sealed.row.action is AuditAction.SEARCH]
    digests = [json.loads(row.detail)["query"] for row in rows]
    assert digests[0] == digests[1] and len(set(digests)) == 3
    assert rows[0].ids == (made.id,)
    assert not any("dog" in row.detail or "Biscuit" in row.detail for row in rows)


def test_a_cube_may_ask_that_the_texts_of_its_queries_are_kept(rig: PlainRig) -> None:
    rig.host.change_cube(OWNER, "c", None, {"audit": {"queries": "text"}})
    rig.host.search(OWNER, "c", query("the dog", rig.embedder))
    assert json.loads(last(rig).detail)["text"] == "the dog"
    with pytest.raises(MemosError, match="one of: digest, text"):
        rig.host.change_cube(OWNER, "c", None, {"audit": {"queries": "all"}})


def test_a_chat_is_told_from_a_search(rig: PlainRig) -> None:
    rig.host.search(OWNER, "c", replace(query("dog", rig.embedder), purpose=AuditAction.CHAT))
    assert last(rig).action is AuditAction.CHAT


def test_what_is_refused_is_there_as_denied_and_what_fails_as_failed(rig: PlainRig) -> None:
    for call in (
        lambda: rig.host.add(RITA, "c", texts("x")),
        lambda: rig.host.read_cube(EVE, "c"),
        lambda: rig.host.audit(RITA, "c", AuditQuery()),
        lambda: rig.host.shown_cube(EVE, "c"),
        lambda: rig.host.read_memory(RITA, "c", "mem_0", None),
    ):
        with suppress(MemosError):
            call()
    assert told(rig) == [
        ("rita", "denied", "", {"action": "create", "why": "forbidden"}),
        ("eve", "denied", "", {"action": "read", "why": "cube-not-found"}),
        ("rita", "denied", "", {"action": "read", "why": "forbidden"}),
        ("eve", "denied", "", {"action": "read", "why": "cube-not-found"}),
        ("rita", "read", "mem_0", {"failed": "memory-not-found"}),
    ]


def test_a_transition_that_takes_a_larger_role_is_denied(rig: PlainRig) -> None:
    [made] = rig.host.add(OWNER, "c", texts("x")).memories
    with pytest.raises(Forbidden):
        rig.host.move_memory(RITA, "c", MoveMemory(made.id, State.FROZEN))
    assert told(rig, action=AuditAction.DENIED)[-1][2:] == (made.id, {"action": "transition", "why": "forbidden"})


def test_an_attempt_on_a_cube_that_does_not_exist_is_told_to_the_system_shard_alone(rig: PlainRig) -> None:
    with pytest.raises(CubeNotFound):
        rig.host.search(EVE, "nowhere", query("dog", rig.embedder))
    assert [(who, cube) for who, _, cube in rig.catalogue.strangers] == [("eve", "nowhere")]
    rig.host.audit(OWNER, "c", AuditQuery())
    assert all(sealed.row.cube_id == "c" for sealed in rig.audited.rows)


def test_who_may_read_an_audit(rig: PlainRig) -> None:
    rig.catalogue.register("c", rita=Role.CURATOR)
    rig.host.set_access(rig.catalogue.cubes["c"])
    with pytest.raises(Forbidden):
        rig.host.audit(RITA, "c", AuditQuery())
    with pytest.raises(CubeNotFound):
        rig.host.audit(EVE, "c", AuditQuery())
    with pytest.raises(CubeNotFound):
        rig.host.audit(GOV, "nowhere", AuditQuery())
    rig.host.set_access(replace(rig.catalogue.cubes["c"], archived=True, revision=2))
    rig.catalogue.cubes["c"] = replace(rig.catalogue.cubes["c"], archived=True, revision=2)
    with pytest.raises(CubeNotFound):
        rig.host.audit(OWNER, "c", AuditQuery())
    assert [row.principal for row in rig.host.audit(GOV, "c", AuditQuery())][-1] == "rita"
    with pytest.raises(CubeNotFound):
        rig.host.read_cube(GOV, "c")


def test_an_expired_key_is_refused_by_the_host_too(rig: PlainRig) -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        rig.host.read_cube(replace(OWNER, expires_at_us=1), "c")
    rig.host.read_cube(replace(OWNER, expires_at_us=1 << 60), "c")
    assert told(rig)[0][3] == {"action": "read", "why": "unauthenticated"}


def test_what_cannot_be_recorded_is_not_answered(rig: PlainRig) -> None:
    rig.host.add(OWNER, "c", texts("my dog is called Biscuit"))
    audit = rig.host._audits[0]
    rig.audited.broken = True
    audit._waiting_bytes += 1 << 30
    for call in (
        lambda: rig.host.search(OWNER, "c", query("dog", rig.embedder)),
        lambda: rig.host.add(OWNER, "c", texts("not kept")),
        lambda: rig.host.read_cube(EVE, "nowhere"),
    ):
        with pytest.raises(Unavailable, match="unrecorded"):
            call()
    audit._waiting_bytes -= 1 << 30
    rig.audited.broken = False
    assert rig.host.read_cube(OWNER, "c").version == 2


def test_verify_names_a_changed_row(rig: PlainRig) -> None:
    rig.host.read_cube(RITA, "c")
    assert rig.host.verify(OWNER, "c").audit_rows == 1
    sealed = rig.audited.rows[0]
    rig.audited.rows[0] = replace(sealed, row=replace(sealed.row, principal="eve"))
    report = rig.host.verify(OWNER, "c")
    assert "'req-r' on 'c'" in report.problems[0]
