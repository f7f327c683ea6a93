"""What `memos add` reads: JSONL of messages, or a document."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from serve.cli.session import Failure
from serve.contract.limits import DOCUMENT_BYTES

Json = dict[str, Any]
BATCH = 200
"""Messages an add: small enough for a progress bar that moves, large enough for one commit to carry much."""

BINARY: Final = (".pdf", ".docx", ".pptx", ".xlsx", ".doc", ".ppt", ".xls")
"""Documents that the server reads."""


def read_batches(name: str, content: bytes) -> list[Json]:
    """The bodies of the adds that a file becomes. Raises Failure, naming the line, for what cannot be read."""
    if name.lower().endswith(BINARY) or content.startswith((b"%PDF-", b"PK\x03\x04")):
        if len(content) > DOCUMENT_BYTES:
            raise Failure(f"{name} has {len(content)} bytes; a document may have {DOCUMENT_BYTES}: split it")
        return [{"documents": [{"name": name, "content_base64": b64encode(content).decode()}]}]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"{name} is not UTF-8: byte {error.start} cannot be decoded") from None
    if not text.strip():
        raise Failure(f"{name} is empty")
    if not _is_jsonl(name, text):
        return [{"documents": [{"name": name, "content": text}]}]
    lines = _lines(name, text)
    batches = []
    while batch := list(islice(lines, BATCH)):
        messages = [line for line in batch if "text" not in line]
        texts = [line for line in batch if "text" in line]
        batches.append({"messages": messages, "texts": texts})
    return batches


def _is_jsonl(name: str, text: str) -> bool:
    return name.endswith((".jsonl", ".ndjson")) or (name == "-" and text.lstrip().startswith("{"))


def _lines(name: str, text: str) -> Iterator[Json]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise Failure(f"{name} line {number} is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise Failure(f"{name} line {number} is not an object")
        yield value
