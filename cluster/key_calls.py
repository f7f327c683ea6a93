"""Calls about keys and principals: to the system shard, and to every host, which refuses what was revoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from actors.memory.governance import Caller, ClusterAccess
from actors.memory.ports import Clock
from actors.memory.requests import IssuedKey, KeyView, NewKey, Page, PrincipalView
from actors.memory.system import Identity
from cluster.directory import SYSTEM, Directory
from cluster.identities import Identities


class KeyCalls:
    """A part of the gateway. `system` calls the system shard and `hosts` every host, both again while they restart."""

    def __init__(
        self,
        directory: Directory,
        system: Callable[..., Awaitable[Any]],
        hosts: Callable[..., Awaitable[list[Any]]],
        clock: Clock,
    ) -> None:
        self._directory, self._system, self._hosts = directory, system, hosts
        self._identities = Identities(clock)

    async def authenticate(self, secret: str, request_id: str) -> Identity:
        """Who the key speaks for. Raises Unauthenticated. A revoked key is refused by every host at once."""
        known = self._identities.find(secret, request_id)
        if known is None:
            known = await self._system("authenticate", secret, request_id)
            self._identities.keep(secret, known)
        return known

    async def create_key(self, caller: Caller, new: NewKey) -> IssuedKey:
        """A new key. Not repeated when the answer is lost: a second key might be left over."""
        issued: IssuedKey = await self._directory.call(SYSTEM, "create_key", caller, new)
        if new.governor:
            await self._push_cluster()
        self._identities.forget_principal(new.principal)
        return issued

    async def list_keys(self, caller: Caller, limit: int, cursor: str | None) -> Page[KeyView]:
        page: Page[KeyView] = await self._system("list_keys", caller, limit, cursor)
        return page

    async def revoke_key(self, caller: Caller, key_id: str) -> KeyView:
        """Returns once every host refuses the key."""
        view: KeyView = await self._system("revoke_key", caller, key_id)
        self._identities.forget_key(key_id)
        await self._push_cluster()
        return view

    async def list_principals(self, caller: Caller, limit: int, cursor: str | None) -> Page[PrincipalView]:
        page: Page[PrincipalView] = await self._system("list_principals", caller, limit, cursor)
        return page

    async def _push_cluster(self) -> None:
        access: ClusterAccess = await self._system("cluster_access")
        await self._hosts("set_cluster_access", access)
