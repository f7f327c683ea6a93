"""Calls from one actor to another when the other one goes away."""

from __future__ import annotations

from typing import Any

import pytest

from actors.remote_actor import ActorAddress, RemoteCalls


class Method:
    def remote(self) -> str:
        return "answer"


class Handle:
    ping = Method()


class Forgetful(RemoteCalls):
    """Another thread forgets the handle right after each look at it."""

    @property
    def _handle(self) -> Any:
        held, self.held = self.held, None
        return held

    @_handle.setter
    def _handle(self, handle: Any) -> None:
        self.held = handle


def test_a_handle_that_another_thread_forgets_meanwhile_is_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.get_actor", lambda name, namespace: Handle())
    monkeypatch.setattr("ray.get", lambda answer, timeout: answer)
    calls = Forgetful(ActorAddress("space", "system"), 1.0)
    for known in (None, Handle()):
        calls.held = known
        assert calls.call("ping") == "answer"
