"""What a collection of vectors in Milvus looks like, and how vectors are read from one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pymilvus import DataType

from actors.memory.ports import Vectors
from actors.stores.vectors import milvus_statements as say
from actors.stores.vectors.milvus_statements import CUBE, ENTITY, NOTE, ROW, VECTOR

PARTITIONS = 16
"""Of a collection, by its cubes' keys. A server has work for each: with 64, its default, it makes one in 8 s, not 4."""

_NUMBERS = re.compile(r"v?(\d+)\.(\d+)")


def create_collection(client: Any, name: str, dimension: int, timeout_s: float) -> None:
    """An empty collection, served from now on. Its index is exact, and what was put is found at once."""
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ENTITY, DataType.VARCHAR, is_primary=True, max_length=say.ENTITY_CHARS)
    schema.add_field(CUBE, DataType.VARCHAR, is_partition_key=True, max_length=say.KEY_CHARS)
    schema.add_field(ROW, DataType.INT64)
    schema.add_field(NOTE, DataType.VARCHAR, max_length=say.NOTE_CHARS)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
    index = client.prepare_index_params()
    index.add_index(VECTOR, index_type="FLAT", metric_type="IP")
    client.create_collection(
        name,
        schema=schema,
        index_params=index,
        consistency_level="Strong",
        num_partitions=PARTITIONS,
        timeout=timeout_s,
    )


def put_entities(client: Any, name: str, entities: list[dict[str, Any]], timeout_s: float, *, upserts: bool) -> None:
    """Store entities in place of those with their keys. `upserts`: whether the server's own upsert can be relied on."""
    if upserts:
        client.upsert(name, entities, timeout=timeout_s)
        return
    client.delete(name, ids=[each[ENTITY] for each in entities], timeout=timeout_s)
    client.insert(name, entities, timeout=timeout_s)


def upserts_by_partition_key(version: str) -> bool:
    """Whether an upsert puts an entity where a search for its partition key looks. Servers before 2.4 choose a
    partition by the primary key instead, and such a search finds about one in so many (seen on 2.3.5).
    """
    numbers = _NUMBERS.match(version)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= (2, 4)


def read_listed(client: Any, *, collection: str, expression: str, timeout_s: float) -> list[tuple[int, Vectors]]:
    """(row, vector) of every row that an expression names."""
    found = client.query(collection, filter=expression, output_fields=[ROW, VECTOR], timeout=timeout_s)
    return [(int(each[ROW]), np.asarray(each[VECTOR], dtype=np.float32)) for each in found]


def entity(cube: str, row: int, vector: Vectors) -> dict[str, Any]:
    """A row's vector as it is stored; `cube` is its `cube_key`."""
    return {ENTITY: say.entity_key(cube, row), CUBE: cube, ROW: int(row), VECTOR: vector, NOTE: ""}
