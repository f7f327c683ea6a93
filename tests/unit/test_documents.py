"""Documents of the usual formats become memories, or are refused saying why."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import pytest
from click.testing import CliRunner

from actors.errors import DocumentRefused, Overloaded
from actors.models.document_reader import DocumentReader
from serve.cli.inputs import read_batches
from serve.cli.main import memos as command
from tests.unit import documents
from tests.unit.documents import HTML, TEA
from tests.unit.edge import Edge, check_problem

READER = DocumentReader()


def test_text_is_read_as_it_is() -> None:
    read = READER.read("tea.md", f"\ufeff# Tea\n\n{TEA}".encode())
    assert (read.text, read.format) == (f"# Tea\n\n{TEA}", "txt")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "encrypted, or in the Office format"),
        ("a.docx", documents.docx()[:-30], "cut short or damaged"),
        ("a.pdf", HTML, "named as pdf and holds html"),
        ("a.docx", documents.xlsx(), "named as docx and holds xlsx"),
        ("a.docx", documents.zipped({"readme": "x"}), "zip archive"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\xff", "none of what can be read"),
        ("a.txt", b"a\0b", "none of what can be read"),
    ],
)
def test_what_cannot_be_read_is_refused_saying_why(name: str, data: bytes, why: str) -> None:
    with pytest.raises(DocumentRefused, match=why) as refused:
        READER.read(name, data)
    assert str(refused.value).startswith(name)


def test_a_document_that_unfolds_to_too_much_is_not_unfolded() -> None:
    bomb = documents.zipped({"[Content_Types].xml": "", "word/document.xml": bytes(300 * 1024 * 1024)})
    assert len(bomb) < 1_000_000
    with pytest.raises(DocumentRefused, match="unfolds to more"):
        READER.read("bomb.docx", bomb)


def test_while_another_is_read_there_is_a_bounded_wait() -> None:
    busy = DocumentReader(wait_s=0.01)
    with busy._places, pytest.raises(Overloaded):
        busy.read("a.html", HTML)


def test_a_document_added_through_http_names_what_it_was_read_from() -> None:
    edge = Edge()
    edge.cube("home")
    data = documents.docx()
    sent = {"documents": [{"name": "tea.docx", "content_base64": b64encode(data).decode(), "tags": ["tea"]}]}
    answer = edge.call("POST", "/v1/cubes/home/memories", json=sent)
    assert answer.status_code == 201
    (added,) = answer.json()["memories"]
    memory = edge.call("GET", f"/v1/cubes/home/memories/{added['id']}").json()
    assert (memory["text"], memory["type"], memory["ref"], memory["tags"]) == (TEA, "document", "tea.docx#1", ["tea"])
    lineage = edge.call("GET", f"/v1/cubes/home/memories/{added['id']}/provenance").json()
    assert hashlib.sha256(data).hexdigest() in str(lineage)


@pytest.mark.parametrize(
    ("document", "slug"),
    [
        ({"name": "a.pdf", "content_base64": b64encode(documents.encrypted_pdf()).decode()}, "document-refused"),
        ({"name": "a.pdf", "content_base64": "%%%"}, "invalid-request"),
        ({"name": "a.pdf", "content_base64": ""}, "invalid-request"),
        ({"name": "a.pdf"}, "invalid-request"),
        ({"name": "a.pdf", "content": "x", "content_base64": "eA=="}, "invalid-request"),
    ],
)
def test_a_refused_document_leaves_nothing_of_its_add(document: dict[str, str], slug: str) -> None:
    edge = Edge()
    edge.cube("home")
    before = edge.call("GET", "/v1/cubes/home").json()["version"]
    sent = {"messages": [{"content": "hello"}], "documents": [document]}
    check_problem(edge.call("POST", "/v1/cubes/home/memories", json=sent), 422, slug)
    assert edge.call("GET", "/v1/cubes/home").json()["version"] == before


def test_the_command_sends_the_bytes_of_a_document_and_refuses_a_huge_one(tmp_path: Path) -> None:
    (batch,) = read_batches("tea.pdf", documents.pdf())
    assert batch["documents"][0]["content_base64"] == b64encode(documents.pdf()).decode()
    huge = tmp_path / "huge.pdf"
    with huge.open("wb") as file:
        file.truncate(500_000_000)
    told = CliRunner().invoke(command, ["add", "home", str(huge)])
    assert told.exit_code == 1 and "split it" in told.output
