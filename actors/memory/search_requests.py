"""Searches and what they answer, as they travel between the edge, the gateway and the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.memory.auditing import AuditAction
from actors.memory.item import Memory
from actors.memory.requests import Moment


class Channel(StrEnum):
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class SearchCube:
    """A search of one cube. `query_vector` (shape (dimension,), unit length) is None when it could not be made.
    With `explain`, each hit says in words why it was found.
    """

    query: str
    query_vector: npt.NDArray[np.float32] | None
    model_id: str
    top_k: int
    filter: Mapping[str, Any] | None = None
    as_of: Moment | None = None
    channels: frozenset[Channel] = frozenset(Channel)
    explain: bool = False
    purpose: AuditAction = AuditAction.SEARCH
    """What the audit calls it: a search, or a chat."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A found memory. `score` is comparable between cubes; `channels` are the parts it is made of. `reason` is empty
    unless the search asked for an explanation.
    """

    memory: Memory
    score: float
    channels: Mapping[str, float]
    reason: str


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A channel or cube that could not answer (in full), and why."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class CubeHits:
    hits: tuple[Hit, ...]
    degraded: tuple[Shortfall, ...] = ()
