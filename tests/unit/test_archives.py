"""Archives through the gateway, over real hosts: what goes out comes in again, whole or not at all."""

from __future__ import annotations

from tests.unit.archives import exported, imported, storied, without_timestamps
from tests.unit.gateway_rig import GatewayRig, runs


@runs
async def test_what_is_exported_imported_and_exported_again_is_the_same_to_the_byte(rig: GatewayRig) -> None:
    ada = await rig.principal("ada")
    bob = await rig.principal("bob")
    await storied(rig.gateway, ada)
    first = await exported(rig.gateway, ada)
    view = await imported(rig.gateway, bob, first)
    again = await exported(rig.gateway, bob, "copy")
    assert (view.id, view.owner, view.name, view.grants) == ("copy", "bob", "At home again", {"bob": "owner"})
    assert without_timestamps(again) == without_timestamps(first)
    assert len(first) == len(again)
    third = await imported(rig.gateway, ada, again, "third")
    assert without_timestamps(await exported(rig.gateway, ada, "third")) == without_timestamps(first)
    assert third.version == view.version
