"""What a document is by its first bytes, whatever its name says. Pure; nothing of it is parsed here."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from enum import StrEnum

from actors.errors import DocumentRefused

PARTS = 10_000
"""Files in an Office document, at most: a long presentation has some hundred."""


class Format(StrEnum):
    """What can be read, by the ending that files of it have."""

    PDF = "pdf"
    WORD = "docx"
    SLIDES = "pptx"
    SHEETS = "xlsx"
    HTML = "html"
    TEXT = "txt"


_FOLDERS = {"word/": Format.WORD, "ppt/": Format.SLIDES, "xl/": Format.SHEETS}
_ENDINGS = {"htm": Format.HTML, "xhtml": Format.HTML} | {each.value: each for each in Format if each is not Format.TEXT}
_OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")
_READABLE = "PDF, Word (docx), PowerPoint (pptx), Excel (xlsx), HTML, Markdown and plain text"


@dataclass(frozen=True, slots=True)
class Unfolding:
    """What an Office document may unfold to, in bytes."""

    most: int


def format_of(name: str, data: bytes, unfolding: Unfolding) -> Format:
    """What `data` is. Raises DocumentRefused when nothing here reads it, or `name` ends as something else does."""
    found = _by_content(name, data, unfolding)
    said = _ENDINGS.get(name.rpartition(".")[2].lower()) if "." in name else None
    if said is not None and said is not found and not (said is Format.HTML and found is Format.TEXT):
        raise DocumentRefused(
            f"{name} is named as {said.value} and holds {found.value}: give it the name of what it is", document=name
        )
    return said if said is Format.HTML else found


def _by_content(name: str, data: bytes, unfolding: Unfolding) -> Format:
    if b"%PDF-" in data[:1024]:
        return Format.PDF
    if data.startswith(b"PK\x03\x04"):
        return _office(name, data, unfolding)
    if data.startswith(_OLD_OFFICE):
        raise DocumentRefused(
            f"{name} is encrypted, or in the Office format of before 2007: save it without a password, in the new one",
            document=name,
        )
    return _text(name, data)


def _text(name: str, data: bytes) -> Format:
    try:
        beginning = data.decode("utf-8").lstrip("\ufeff \t\r\n")[:200].lower()
    except UnicodeDecodeError:
        beginning = "\0"
    if "\0" in beginning:
        raise DocumentRefused(f"{name} is none of what can be read: {_READABLE}, in UTF-8", document=name)
    return Format.HTML if beginning.startswith(("<!doctype html", "<html")) else Format.TEXT


def _office(name: str, data: bytes, unfolding: Unfolding) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, RuntimeError, ValueError, OSError, EOFError) as error:
        raise DocumentRefused(f"{name} is cut short or damaged: {error}", document=name) from None
    if len(parts) > PARTS or sum(part.file_size for part in parts) > unfolding.most:
        raise DocumentRefused(
            f"{name} unfolds to more than {unfolding.most} bytes, or {PARTS} parts", document=name, limit=unfolding.most
        )
    names = {part.filename for part in parts}
    for folder, found in _FOLDERS.items():
        if "[Content_Types].xml" in names and any(part.startswith(folder) for part in names):
            return found
    raise DocumentRefused(f"{name} is a zip archive: {_READABLE} can be read", document=name)
