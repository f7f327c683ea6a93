"""What is said to Neo4j, in Cypher that other Bolt servers understand too. Every value is a parameter: no text enters a
statement.

Every node carries the name of its shard, and its key begins with it, so that shards share a database.
"""

from __future__ import annotations

from actors.stores.graph.edge_rows import EDGE_FIELDS, NODE_FIELDS

SCHEMA = (
    "CREATE CONSTRAINT memos_node_key IF NOT EXISTS FOR (n:MemosNode) REQUIRE n.key IS UNIQUE",
    "CREATE CONSTRAINT memos_record_key IF NOT EXISTS FOR (r:MemosRecord) REQUIRE r.key IS UNIQUE",
    "CREATE INDEX memos_node_cube IF NOT EXISTS FOR (n:MemosNode) ON (n.shard, n.cube)",
    "CREATE INDEX memos_tie_told IF NOT EXISTS FOR ()-[e:MEMOS_TIE]-() ON (e.shard, e.cube, e.memory)",
    "CREATE INDEX memos_tie_since IF NOT EXISTS FOR ()-[e:MEMOS_TIE]-() ON (e.shard, e.cube, e.since)",
)

READ_RECORD = (
    "MATCH (r:MemosRecord {key: $shard}) "
    "RETURN r.position AS position, r.format AS format, r.incarnation AS incarnation"
)
MAKE_RECORD = "MERGE (r:MemosRecord {key: $shard}) SET r.position = 0, r.format = $format, r.incarnation = $incarnation"
MOVE_RECORD = (
    "MATCH (r:MemosRecord {key: $shard}) WHERE r.incarnation = $incarnation "
    "SET r.position = $position RETURN r.position AS position"
)

MERGE_NODES = (
    "UNWIND $rows AS row MERGE (n:MemosNode {key: row.key}) "
    "SET n.shard = $shard, n.cube = row.cube, n.kind = row.kind, n.name = row.name"
)
_SET = ", ".join(f"e.{field} = row.{field}" for field in EDGE_FIELDS)
MERGE_TIES = (
    "UNWIND $rows AS row MATCH (a:MemosNode {key: row.source}) MATCH (b:MemosNode {key: row.target}) "
    f"MERGE (a)-[e:MEMOS_TIE {{id: row.id}}]->(b) SET e.shard = $shard, e.cube = row.cube, {_SET}"
)
_TOLD = "MATCH (a:MemosNode)-[e:MEMOS_TIE]->(b:MemosNode) WHERE e.shard = $shard AND e.cube = row.cube "
END_TIES = f"UNWIND $rows AS row {_TOLD}AND e.memory = row.memory AND e.since = row.since SET e.until = row.until"

_EDGE = ", ".join(
    [f"{node}.{field} AS {node}_{field}" for node in "ab" for field in NODE_FIELDS]
    + [f"e.{field} AS e_{field}" for field in EDGE_FIELDS]
)
_LIVE = "e.since <= {0} AND {0} < e.until"
TOUCHING = (
    f"UNWIND $rows AS row MATCH (n:MemosNode {{key: row.key}})-[e:MEMOS_TIE]-(:MemosNode) "
    f"WHERE {_LIVE.format('row.version')} AND e.kind IN $kinds "
    "WITH DISTINCT e ORDER BY e.since DESC, e.id LIMIT $limit "
    f"WITH e, startNode(e) AS a, endNode(e) AS b RETURN {_EDGE}"
)
PAGE = (
    "MATCH (a:MemosNode)-[e:MEMOS_TIE]->(b:MemosNode) WHERE e.shard = $shard AND e.cube = $cube "
    f"AND {_LIVE.format('$version')} AND (e.since > $since OR (e.since = $since AND e.id > $id)) "
    f"WITH a, e, b ORDER BY e.since, e.id LIMIT $limit RETURN {_EDGE}"
)

ENDS_OF_TOLD = f"UNWIND $rows AS row {_TOLD}AND e.memory = row.memory RETURN DISTINCT a.key AS a, b.key AS b"
ENDS_AROUND = (
    "UNWIND $rows AS row MATCH (n:MemosNode {key: row.key})-[:MEMOS_TIE]-(b:MemosNode) "
    "RETURN DISTINCT n.key AS a, b.key AS b"
)
DELETE_TOLD = f"UNWIND $rows AS row {_TOLD}AND e.memory = row.memory DELETE e"
DELETE_MEMORIES = "UNWIND $rows AS row MATCH (n:MemosNode {key: row.key}) DETACH DELETE n"
DELETE_UNTOUCHED = "UNWIND $keys AS key MATCH (n:MemosNode {key: key}) WHERE NOT (n)--() DELETE n"
SOME_OF_CUBE = "MATCH (n:MemosNode) WHERE n.shard = $shard AND n.cube = $cube RETURN n.key AS key LIMIT $limit"
SOME_OF_SHARD = "MATCH (n:MemosNode) WHERE n.shard = $shard RETURN n.key AS key LIMIT $limit"
