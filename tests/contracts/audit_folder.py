"""An audit's table in a folder, and what happens to it behind its back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.stores.audit import DeltaAuditTable
from actors.stores.audit.rows import AUDIT, COLUMNS
from actors.stores.journal import CompactionLimits, StorageSpec
from actors.stores.journal.datafiles import encode
from tests.contracts.audit_contract import KEY

Row = dict[str, Any]


class AuditFolder:
    """`root/audit` and `root/audit-anchors`, as a shard has them."""

    def __init__(self, root: Path) -> None:
        self.table, self.anchors = root / "audit", root / "audit-anchors"

    def open(self, appends: int = 64, key: bytes = KEY) -> DeltaAuditTable:
        limits = CompactionLimits(appends=appends)
        return DeltaAuditTable(StorageSpec(str(self.table)), StorageSpec(str(self.anchors)), key, limits)

    def entries(self) -> list[Path]:
        return sorted((self.table / "_delta_log").glob("*.json"))

    def data_files(self) -> list[Path]:
        """In order of position."""
        return sorted(self.table.glob("*.parquet"), key=lambda path: path.name.split("-")[1])

    def anchor(self) -> Path:
        return sorted(self.anchors.glob("anchor-*.json"))[-1]

    def rewrite(self, which: int, change: Callable[[list[Row]], list[Row]]) -> None:
        """Put other rows into a data file, the log's size of it made to fit."""
        file = self.data_files()[which]
        rows = change(pq.read_table(file).to_pylist())
        file.write_bytes(encode(pa.Table.from_pylist(rows, schema=COLUMNS), AUDIT))
        self.set_size(file)

    def set_size(self, file: Path) -> None:
        for entry in self.entries():
            lines = [json.loads(line) for line in entry.read_text().splitlines()]
            for line in lines:
                if line.get("add", {}).get("path") == file.name:
                    line["add"]["size"] = file.stat().st_size
            entry.write_text("\n".join(json.dumps(line) for line in lines))
