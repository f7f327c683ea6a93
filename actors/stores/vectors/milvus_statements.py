"""What is said to Milvus: names, keys, expressions. Pure; every expression that is sent is made here.

No text from outside enters an expression: a cube is named by a digest in hex digits, rows are integers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

ENTITY, CUBE, ROW, VECTOR, NOTE = "entity", "cube", "row", "vector", "note"
"""Fields of a collection: primary key, partition key, row of the cube, its vector, and what the record notes."""

RECORD = "@record"
"""Key of the one entity of a collection that is no vector; '@' keeps it apart from every cube's digest."""

KEY_CHARS = 48
ENTITY_CHARS = KEY_CHARS + 1 + 19
NOTE_CHARS = 2048


@dataclass(frozen=True, slots=True)
class SearchBounds:
    """How large a search may be: integers listed in one expression, expressions that list, and rows of one answer.

    Milvus answers up to 16,384 rows.
    """

    listed_rows: int = 1000
    lists: int = 4
    fetched_rows: int = 16_384


def collection_name(prefix: str, shard: str, model_id: str) -> str:
    """One collection a shard and embedding model: letters, digits and '_' alone, whatever the model is called."""
    model = hashlib.blake2b(model_id.encode(), digest_size=6).hexdigest()
    return f"{prefix}_{shard}_{model}"


def cube_key(cube_id: str) -> str:
    """What stands for a cube: a digest of its id, so that any id is an ordinary value."""
    return hashlib.blake2b(cube_id.encode("utf-8", "surrogatepass"), digest_size=KEY_CHARS // 2).hexdigest()


def entity_key(cube: str, row: int) -> str:
    return f"{cube}/{row}"


def of_cube(cube: str) -> str:
    """Expression: every row of the cube that `cube_key` named."""
    return f'{CUBE} == "{cube}"'


def between(cube: str, first: int, last: int) -> str:
    """Expression: the cube's rows `first` to `last`, both included."""
    return f"{of_cube(cube)} and {ROW} >= {first} and {ROW} <= {last}"


def lists(cube: str, rows: Rows, bounds: SearchBounds) -> list[str] | None:
    """Expressions that name the rows given, each once; None when more are left out between the first and the last than
    there are rows (the span is named then, and what does not belong sifted out), or when it takes too many expressions.
    """
    left_out = int(rows[-1]) - int(rows[0]) + 1 - len(rows)
    if left_out <= len(rows) or len(rows) > bounds.listed_rows * bounds.lists:
        return None
    return in_lists(cube, rows, bounds)


def in_lists(cube: str, rows: Rows, bounds: SearchBounds) -> list[str]:
    """Expressions that name the rows given, each once, however many they take."""
    chunks = (rows[at : at + bounds.listed_rows] for at in range(0, len(rows), bounds.listed_rows))
    return [f"{of_cube(cube)} and {ROW} in {chunk.tolist()}" for chunk in chunks]


def pieces(cube: str, first: int, last: int, bounds: SearchBounds) -> Iterator[str]:
    """Expressions that together match rows `first` to `last`, none more rows than one answer holds."""
    for start in range(first, last + 1, bounds.fetched_rows):
        yield between(cube, start, min(start + bounds.fetched_rows - 1, last))
