from __future__ import annotations

import pytest

from actors.access import AccessTable
from actors.errors import CubeNotFound, Forbidden, Unauthenticated
from actors.memory.governance import Action, Caller, ClusterAccess, CubeAccess, Role

ALICE = Caller("alice", "key-a", "r")
BOB = Caller("bob", "key-b", "r")
GOV = Caller("gov", "key-g", "r")


class Source:
    def __init__(self) -> None:
        self.cubes = {"c": CubeAccess("c", "alice", {"bob": Role.READER}, revision=1)}
        self.cluster = ClusterAccess(frozenset({"gov"}), revision=1)
        self.asked = 0

    def cube_access(self, cube_id: str) -> CubeAccess | None:
        self.asked += 1
        return self.cubes.get(cube_id)

    def asked_access(self, caller: Caller, action: Action, cube_id: str) -> CubeAccess | None:
        return self.cube_access(cube_id)

    def cluster_access(self) -> ClusterAccess:
        return self.cluster


def test_roles_decide_and_no_role_looks_like_no_cube() -> None:
    table = AccessTable(Source())
    assert table.authorise(ALICE, Action.CONFIGURE, "c") is Role.OWNER
    assert table.authorise(BOB, Action.SEARCH, "c") is Role.READER
    assert table.authorise(GOV, Action.UNFREEZE, "c") is Role.OWNER
    with pytest.raises(Forbidden, match="needs the role writer"):
        table.authorise(BOB, Action.ADD, "c")
    stranger = Caller("eve", "key-e", "r")
    with pytest.raises(CubeNotFound) as hidden:
        table.authorise(stranger, Action.READ, "c")
    with pytest.raises(CubeNotFound) as missing:
        table.authorise(stranger, Action.READ, "d")
    assert str(hidden.value).replace("'c'", "'d'") == str(missing.value)


def test_a_refusal_asks_the_system_shard_whether_the_cube_exists_or_not() -> None:
    source = Source()
    table = AccessTable(source)
    table.authorise(ALICE, Action.READ, "c")
    for cube_id in ("c", "missing"):
        before = source.asked
        with pytest.raises(CubeNotFound):
            table.authorise(Caller("eve", "k", "r"), Action.READ, cube_id)
        assert source.asked == before + 1


def test_a_push_takes_effect_at_once_and_an_older_answer_does_not_undo_it() -> None:
    source = Source()
    table = AccessTable(source)
    table.authorise(BOB, Action.READ, "c")
    table.set_cube(CubeAccess("c", "alice", {}, revision=2))
    table.set_cube(source.cubes["c"])  # an answer that was on its way
    with pytest.raises(CubeNotFound):
        table.authorise(BOB, Action.READ, "c")


def test_a_revoked_key_is_refused_on_every_cube() -> None:
    table = AccessTable(Source())
    table.set_cluster(ClusterAccess(frozenset(), frozenset({"key-a"}), revision=2))
    with pytest.raises(Unauthenticated):
        table.authorise(ALICE, Action.READ, "c")


def test_an_archived_cube_is_hidden() -> None:
    source = Source()
    source.cubes["c"] = CubeAccess("c", "alice", archived=True, revision=3)
    with pytest.raises(CubeNotFound):
        AccessTable(source).authorise(ALICE, Action.READ, "c")


def test_the_table_is_bounded() -> None:
    source = Source()
    source.cubes = {f"c{i}": CubeAccess(f"c{i}", "alice", revision=1) for i in range(20)}
    table = AccessTable(source, limit=5)
    for cube_id in source.cubes:
        table.authorise(ALICE, Action.READ, cube_id)
    assert len(table._cubes) == 5
