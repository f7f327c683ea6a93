"""Asking an actor how it is, beside its queue."""

from __future__ import annotations

import pytest

from actors.cube_actor import CubeActor
from actors.embedder_actor import EmbedderActor
from actors.remote_actor import HEALTH
from actors.system_actor import SystemActor


@pytest.mark.parametrize("actor", [CubeActor, SystemActor, EmbedderActor])
def test_what_asks_how_an_actor_is_does_not_wait_behind_its_work(actor: type) -> None:
    grouped = {
        name for name, method in vars(actor).items() if getattr(method, "__ray_concurrency_group__", "") == HEALTH
    }
    assert grouped == {"status", "ready"}
