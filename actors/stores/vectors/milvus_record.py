"""The record of a collection of vectors in Milvus: the entity that holds the position, and what the vectors are."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actors.errors import NewerFormat
from actors.stores.vectors.milvus_statements import CUBE, ENTITY, NOTE, RECORD, ROW, VECTOR

FORMAT = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """What a collection's record says besides the position. `incarnation` is another one after each `clear`."""

    model_id: str
    dimension: int
    incarnation: str
    format: int = FORMAT


def record_entity(position: int, note: Note) -> dict[str, Any]:
    """The record as it is stored. Every entity needs a vector: this one's says nothing."""
    marker = np.zeros(note.dimension, dtype=np.float32)
    marker[0] = 1.0
    return {ENTITY: RECORD, CUBE: RECORD, ROW: position, VECTOR: marker, NOTE: json.dumps(asdict(note))}


def read_record(client: Any, collection: str, uri: str, timeout_s: float) -> tuple[int, Note] | None:
    """The position and the note, None when there is no record or it is damaged. Raises NewerFormat."""
    found = client.get(collection, ids=[RECORD], output_fields=[ROW, NOTE], timeout=timeout_s)
    if not found:
        return None
    try:
        said = dict(json.loads(found[0][NOTE]))
        if said["format"] > FORMAT:
            raise NewerFormat(f"{collection} was written by a newer version", uri=uri)
        return int(found[0][ROW]), Note(**said)
    except (ValueError, TypeError, KeyError) as error:
        log.error("the record of %s is damaged, it has to be rebuilt: %s", collection, error)
        return None
