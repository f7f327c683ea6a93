"""The processes that read documents: each format, and what is damaged, encrypted or endless."""

from __future__ import annotations

import pytest

from actors.errors import DocumentRefused
from actors.models.document_reader import DocumentReader
from tests.unit import documents
from tests.unit.documents import HTML, TEA

READER = DocumentReader()


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("tea.pdf", documents.pdf(), "pdf"),
        ("tea.docx", documents.docx(), "docx"),
        ("tea.pptx", documents.slides(), "pptx"),
        ("tea.xlsx", documents.xlsx(), "xlsx"),
        ("tea.html", HTML, "html"),
        ("page", HTML, "html"),
    ],
)
def test_a_format_is_read(name: str, data: bytes, found: str) -> None:
    read = READER.read(name, data)
    assert TEA in read.text and read.format == found
    assert "alert" not in read.text


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.pdf", documents.encrypted_pdf(), "encrypted"),
        ("a.pdf", documents.pdf()[:250], "cut short or damaged"),
        ("a.docx", documents.zipped({"[Content_Types].xml": "<", "word/document.xml": "<"}), "cut short or damaged"),
        ("a.pdf", documents.pdf(""), "no text"),
    ],
)
def test_what_cannot_be_read_is_refused_saying_why(name: str, data: bytes, why: str) -> None:
    with pytest.raises(DocumentRefused, match=why) as refused:
        READER.read(name, data)
    assert str(refused.value).startswith(name)


def test_one_that_takes_too_long_is_ended_and_the_next_is_read() -> None:
    hasty = DocumentReader(read_s=0.01)
    with pytest.raises(DocumentRefused, match=r"longer than 0\.01 s"):
        hasty.read("a.html", HTML)
    with pytest.raises(DocumentRefused, match=r"longer than 0\.01 s"):
        hasty.read("a.html", HTML)
