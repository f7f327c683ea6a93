"""The documents of an add as text, before anything is remembered."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.models.document_reader import DocumentReader
from serve.contract.memories import DocumentIn


@dataclass(frozen=True, slots=True)
class DocumentText:
    """What is split into memories; their sources name characters of it. `origin` says what it was read from."""

    text: str
    origin: Mapping[str, Any] = field(default_factory=dict)


async def read_documents(documents: Sequence[DocumentIn], reader: DocumentReader) -> list[DocumentText]:
    """The text of each, in order. Raises DocumentRefused for the first that cannot be read, Overloaded."""
    return [await _read(document, reader) for document in documents]


async def _read(document: DocumentIn, reader: DocumentReader) -> DocumentText:
    if document.content_base64 is not None:
        data = b64decode(document.content_base64)
    elif document.content is not None and document.name.lower().endswith((".html", ".htm")):
        data = document.content.encode()
    else:
        return DocumentText(document.content or "")
    found = await asyncio.to_thread(reader.read, document.name, data)
    return DocumentText(found.text, {"format": found.format.value, "sha256": hashlib.sha256(data).hexdigest()})
