"""What is said to Ladybug. Every value is a parameter: no text enters a statement.

Looking one node up by its key takes 0.1 to 0.3 ms however many there are; a list of keys, or UNWIND with MATCH, reads
the whole table of nodes (29 ms of 5,000). So statements name one node each.
"""

from __future__ import annotations

from actors.stores.graph.edge_rows import EDGE_FIELDS, NODE_FIELDS

SCHEMA = (
    "CREATE NODE TABLE IF NOT EXISTS Record(key STRING PRIMARY KEY, position INT64, format INT64)",
    "CREATE NODE TABLE IF NOT EXISTS Cube(key STRING PRIMARY KEY)",
    "CREATE NODE TABLE IF NOT EXISTS Node(key STRING PRIMARY KEY, cube STRING, kind STRING, name STRING)",
    "CREATE REL TABLE IF NOT EXISTS Holds(FROM Cube TO Node)",
    (
        "CREATE REL TABLE IF NOT EXISTS Tie(FROM Node TO Node, id STRING, kind STRING, memory STRING, "
        "memory_version INT64, since INT64, until INT64, recorded_us INT64, occurred_us INT64, evidence STRING, "
        "words STRING)"
    ),
)

READ_RECORD = "MATCH (r:Record {key: 'record'}) RETURN r.position, r.format"
WRITE_RECORD = "MERGE (r:Record {key: 'record'}) SET r.position = $position, r.format = $format"

MARK_ERASED = "MERGE (r:Record {key: 'erased'})"
IS_MARKED = "MATCH (r:Record {key: 'erased'}) RETURN r.key"
UNMARK = "MATCH (r:Record {key: 'erased'}) DELETE r"

HAS_NODE = "MATCH (n:Node {key: $key}) RETURN n.key"
MERGE_CUBE = "MERGE (c:Cube {key: $key})"
CREATE_NODES = (
    "UNWIND $rows AS r CREATE (n:Node {key: r.key, cube: r.cube, kind: r.kind, name: r.name})"  # rows of one cube
)
HOLD_NODE = "MATCH (c:Cube {key: $cube}), (n:Node {key: $key}) CREATE (c)-[:Holds]->(n)"

_TIE = ", ".join(f"{field}: ${field}" for field in ("id", *EDGE_FIELDS))
CREATE_TIE = f"MATCH (a:Node {{key: $source}}), (b:Node {{key: $target}}) CREATE (a)-[:Tie {{{_TIE}}}]->(b)"
DELETE_TIE = "MATCH (a:Node {key: $source})-[e:Tie]->(b:Node) WHERE e.id = $id DELETE e"
TIES_FROM = "MATCH (a:Node {key: $key})-[e:Tie]->(b:Node) RETURN e.id"

_EDGE = ", ".join(
    [f"{node}.{field}" for node in "ab" for field in NODE_FIELDS] + [f"e.{field}" for field in EDGE_FIELDS]
)
_LIVE = "e.since <= $version AND $version < e.until"

OUT_OF = f"MATCH (a:Node {{key: $key}})-[e:Tie]->(b:Node) WHERE {_LIVE} AND e.kind IN $kinds RETURN {_EDGE}"
INTO = f"MATCH (b:Node {{key: $key}})<-[e:Tie]-(a:Node) WHERE {_LIVE} AND e.kind IN $kinds RETURN {_EDGE}"


def newest_into(limit: int) -> str:
    """As INTO, the newest alone. A limit takes ten times what the rest of a small answer does, and more as a parameter,
    which makes Ladybug plan the statement anew: for nodes that many edges end at.
    """
    return f"{INTO}, e.id ORDER BY e.since DESC, e.id LIMIT {int(limit)}"


PAGE = (
    f"MATCH (c:Cube {{key: $cube}})-[:Holds]->(a:Node)-[e:Tie]->(b:Node) WHERE {_LIVE} "
    f"AND (e.since > $since OR (e.since = $since AND e.id > $id)) RETURN {_EDGE}, e.id "
    "ORDER BY e.since, e.id LIMIT $limit"
)

EVER_OUT_OF = f"MATCH (a:Node {{key: $key}})-[e:Tie]->(b:Node) RETURN {_EDGE}"
EVER_INTO = f"MATCH (b:Node {{key: $key}})<-[e:Tie]-(a:Node) RETURN {_EDGE}"
ALIASES_TOLD = (
    "MATCH (m:Node {key: $key})-[t:Tie]->(a:Node)-[e:Tie]->(b:Node) WHERE t.kind = 'mentions' "
    f"AND e.kind = 'same-entity' AND e.memory = $memory RETURN DISTINCT {_EDGE}"
)

TOUCHED = "MATCH (n:Node {key: $key})-[e:Tie]-(other:Node) RETURN e.id LIMIT 1"
DELETE_NODE = "MATCH (n:Node {key: $key}) DETACH DELETE n"
NODES_OF = "MATCH (c:Cube {key: $key})-[:Holds]->(n:Node) RETURN n.key"
DELETE_CUBE = "MATCH (c:Cube {key: $key}) DETACH DELETE c"

BEGIN, COMMIT, ROLLBACK, CHECKPOINT = "BEGIN TRANSACTION", "COMMIT", "ROLLBACK", "CHECKPOINT"


def export_to(folder: str) -> str:
    """A path is no parameter there: it is quoted."""
    return f"EXPORT DATABASE {_quoted(folder)}"


def import_from(folder: str) -> str:
    return f"IMPORT DATABASE {_quoted(folder)}"


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
