"""What an erasure and retention answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from serve.contract.fields import Answer


class PlaceOut(Answer):
    """A kind of place: how many were looked at, how many lost something, and what is not in this system's hands."""

    kind: str
    checked: int = Field(ge=0)
    removed: int = Field(ge=0)
    note: str | None = None


class ReceiptOut(Answer):
    """`derived` are memories that went because they were derived from those of `erased`; in other cubes too."""

    cube: str
    erased: list[str]
    derived: list[str]
    places: list[PlaceOut]
    at: str


class DueOut(Answer):
    """`held`: it would be due, but it is frozen."""

    memory: str
    step: Literal["archive", "erase", "held"]
    since: str
    reason: str


class DueListOut(Answer):
    items: list[DueOut]
    next: None = None


class RetainedOut(Answer):
    """What was done in one go. With `more`, repeat it."""

    cube: str
    archived: list[DueOut]
    erased: list[DueOut]
    derived: list[str]
    held: list[DueOut]
    more: bool
