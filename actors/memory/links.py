"""How a memory is tied to others of its cube: what it was absorbed into, and what it contradicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any


class Absorption(StrEnum):
    """Why a memory was merged into another."""

    DUPLICATE = "duplicate"
    """It says the same: it is a source of the other one."""
    SUPERSEDED = "superseded"
    """The other one is newer and says otherwise: it is the successor."""


@dataclass(frozen=True, slots=True)
class Links:
    """`into` is the memory that absorbed this one, empty for one that stands by itself; `into_version` is the version
    that it had then. `contradicts` names memories that seem to say otherwise; they need not name this one.
    """

    into: str = ""
    into_version: int = 0
    absorption: Absorption | None = None
    contradicts: tuple[str, ...] = ()

    def absorbed(self, into: str, version: int, absorption: Absorption) -> Links:
        return shared(replace(self, into=into, into_version=version, absorption=absorption))

    def released(self) -> Links:
        """Standing by itself again; itself when it does."""
        if not self.into and self.absorption is None:
            return self
        return shared(replace(self, into="", into_version=0, absorption=None))

    def contradicting(self, memory_ids: Iterable[str]) -> Links:
        return replace(self, contradicts=tuple(dict.fromkeys((*self.contradicts, *memory_ids))))

    def to_fields(self) -> dict[str, Any]:
        """As JSON values; what is empty is left out. `links_from` is the inverse."""
        fields: dict[str, Any] = {}
        if self.absorption is not None:
            fields |= {"into": self.into, "into_version": self.into_version, "kind": self.absorption.value}
        if self.contradicts:
            fields["contradicts"] = list(self.contradicts)
        return fields


UNLINKED = Links()


def links_from(fields: Mapping[str, Any] | None) -> Links:
    if not fields:
        return UNLINKED
    kind = fields.get("kind")
    return shared(
        Links(
            fields.get("into", ""),
            fields.get("into_version", 0),
            None if kind is None else Absorption(kind),
            tuple(fields.get("contradicts", ())),
        )
    )


@lru_cache(maxsize=4096)
def shared(links: Links) -> Links:
    """The same object for equal links: a thousand repeats of a memory have one between them."""
    return UNLINKED if links == UNLINKED else links
