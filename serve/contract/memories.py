"""Bodies and answers about memories."""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, model_validator

from actors.memory.item import Kind
from actors.memory.lifecycle import State
from actors.memory.links import Absorption
from actors.memory.requests import Wait
from serve.contract import limits
from serve.contract.fields import (
    Answer,
    Body,
    Label,
    MemoryId,
    MemoryIds,
    Metadata,
    Reason,
    Tags,
    Text,
    Word,
    not_blank,
)
from serve.contract.times import TimeUs


class MessageIn(Body):
    """One turn of a conversation, kept verbatim."""

    role: Word = Field(default="user", examples=["user"])
    name: Label = Field(default="", description="Who speaks; the role when it is left out.", examples=["Caroline"])
    content: Text = Field(examples=["I went to the support group yesterday"])
    at: TimeUs | None = None
    session: Label = Field(default="", examples=["s1"])
    ref: Label = Field(default="", description="Your own id of the message.", examples=["D1:3"])
    tags: Tags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
    expires_at: TimeUs | None = Field(default=None, description="Out of retrieval from then on.")


class TextIn(Body):
    """A statement, kept as it is."""

    text: Text
    type: Word = Kind.NOTE.value
    ref: Label = ""
    session: Label = ""
    tags: Tags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
    occurred_at: TimeUs | None = None
    valid_from: TimeUs | None = None
    valid_to: TimeUs | None = None
    expires_at: TimeUs | None = Field(default=None, description="Out of retrieval from then on.")
    state: Literal["activated", "generated"] = Field(
        default="activated", description="generated: out of retrieval until a curator confirms it."
    )
    supersedes: MemoryIds = Field(default_factory=list, description="Memories of the cube whose place it takes.")
    derived_from: MemoryIds = Field(default_factory=list, description="Memories of the cube that it was made of.")
    method: Label = Field(default="", description="How it was made, as provenance shows it.", examples=["extraction"])
    model: Label = Field(default="", description="The model that made it.")

    @model_validator(mode="after")
    def _takes_no_place_unconfirmed(self) -> Self:
        if self.state == "generated" and self.supersedes:
            raise ValueError("supersedes: a generated memory takes no place before it is confirmed")
        return self

    @model_validator(mode="after")
    def _interval_runs_forward(self) -> Self:
        if self.valid_from is not None and self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        return self


class DocumentIn(Body):
    """A document of any of the usual formats; it is split into chunks, each a memory with `ref` = name#n."""

    name: Word = Field(examples=["handbook.md"])
    content: Annotated[str, AfterValidator(not_blank)] | None = Field(
        default=None, description="Markdown or plain text; HTML when the name ends with .html."
    )
    content_base64: str | None = Field(
        default=None, description="The bytes of a PDF, Word, PowerPoint, Excel, HTML or text file, instead of content."
    )
    tags: Tags = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
    occurred_at: TimeUs | None = None
    expires_at: TimeUs | None = Field(default=None, description="Out of retrieval from then on.")

    @model_validator(mode="after")
    def _within_limit(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError("give one of content and content_base64")
        if len((self.content or "").encode()) > limits.DOCUMENT_BYTES:
            raise ValueError(f"content is over the limit of {limits.DOCUMENT_BYTES} bytes")
        return self

    @model_validator(mode="after")
    def _is_base64(self) -> Self:
        if self.content_base64 is not None:
            try:
                size = len(b64decode(self.content_base64, validate=True))
            except ValueError:
                raise ValueError("content_base64 is not base64") from None
            if not 0 < size <= limits.DOCUMENT_BYTES:
                raise ValueError(f"content_base64 holds {size} bytes; 1 to {limits.DOCUMENT_BYTES} are taken")
        return self


class AddBody(Body):
    """What to remember: at least one message, text or document."""

    messages: list[MessageIn] = Field(default_factory=list, max_length=limits.MEMORIES_PER_ADD)
    texts: list[TextIn] = Field(default_factory=list, max_length=limits.MEMORIES_PER_ADD)
    documents: list[DocumentIn] = Field(default_factory=list, max_length=limits.MEMORIES_PER_ADD)
    wait: Wait = Field(default=Wait.INDEX, description="Answer once the indexes hold it too, or the journal alone.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.messages or self.texts or self.documents):
            raise ValueError("give at least one of messages, texts and documents")
        return self


class PatchBody(Body):
    """The fields that change; null clears one. `text` and `type` cannot be cleared."""

    text: Text | None = None
    type: Word | None = None
    speaker: Label | None = None
    session: Label | None = None
    ref: Label | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None
    occurred_at: TimeUs | None = None
    valid_from: TimeUs | None = None
    valid_to: TimeUs | None = None
    supersedes: MemoryIds | None = Field(default=None, description="Memories of the cube whose place it takes.")
    expires_at: TimeUs | None = None
    reason: Reason = ""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        changed = self.model_fields_set - {"reason"}
        if not changed:
            raise ValueError("nothing to change: give at least one field beside reason")
        for name in ("text", "type"):
            if name in changed and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be cleared")
        return self

    def changes(self) -> dict[str, Any]:
        """The changed fields by their names in NewMemory; None clears one."""
        names = self.model_fields_set - {"reason", "supersedes"}
        return {_INNER_NAMES.get(name, name): getattr(self, name) for name in sorted(names)}


_INNER_NAMES = {
    "occurred_at": "occurred_at_us",
    "valid_from": "valid_from_us",
    "valid_to": "valid_to_us",
    "expires_at": "expires_at_us",
}


class DeleteBody(Body):
    reason: Reason = ""


class TransitionBody(Body):
    to: State = Field(examples=["archived"])
    reason: Reason = ""
    into: MemoryId | None = Field(default=None, description="With to = merged: the memory that absorbs this one.")
    kind: Absorption = Field(default=Absorption.DUPLICATE, description="With to = merged: what this one is to it.")

    @model_validator(mode="after")
    def _into_goes_with_merged(self) -> Self:
        if self.into is not None and self.to is not State.MERGED:
            raise ValueError("into: it goes with to = merged alone")
        return self


class SplitBody(Body):
    reason: Reason = ""


class ConsolidateBody(Body):
    """`start` is `next` of the step before."""

    start: StrictInt = Field(default=0, ge=0)
    rows: StrictInt = Field(default=256, ge=1, le=limits.CONSOLIDATED_ROWS)


class ConsolidatedOut(Answer):
    """What a step did, and where the next one starts, null at the end; `total` rows are to be looked at."""

    checked: int
    merged: int
    linked: int
    next: int | None
    total: int


class AddedMemoryOut(Answer):
    id: str
    version: int
    state: State
    ref: str


class AddedOut(Answer):
    """`version` is the cube's version after the add. `redaction`: how much personal data was found, by kind."""

    version: int
    memories: list[AddedMemoryOut]
    redaction: dict[str, int]


class ReferenceOut(Answer):
    cube: str
    id: str
    version: int


class MemoryOut(Answer):
    """A memory at one of its versions. Times are RFC 3339, UTC.

    `sources` counts itself and the duplicates that are merged into it. `derived_from` names up to 100 of what it was
    made of, absorbed memories included; its provenance names all of them.
    """

    id: str
    cube: str
    version: int
    form: Literal["plaintext", "activation", "parametric"]
    type: str
    state: State
    text: str
    role: str
    speaker: str
    session: str
    ref: str
    tags: list[str]
    metadata: dict[str, Any]
    occurred_at: str | None
    recorded_at: str
    valid_from: str | None
    valid_to: str | None
    expires_at: str | None
    source: dict[str, Any]
    derived_from: list[ReferenceOut]
    sources: int
    merged_into: str | None
    merged_as: Absorption | None
    contradicts: list[str]
    reason: str
    redaction: dict[str, int] = Field(description="Personal data that was found in it, by kind.")


class MemoryPage(Answer):
    items: list[MemoryOut]
    next: str | None


class SplitOut(Answer):
    """The memories that stand by themselves again; `remaining` are still merged into the one named: call again."""

    version: int
    memories: list[MemoryOut]
    remaining: int


class HistoryOut(Answer):
    """Every version, oldest first."""

    items: list[MemoryOut]
    next: None = None
