"""More hosts than resources: refused with names and numbers, before anything is placed."""

from __future__ import annotations

import pytest

from actors.errors import ConfigError
from cluster.capacity import Wanted, check_room

NODES = {"10.0.0.1": {"CPU": 4.0}, "10.0.0.2": {"CPU": 4.0, "slot": 2.0}, "10.0.0.3": {"CPU": 4.0, "slot": 1.0}}


def hosts(count: int, **resources: float) -> Wanted:
    return Wanted("hosts", count, resources, "cluster.hosts", "cluster.host_resources")


@pytest.mark.parametrize("count", [1, 3])
def test_what_fits_is_fine(count: int) -> None:
    check_room(NODES, [hosts(count, slot=1)])


def test_parts_that_take_nothing_always_fit() -> None:
    check_room({}, [hosts(100)])


def test_what_does_not_fit_is_refused_with_names_and_numbers() -> None:
    with pytest.raises(ConfigError) as raised:
        check_room(NODES, [hosts(4, slot=1)])
    for said in ("4 hosts", "slot 1", "room for 3", "10.0.0.2: 2, 10.0.0.3: 1", "lower cluster.hosts"):
        assert said in raised.value.detail


def test_one_kind_takes_from_the_next() -> None:
    embedder = Wanted("embedder", 1, {"slot": 1.0}, "the embedder", "cluster.embedder_resources")
    check_room(NODES, [embedder, hosts(2, slot=1)])
    with pytest.raises(ConfigError, match="room for 2"):
        check_room(NODES, [embedder, hosts(3, slot=1)])


def test_all_resources_of_a_part_are_on_one_node() -> None:
    with pytest.raises(ConfigError, match="room for 0"):
        check_room({"a": {"CPU": 1.0}, "b": {"slot": 1.0}}, [hosts(1, CPU=1, slot=1)])
