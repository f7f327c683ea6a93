"""What a host does with personal data under a cube's policy: nothing raw is recorded, or shown, or taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.errors import (
    MemosError,
    PolicyUnavailable,
    RedactionBlocked,
    ScreeningRefused,
    Unavailable,
    UnknownEntityKind,
)
from actors.memory.disclosure import WITHHELD
from actors.memory.governance import Caller, Role
from actors.memory.lifecycle import State
from actors.memory.requests import (
    Added,
    AddMemories,
    ChangeMemory,
    ListMemories,
    Moment,
    MoveMemory,
    NewMemory,
)
from tests.file_contents import file_contents
from tests.unit.hosts import OWNER, Catalogue, HashEmbedder, PlainRig, file_host, query
from tests.unit.plain_recognizer import PlainRecognizer

READER = Caller("rita", "key-r", "req")
WRITER = Caller("walt", "key-w", "req")
CURATOR = Caller("cleo", "key-c", "req")
MAIL = "ann@x.org"


@pytest.fixture
def rig() -> PlainRig:
    rig = PlainRig()
    rig.catalogue.register("c", rita=Role.READER, walt=Role.WRITER, cleo=Role.CURATOR)
    return rig


def _policy(rig: PlainRig, mode: str, *entities: str) -> None:
    rig.host.change_cube(OWNER, "c", None, {"redaction": {"mode": mode, "entities": list(entities)}})


def _add(rig: PlainRig, text: str, **more: object) -> Added:
    return rig.host.add(OWNER, "c", AddMemories((NewMemory(text, **more),)))  # type: ignore[arg-type]


def _found(rig: PlainRig, caller: Caller, text: str, **more: object) -> list[str]:
    request = replace(query(text, rig.embedder), **more)  # type: ignore[arg-type]
    return [hit.memory.text for hit in rig.host.search(caller, "c", request).hits]


def test_what_is_replaced_is_recorded_nowhere(rig: PlainRig) -> None:
    _policy(rig, "redact")
    done = _add(rig, f"Melanie writes from {MAIL}", speaker="Caroline", ref=MAIL, metadata={MAIL: [MAIL]}, tags=(MAIL,))
    assert done.redaction == {"EMAIL_ADDRESS": 5, "PERSON": 2}
    [memory_id] = [memory.id for memory in done.memories]
    memory = rig.host.read_memory(OWNER, "c", memory_id, None)
    assert memory.text == "<PERSON> writes from <EMAIL_ADDRESS>"
    assert (memory.speaker, memory.ref) == ("<PERSON>", "<EMAIL_ADDRESS>")
    rig.host.change_memory(OWNER, "c", ChangeMemory(memory_id, {"text": f"now {MAIL}"}, f"asked by {MAIL}"))
    rig.host.move_memory(OWNER, "c", MoveMemory(memory_id, State.ARCHIVED, f"told by {MAIL}"))
    recorded = [event.content for event in rig.storage.events if event.content]
    assert len(recorded) == 5
    assert not [content for content in recorded if MAIL.encode() in content or b"Caroline" in content]
    assert rig.host.read_cube(OWNER, "c").redaction.found == {"EMAIL_ADDRESS": 5, "PERSON": 1}


def test_an_add_with_what_is_not_taken_is_refused_whole(rig: PlainRig) -> None:
    _policy(rig, "block", "EMAIL_ADDRESS")
    version = rig.host.read_cube(OWNER, "c").version
    request = AddMemories((NewMemory("Caroline is fine"), NewMemory("x", metadata={"a": MAIL}), NewMemory(MAIL)))
    with pytest.raises(RedactionBlocked) as raised:
        rig.host.add(OWNER, "c", request)
    assert raised.value.facts == {
        "found": {"EMAIL_ADDRESS": 2},
        "places": [
            {"memory": 1, "field": "metadata", "found": {"EMAIL_ADDRESS": 1}},
            {"memory": 2, "field": "text", "found": {"EMAIL_ADDRESS": 1}},
        ],
    }
    assert MAIL not in raised.value.detail
    assert rig.host.read_cube(OWNER, "c").version == version
    fine = _add(rig, "Caroline is fine").memories[0].id
    for refused in (
        lambda: rig.host.change_memory(OWNER, "c", ChangeMemory(fine, {"text": MAIL})),
        lambda: rig.host.change_memory(OWNER, "c", ChangeMemory(fine, {"text": "x"}, MAIL)),
        lambda: rig.host.move_memory(OWNER, "c", MoveMemory(fine, State.ARCHIVED, MAIL)),
    ):
        with pytest.raises(RedactionBlocked):
            refused()
    assert rig.host.read_cube(OWNER, "c").version == version + 1


def test_only_the_kinds_that_the_policy_names_are_looked_for(rig: PlainRig) -> None:
    _policy(rig, "redact", "BADGE")
    _add(rig, f"Caroline, {MAIL}, B-1234")
    assert _found(rig, OWNER, "BADGE") == [f"Caroline, {MAIL}, <BADGE>"]
    with pytest.raises(UnknownEntityKind) as raised:
        _policy(rig, "redact", "BADGE", "SHOE_SIZE")
    assert raised.value.facts["unknown"] == ["SHOE_SIZE"]
    assert "BADGE" in raised.value.facts["known"] and "PERSON" in raised.value.facts["known"]


def test_roles_below_curator_get_masked_texts_everywhere(rig: PlainRig) -> None:
    _policy(rig, "mask")
    memory_id = _add(rig, f"Melanie: {MAIL}", speaker="Caroline", metadata={"mail": MAIL}).memories[0].id
    masked, raw = "<PERSON>: <EMAIL_ADDRESS>", f"Melanie: {MAIL}"
    for caller, text in ((READER, masked), (WRITER, masked), (CURATOR, raw), (OWNER, raw)):
        assert rig.host.read_memory(caller, "c", memory_id, None).text == text
        assert [m.text for m in rig.host.list_memories(caller, "c", ListMemories()).items] == [text]
        assert [m.text for m in rig.host.history(caller, "c", memory_id)] == [text]
        assert _found(rig, caller, "EMAIL ADDRESS PERSON") == [text]
    shown = rig.host.read_memory(READER, "c", memory_id, None)
    assert (shown.speaker, shown.metadata) == ("<PERSON>", {"mail": "<EMAIL_ADDRESS>"})
    changed = rig.host.change_memory(WRITER, "c", ChangeMemory(memory_id, {"tags": ["x"]}))
    assert changed.text == masked
    assert rig.host.read_memory(OWNER, "c", memory_id, None).text == raw


def test_a_reader_cannot_probe_what_is_masked(rig: PlainRig) -> None:
    _policy(rig, "mask")
    _add(rig, f"reach her at {MAIL}", metadata={"mail": MAIL}, speaker="Caroline")
    lexical = frozenset({"lexical"})
    assert _found(rig, READER, MAIL, channels=lexical) == _found(rig, READER, "Caroline", channels=lexical) == []
    for probe in ({"metadata.mail": MAIL}, {"speaker": "Caroline"}, {"metadata.mail": {"contains": "ann"}}):
        assert _found(rig, READER, "reach", filter=probe) == []
        assert _found(rig, OWNER, "reach", filter=probe) != []
    assert _found(rig, READER, "reach", filter={"speaker": "<PERSON>"}) != []
    _add(rig, "typed", type=MAIL)
    for caller, number in ((READER, 0), (OWNER, 1)):
        assert len(rig.host.list_memories(caller, "c", ListMemories(type=MAIL)).items) == number


def test_what_a_documents_cut_goes_through_is_replaced_on_both_sides(rig: PlainRig) -> None:
    _policy(rig, "redact")
    pieces = ("her card is 4111 1111", "1111 1111, she said")
    cut = len(pieces[0])
    memories = (
        NewMemory(pieces[0], source={"kind": "document", "name": "d", "start": 0, "end": cut}),
        NewMemory(pieces[1], source={"kind": "document", "name": "d", "start": cut + 1, "end": 99}),
    )
    assert rig.host.add(OWNER, "c", AddMemories(memories)).redaction == {"CREDIT_CARD": 2}
    texts = [memory.text for memory in rig.host.list_memories(OWNER, "c", ListMemories()).items]
    assert texts == ["her card is <CREDIT_CARD>", "<CREDIT_CARD>, she said"]


def test_what_was_recorded_before_is_withheld_until_it_was_screened(rig: PlainRig) -> None:
    old = _add(rig, f"old {MAIL}", ref="r1").memories[0].id
    clean = _add(rig, "old tea").memories[0].id
    _policy(rig, "mask")
    new = _add(rig, "new tea").memories[0].id
    assert rig.host.read_cube(OWNER, "c").redaction.unscreened == 2
    assert rig.host.read_memory(READER, "c", old, None).text == WITHHELD
    assert rig.host.read_memory(READER, "c", old, None).ref == ""
    assert _found(rig, READER, "old") == _found(rig, READER, "tea") == ["new tea"]
    assert set(_found(rig, OWNER, "old")) == {f"old {MAIL}", "old tea", "new tea"}

    done = rig.host.screen(OWNER, "c", 1)
    assert (done.screened, done.remaining, done.redaction) == (1, 1, {"EMAIL_ADDRESS": 1})
    done = rig.host.screen(OWNER, "c", 10)
    assert (done.screened, done.remaining, done.redaction) == (1, 0, {})
    assert rig.host.screen(OWNER, "c", 10).screened == 0
    assert rig.host.read_memory(READER, "c", old, None).text == "old <EMAIL_ADDRESS>"
    assert set(_found(rig, READER, "old")) == {"old <EMAIL_ADDRESS>", "old tea", "new tea"}
    assert _found(rig, READER, MAIL, channels=frozenset({"lexical"})) == []
    assert rig.host.read_memory(OWNER, "c", old, None).text == f"old {MAIL}"
    assert [m.text for m in rig.host.history(READER, "c", clean)] == [WITHHELD, "old tea"]
    assert rig.host.read_memory(READER, "c", old, Moment(version=3)).text == WITHHELD
    assert _found(rig, READER, "old", as_of=Moment(version=3)) == []
    rig.reopen()
    assert set(_found(rig, READER, "old")) == {"old <EMAIL_ADDRESS>", "old tea", "new tea"}
    assert new


def test_a_policy_that_masks_more_withholds_what_was_screened_for_less(rig: PlainRig) -> None:
    _policy(rig, "mask", "EMAIL_ADDRESS")
    _add(rig, f"Caroline {MAIL}")
    assert _found(rig, READER, "Caroline") == ["Caroline <EMAIL_ADDRESS>"]
    _policy(rig, "mask", "EMAIL_ADDRESS", "PERSON")
    assert _found(rig, READER, "Caroline") == []
    assert rig.host.screen(OWNER, "c", 10).redaction == {"EMAIL_ADDRESS": 1, "PERSON": 1}
    assert _found(rig, READER, "PERSON") == ["<PERSON> <EMAIL_ADDRESS>"]
    _policy(rig, "off")
    assert _found(rig, READER, "PERSON") == [f"Caroline {MAIL}"]
    _policy(rig, "redact")
    assert _found(rig, READER, "PERSON") == ["<PERSON> <EMAIL_ADDRESS>"]
    with pytest.raises(ScreeningRefused):
        rig.host.screen(OWNER, "c", 10)


def test_nothing_is_recorded_while_nobody_can_look(rig: PlainRig) -> None:
    for mode in ("mask", "redact", "block"):
        _policy(rig, mode)
        version = rig.host.read_cube(OWNER, "c").version
        rig.recognizer.broken = True
        with pytest.raises(Unavailable):
            _add(rig, "hello")
        assert rig.host.read_cube(OWNER, "c").version == version
        rig.recognizer.broken = False
    _policy(rig, "off")
    rig.recognizer.broken, rig.recognizer.read = True, 0
    _add(rig, MAIL)
    assert rig.recognizer.read == 0


def test_a_policy_that_changes_while_a_text_is_looked_at_refuses_it(
    rig: PlainRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = PlainRecognizer.find

    def meanwhile(self: PlainRecognizer, *asked: object) -> object:
        monkeypatch.undo()
        _policy(rig, "redact")
        return find(self, *asked)  # type: ignore[arg-type]

    _policy(rig, "mask")
    monkeypatch.setattr(PlainRecognizer, "find", meanwhile)
    with pytest.raises(Unavailable, match="policy was changed"):
        _add(rig, MAIL)
    assert rig.host.read_cube(OWNER, "c").counts == {}


def test_a_repeat_under_its_key_answers_what_the_first_found(rig: PlainRig) -> None:
    _policy(rig, "redact")
    request = AddMemories((NewMemory(MAIL, ref="a"),), "key-1")
    first = rig.host.add(OWNER, "c", request)
    assert rig.host.add(OWNER, "c", request) == first
    rig.host.change_memory(OWNER, "c", ChangeMemory(first.memories[0].id, {"text": "other"}))
    assert rig.host.add(OWNER, "c", request) == first
    with pytest.raises(MemosError, match="another body"):
        rig.host.add(OWNER, "c", AddMemories((NewMemory("bob@y.org", ref="a"),), "key-1"))


def test_a_kind_that_nobody_finds_any_more_lets_nothing_pass(rig: PlainRig, monkeypatch: pytest.MonkeyPatch) -> None:
    _policy(rig, "redact", "BADGE")
    monkeypatch.setattr(PlainRecognizer, "kinds", ("PERSON",))
    with pytest.raises(PolicyUnavailable, match="BADGE"):
        _add(rig, "B-1234")


def test_after_a_redacting_add_no_file_holds_the_raw_text(tmp_path: Path) -> None:
    catalogue = Catalogue()
    catalogue.register("c")
    secrets = ("zoe.quartz@example.org", "+44 20 7946 0958", "Caroline")
    host = file_host(tmp_path, catalogue, HashEmbedder(), recognizer=PlainRecognizer())
    host.change_cube(OWNER, "c", None, {"redaction": {"mode": "redact"}})
    text = f"{secrets[2]} said: mail {secrets[0]}, phone {secrets[1]}"
    memory = NewMemory(text, speaker=secrets[2], ref=secrets[0], metadata={"mail": secrets[0], secrets[0]: 1})
    done = host.add(OWNER, "c", AddMemories((memory,) * 3, idempotency_key=secrets[0]))
    host.change_memory(OWNER, "c", ChangeMemory(done.memories[0].id, {"text": f"again {text}"}, secrets[0]))
    host.search(OWNER, "c", query("phone", HashEmbedder()))
    host.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    assert any("<EMAIL_ADDRESS>" in content for path in files for content in file_contents(path))
    held = [
        (path.name, secret)
        for path in files
        for content in file_contents(path)
        for secret in secrets
        if secret in content
    ]
    assert held == []
