"""What the system host records: decisions about keys, cubes, grants and jobs, and who was refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.errors import CubeNotFound, Forbidden, PrincipalNotFound, Unauthenticated
from actors.memory.auditing import AuditQuery
from actors.memory.governance import Action, Role
from actors.memory.requests import NewCube
from actors.system_parts import STRANGERS_PER_S
from tests.unit.system_hosts import SystemBench


@pytest.fixture
def bench() -> SystemBench:
    return SystemBench()


def _audited(bench: SystemBench, cube: str = "") -> list[tuple[str, str, str, dict[str, Any]]]:
    rows = bench.host.audit(bench.root, cube, AuditQuery(limit=500))
    return [(row.principal, row.action.value, row.cube_id, json.loads(row.detail)) for row in reversed(rows)]


def test_what_is_decided_here_is_in_this_shards_audit(bench: SystemBench) -> None:
    ann, issued = bench.new_principal("ann")
    bench.host.register_cube(ann, NewCube("c"))
    bench.host.put_grant(ann, "c", "root", Role.READER)
    with pytest.raises(PrincipalNotFound):
        bench.host.put_grant(ann, "c", "nobody", Role.READER)
    with pytest.raises(CubeNotFound):
        bench.host.archive_cube(ann, "d", "")
    with pytest.raises(Forbidden):
        bench.host.list_keys(ann, 10, None)
    bench.host.archive_cube(ann, "c", "")
    bench.host.revoke_key(bench.root, issued.view.id)
    assert _audited(bench)[2:] == [
        ("ann", "create", "c", {"what": "cube"}),
        ("ann", "grant", "c", {"to": "root", "role": "reader"}),
        ("ann", "grant", "c", {"to": "nobody", "role": "reader", "failed": "principal-not-found"}),
        ("ann", "denied", "d", {"action": "transition", "why": "cube-not-found"}),
        ("ann", "denied", "", {"action": "read", "why": "forbidden"}),
        ("ann", "transition", "c", {"what": "cube", "to": "archived"}),
        ("root", "change", "", {"what": "key", "revoked": issued.view.id}),
    ]
    assert [what for _, what, _, _ in _audited(bench, "c")] == ["create", "grant", "grant", "transition"]
    assert bench.host.verify() == []


def test_only_owners_and_governors_read_what_was_decided_about_a_cube(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    bob, _ = bench.new_principal("bob")
    bench.host.register_cube(ann, NewCube("c"))
    assert len(bench.host.audit(ann, "c", AuditQuery())) == 1
    with pytest.raises(CubeNotFound):
        bench.host.audit(bob, "c", AuditQuery())
    with pytest.raises(Forbidden):
        bench.host.audit(ann, "", AuditQuery())
    bench.host.archive_cube(ann, "c", "")
    with pytest.raises(CubeNotFound):
        bench.host.audit(ann, "c", AuditQuery())
    assert len(bench.host.audit(bench.root, "c", AuditQuery())) == 2


def test_refused_keys_are_recorded_and_a_flood_of_them_is_counted(bench: SystemBench) -> None:
    _, issued = bench.new_principal("ann")
    bench.host.revoke_key(bench.root, issued.view.id)
    for secret in (issued.secret, "", "memos_x", *["flood"] * 200):
        with pytest.raises(Unauthenticated):
            bench.host.authenticate(secret, "r")
    refused = [(who, detail["why"]) for who, what, _, detail in _audited(bench) if what == "denied"]
    assert refused[:3] == [("ann", "the key was revoked"), ("", "no key"), ("", "the key is unknown")]
    assert len(refused) <= 2 * STRANGERS_PER_S


def test_an_attempt_on_a_cube_that_does_not_exist_is_recorded_and_one_on_a_cube_is_not(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    bench.host.register_cube(bench.root, NewCube("c"))
    assert bench.host.asked_access(ann, Action.SEARCH, "c") is not None
    assert bench.host.asked_access(ann, Action.SEARCH, "d") is None
    assert _audited(bench)[-1] == ("ann", "denied", "d", {"action": "search", "why": "cube-not-found"})
