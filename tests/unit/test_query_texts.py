"""Texts of queries that the audit keeps: redacted as their cube's contents are, and gone with their cube."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.memory.auditing import AuditAction, AuditQuery
from actors.memory.governance import Caller
from actors.memory.query_texts import opened, sealed, text_key
from jobs.bench.state_search import find
from tests.unit.hosts import OWNER, Catalogue, HashEmbedder, PlainRig, file_host, query, texts
from tests.unit.plain_recognizer import PlainRecognizer

SEARCHES = AuditQuery(action=AuditAction.SEARCH)
GOVERNOR = Caller("gov", "k", "r")
SECRET = "zyzzyvaplover"


def _asked(rig: PlainRig, text: str) -> dict[str, object]:
    rig.host.search(OWNER, "c", query(text, rig.embedder))
    detail: dict[str, object] = json.loads(rig.host.audit(OWNER, "c", SEARCHES)[0].detail)
    return detail


@pytest.fixture
def rig() -> PlainRig:
    rig = PlainRig()
    rig.catalogue.register("c")
    rig.host.change_cube(OWNER, "c", None, {"audit": {"queries": "text"}})
    rig.host.add(OWNER, "c", texts("tea"))
    return rig


@pytest.mark.parametrize("mode", ["mask", "redact", "block"])
def test_they_are_redacted_as_the_contents_of_their_cube_are(rig: PlainRig, mode: str) -> None:
    assert _asked(rig, "mail of ann@x.org")["text"] == "mail of ann@x.org"
    rig.host.change_cube(OWNER, "c", None, {"redaction": {"mode": mode}})
    assert _asked(rig, "mail of bob@x.org")["text"] == "mail of <EMAIL_ADDRESS>"
    rig.recognizer.broken = True
    found = _asked(rig, "mail of eve@x.org")  # the search is answered, its text is not kept
    assert set(found) == {"query"}


def test_no_row_holds_them_in_the_clear(rig: PlainRig) -> None:
    _asked(rig, SECRET)
    stored = [sealed_row.row.detail for sealed_row in rig.audited.rows]
    assert any('"sealed"' in detail for detail in stored) and SECRET not in "".join(stored)
    rig.reopen()
    assert _asked(rig, SECRET)["text"] == SECRET
    assert rig.host.verify(OWNER, "c").problems == ()


def test_they_are_gone_with_their_cube(tmp_path: Path) -> None:
    catalogue, embedder = Catalogue(), HashEmbedder()
    catalogue.register("c")
    host = file_host(tmp_path, catalogue, embedder, recognizer=PlainRecognizer())
    host.change_cube(OWNER, "c", None, {"audit": {"queries": "text"}})
    host.add(OWNER, "c", texts("tea"))
    host.search(OWNER, "c", query(SECRET, embedder))
    assert json.loads(host.audit(GOVERNOR, "c", SEARCHES)[0].detail)["text"] == SECRET
    salt = host._shard_for("c").first_salt("c")
    assert salt is not None
    host.erase_cube(OWNER, "c", "asked", [])
    for _ in range(2):
        [row] = host.audit(GOVERNOR, "c", SEARCHES)
        told = json.loads(row.detail)
        assert told["text"] is None and told["query"]
        assert host._shard_for("c").first_salt("c") is None
        host.close()
        assert find(tmp_path, {"text": SECRET.encode(), "salt": salt}) == []
        host = file_host(tmp_path, catalogue, embedder, recognizer=PlainRecognizer())
    host.close()


def test_a_sealed_text_opens_under_its_own_key_alone() -> None:
    key, other = text_key(b"k" * 32, "c", b"salt"), text_key(b"k" * 32, "c", b"other")
    for text in ("", "tea", "ü" * 1000):
        stored = sealed(key, b"n" * 16, text)
        assert opened(key, stored) == text
        assert not text or opened(other, stored) != text
    assert sealed(key, b"n" * 16, "tea") != sealed(key, b"m" * 16, "tea")
