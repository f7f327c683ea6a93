"""From the body of an add to the memories it makes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.errors import RequestTooLarge
from actors.memory.item import Kind, Reference
from actors.memory.lifecycle import State
from actors.memory.requests import AddMemories, NewMemory
from serve.contract import limits
from serve.contract.memories import AddBody, DocumentIn, MessageIn, TextIn
from serve.documents import DocumentText

CHUNK_CHARS = 900
"""A chunk is closed when the next sentence would take it beyond this: about 200 tokens, within what MiniLM sees."""

_SENTENCE_END = re.compile(
    r"(?<=[.!?\u2026])\s+|(?<=[.!?\u2026][\"'\u201d\u2019)\]])\s+|(?<=[\u3002\uff01\uff1f])\s*|\n+"
)
_HEADING = re.compile(r"#{1,6}\s+\S")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text` is the document's characters from `start` to before `end`."""

    text: str
    start: int
    end: int


def to_add(body: AddBody, documents: Sequence[DocumentText], idempotency_key: str) -> AddMemories:
    """What the body asks to remember: messages, then texts, then the chunks of documents, in order.

    `documents` are the texts of the body's documents.

    Raises RequestTooLarge when it makes more memories than one add may.
    """
    memories = [_from_message(message) for message in body.messages]
    memories += [_from_text(text) for text in body.texts]
    for document, read in zip(body.documents, documents, strict=True):
        memories += _from_document(document, read)
    if len(memories) > limits.MEMORIES_PER_ADD:
        raise RequestTooLarge(
            f"the add makes {len(memories)} memories, over the limit of {limits.MEMORIES_PER_ADD}",
            limit=limits.MEMORIES_PER_ADD,
        )
    return AddMemories(tuple(memories), idempotency_key, body.wait)


def _from_message(message: MessageIn) -> NewMemory:
    return NewMemory(
        text=message.content,
        type=Kind.MESSAGE.value,
        role=message.role,
        speaker=message.name or message.role,
        session=message.session,
        ref=message.ref,
        tags=tuple(message.tags),
        metadata=message.metadata,
        occurred_at_us=message.at,
        expires_at_us=message.expires_at,
        source={"kind": "message"},
    )


def _from_text(text: TextIn) -> NewMemory:
    return NewMemory(
        text=text.text,
        type=text.type,
        session=text.session,
        ref=text.ref,
        tags=tuple(text.tags),
        metadata=text.metadata,
        occurred_at_us=text.occurred_at,
        valid_from_us=text.valid_from,
        valid_to_us=text.valid_to,
        expires_at_us=text.expires_at,
        source={"kind": "text", **_made_by(text)},
        derived_from=tuple(Reference("", memory_id, 0) for memory_id in text.derived_from),
        state=State(text.state),
        supersedes=tuple(text.supersedes),
    )


def _made_by(text: TextIn) -> dict[str, str]:
    return {name: said for name, said in (("method", text.method), ("model", text.model)) if said}


def _from_document(document: DocumentIn, read: DocumentText) -> Iterator[NewMemory]:
    named: Mapping[str, Any] = {"kind": "document", "name": document.name, **read.origin}
    for number, chunk in enumerate(split(read.text), start=1):
        source = {**named, "start": chunk.start, "end": chunk.end}
        yield NewMemory(
            text=chunk.text,
            type=Kind.DOCUMENT.value,
            ref=f"{document.name}#{number}",
            tags=tuple(document.tags),
            metadata=document.metadata,
            occurred_at_us=document.occurred_at,
            expires_at_us=document.expires_at,
            source=source,
        )


def split(content: str, chunk_chars: int = CHUNK_CHARS) -> list[Chunk]:
    """The document in chunks of whole sentences, about `chunk_chars` long; nothing but white space is lost.

    A Markdown heading begins a chunk, so that a section's first sentences stay with its name. A sentence
    longer than `chunk_chars` is cut between words, or anywhere when it has none.
    """
    chunks: list[Chunk] = []
    start = end = -1
    for piece_start, piece_end in _pieces(content, chunk_chars):
        heading = _HEADING.match(content, piece_start) is not None and _begins_line(content, piece_start)
        if start >= 0 and (heading or piece_end - start > chunk_chars):
            chunks.append(Chunk(content[start:end], start, end))
            start = -1
        if start < 0:
            start = piece_start
        end = piece_end
    if start >= 0:
        chunks.append(Chunk(content[start:end], start, end))
    return chunks


def _pieces(content: str, longest: int) -> Iterator[tuple[int, int]]:
    """(start, end) of sentences and lines without the white space around them, none longer than `longest`."""
    start = 0
    for boundary in [*_SENTENCE_END.finditer(content), None]:
        end = boundary.start() if boundary else len(content)
        yield from _cut(content, start, end, longest)
        start = boundary.end() if boundary else end


def _cut(content: str, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    while True:
        while start < end and content[start].isspace():
            start += 1
        while end > start and content[end - 1].isspace():
            end -= 1
        if start >= end:
            return
        if end - start <= longest:
            yield start, end
            return
        space = content.rfind(" ", start + 1, start + longest)
        cut = space if space > start else start + longest
        yield start, cut
        start = cut


def _begins_line(content: str, at: int) -> bool:
    return at == 0 or content[at - 1] == "\n"
