"""An archive passes the redaction of the cube that it becomes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from actors.errors import RedactionBlocked, Unavailable, UnknownEntityKind
from actors.memory.archive_events import ArchivedEvent
from actors.memory.disclosure import WITHHELD
from actors.memory.governance import Role
from actors.memory.lifecycle import State
from actors.memory.requests import AddMemories, ChangeMemory, ExportCube, ListMemories, MoveMemory, NewCube, NewMemory
from actors.stores.archive.parts import decode_events, encode_events
from tests.unit.archives import changed, exported, imported, without_timestamps
from tests.unit.gateway_rig import GatewayRig, runs
from tests.unit.hosts import query, texts

MAIL = "ann@x.org"
EVENTS = "events/000000.parquet"


async def _cube(
    rig: GatewayRig, mode: str, *contents: str, then: str | None = None, entities: tuple[str, ...] = ()
) -> str:
    """A cube under one mode, to which contents were said; under another one since."""
    policy = {"redaction": {"mode": mode, "entities": list(entities)}}
    await rig.gateway.create_cube(rig.root, NewCube("home"))
    await rig.gateway.change_cube(rig.root, "home", None, policy)
    if contents:
        await rig.gateway.add(rig.root, "home", AddMemories(tuple(NewMemory(text) for text in contents)))
    if then is not None:
        await rig.gateway.change_cube(rig.root, "home", None, {"redaction": {"mode": then, "entities": list(entities)}})
    return "home"


def _rewritten(archive: bytes, raw: str, **fields: Any) -> bytes:
    """The archive, its first memory saying `raw`."""

    def rewrite(data: bytes) -> bytes:
        rows = list(decode_events(EVENTS, data))
        first = next(n for n, row in enumerate(rows) if row.memory_id)
        return encode_events([_said(row, raw, fields) if n == first else row for n, row in enumerate(rows)])

    return changed(archive, EVENTS, rewrite)


def _said(row: ArchivedEvent, raw: str, fields: dict[str, Any]) -> ArchivedEvent:
    told = {**json.loads(row.content or b""), "text": raw, **fields}
    content = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return replace(row, content=content)


def _recorded(rig: GatewayRig) -> bytes:
    events = [event for storage in rig.storage.values() for event in storage.events if event.cube_id == "copy"]
    return b"".join(event.content or b"" for event in events)


async def _texts(rig: GatewayRig, cube: str = "copy") -> list[str]:
    return [m.text for m in (await rig.gateway.list_memories(rig.root, cube, ListMemories(200))).items]


@runs
async def test_what_was_redacted_comes_back_to_the_byte(rig: GatewayRig) -> None:
    for mode in ("redact", "mask"):
        cube = f"from-{mode}"
        await rig.gateway.create_cube(rig.root, NewCube(cube, policy={"redaction": {"mode": mode}}))
        await rig.gateway.add(rig.root, cube, texts(f"Melanie writes from {MAIL}", "the cat sleeps"))
        for history in (True, False):
            first = await exported(rig.gateway, rig.root, cube, ExportCube(history=history))
            copy = f"copy-{mode}-{history}"
            await imported(rig.gateway, rig.root, first, copy)
            again = await exported(rig.gateway, rig.root, copy, ExportCube(history=history))
            assert without_timestamps(again) == without_timestamps(first)


@runs
async def test_a_history_with_raw_texts_under_a_policy_that_redacts_is_refused(rig: GatewayRig) -> None:
    """They were there before the policy; nothing of them reaches the journal of the import."""
    await _cube(rig, "off", f"reach me at {MAIL}", f"or at {MAIL}", then="redact")
    archive = await exported(rig.gateway, rig.root)
    with pytest.raises(RedactionBlocked, match="without history") as refused:
        await imported(rig.gateway, rig.root, archive)
    assert refused.value.facts["found"] == {"EMAIL_ADDRESS": 2}
    assert [place["found"] for place in refused.value.facts["places"]] == [{"EMAIL_ADDRESS": 1}] * 2
    assert MAIL not in refused.value.detail + str(refused.value.facts)
    assert _recorded(rig) == b""


@runs
async def test_an_earlier_version_and_a_reason_count_too(rig: GatewayRig) -> None:
    await _cube(rig, "off", MAIL)
    [memory] = (await rig.gateway.list_memories(rig.root, "home", ListMemories())).items
    await rig.gateway.change_memory(rig.root, "home", ChangeMemory(memory.id, {"text": "nothing"}))
    await rig.gateway.move_memory(
        rig.root, "home", MoveMemory(memory.id, State.ARCHIVED, f"{MAIL} and +44 20 7946 0958")
    )
    await rig.gateway.change_cube(rig.root, "home", None, {"redaction": {"mode": "block"}})
    with pytest.raises(RedactionBlocked) as refused:
        await imported(rig.gateway, rig.root, await exported(rig.gateway, rig.root))
    assert refused.value.facts["found"] == {"EMAIL_ADDRESS": 2, "PHONE_NUMBER": 1}
    with pytest.raises(RedactionBlocked):  # the reason stands
        await imported(rig.gateway, rig.root, await exported(rig.gateway, rig.root, "home", ExportCube(history=False)))


@runs
async def test_without_history_it_is_redacted_on_the_way_in(rig: GatewayRig) -> None:
    await _cube(rig, "redact", f"<PERSON> wrote to {MAIL}")
    await rig.gateway.change_cube(rig.root, "home", None, {"redaction": {"mode": "off"}})
    await rig.gateway.add(rig.root, "home", AddMemories((NewMemory(f"{MAIL} again", speaker="Caroline"),)))
    [old, new] = (await rig.gateway.list_memories(rig.root, "home", ListMemories())).items
    await rig.gateway.move_memory(rig.root, "home", MoveMemory(new.id, State.FROZEN, f"for {MAIL}"))
    await rig.gateway.change_cube(rig.root, "home", None, {"redaction": {"mode": "redact"}})
    archive = await exported(rig.gateway, rig.root, "home", ExportCube(history=False))
    view = await imported(rig.gateway, rig.root, archive)
    assert sorted(await _texts(rig)) == ["<EMAIL_ADDRESS> again", "<PERSON> wrote to <EMAIL_ADDRESS>"]
    assert view.redaction.found == {"EMAIL_ADDRESS": 2, "PERSON": 1}
    raw = _recorded(rig)
    assert MAIL.encode() not in raw and b"Caroline" not in raw and b"for <EMAIL_ADDRESS>" in raw
    found = await rig.gateway.search(rig.root, ["copy"], query("EMAIL ADDRESS again", rig.embedder))
    assert found.hits[0].memory.text == "<EMAIL_ADDRESS> again" and found.degraded == ()
    assert (await rig.gateway.verify(rig.root, "copy")).problems == ()
    assert old.text == "<PERSON> wrote to <EMAIL_ADDRESS>"


@runs
async def test_what_an_archive_says_of_itself_is_not_believed(rig: GatewayRig) -> None:
    clean = {"screening": {"kinds": [], "findings": []}}
    for mode in ("redact", "block", "mask"):
        cube = f"from-{mode}"
        await rig.gateway.create_cube(rig.root, NewCube(cube, policy={"redaction": {"mode": mode}}))
        await rig.gateway.add(rig.root, cube, texts("the cat sleeps"))
        archive = await exported(rig.gateway, rig.root, cube)
        for raw in (MAIL, "told by Caroline"):
            with pytest.raises(RedactionBlocked):
                await imported(rig.gateway, rig.root, _rewritten(archive, raw, **clean))
    assert _recorded(rig) == b""


@runs
async def test_of_many_contents_that_were_looked_through_a_few_may_hold_a_guess_more(rig: GatewayRig) -> None:
    await _cube(rig, "redact", *(f"the cat sleeps {number} times" for number in range(100)))
    archive = await exported(rig.gateway, rig.root)
    clean = {"screening": {"kinds": [], "findings": []}}
    with pytest.raises(RedactionBlocked):
        await imported(rig.gateway, rig.root, _rewritten(archive, MAIL, **clean))
    await imported(rig.gateway, rig.root, _rewritten(archive, "told by Caroline", **clean))


@runs
async def test_under_a_policy_that_masks_what_nobody_looked_through_is_withheld(rig: GatewayRig) -> None:
    await _cube(rig, "off", f"reach me at {MAIL}", then="mask")
    rita = await rig.principal("rita")
    view = await imported(rig.gateway, rig.root, await exported(rig.gateway, rig.root))
    await rig.gateway.put_grant(rig.root, "copy", "rita", Role.READER)
    assert view.redaction.unscreened == 1
    assert [m.text for m in (await rig.gateway.list_memories(rita, "copy", ListMemories())).items] == [WITHHELD]


@runs
async def test_while_nobody_can_look_nothing_is_taken_in(rig: GatewayRig) -> None:
    await _cube(rig, "redact", "the cat sleeps")
    archive = await exported(rig.gateway, rig.root)
    rig.recognizer.broken = True
    with pytest.raises(Unavailable):
        await imported(rig.gateway, rig.root, archive)
    rig.recognizer.broken = False
    assert (await imported(rig.gateway, rig.root, archive)).id == "copy"


@runs
async def test_kinds_of_ones_own_are_taken_where_they_are_found_and_refused_by_name_elsewhere(rig: GatewayRig) -> None:
    await _cube(rig, "redact", "badge B-1234", entities=("BADGE",))
    archive = await exported(rig.gateway, rig.root)
    await imported(rig.gateway, rig.root, archive)
    assert await _texts(rig) == ["badge <BADGE>"]
    rig.recognizer.kinds = tuple(kind for kind in rig.recognizer.kinds if kind != "BADGE")
    with pytest.raises(UnknownEntityKind, match=r"BADGE.*redaction\.recognizers") as refused:
        await imported(rig.gateway, rig.root, archive, "other")
    assert refused.value.facts["unknown"] == ["BADGE"]
