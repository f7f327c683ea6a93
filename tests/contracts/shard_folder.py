"""A shard's journal in a folder, and what happens to it behind its back."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from actors.memory.events import Event
from actors.stores.journal import CompactionLimits, DeltaJournal, StorageSpec
from actors.stores.journal.datafiles import encode
from actors.stores.journal.schema import to_events, to_table
from tests.contracts.journal_contract import KEY


class ShardFolder:
    """`root/journal` and `root/anchors`."""

    def __init__(self, root: Path) -> None:
        self.table, self.anchors = root / "journal", root / "anchors"

    def open(self, appends: int = 64, key: bytes = KEY) -> DeltaJournal:
        limits = CompactionLimits(appends=appends)
        return DeltaJournal(StorageSpec(str(self.table)), StorageSpec(str(self.anchors)), key, limits)

    @property
    def log(self) -> Path:
        return self.table / "_delta_log"

    def entries(self) -> list[Path]:
        return sorted(self.log.glob("*.json"))

    def data_files(self) -> list[Path]:
        """In order of position."""
        return sorted(self.table.glob("*.parquet"), key=lambda path: path.name.split("-")[1])

    def anchor(self) -> Path:
        return sorted(self.anchors.glob("anchor-*.json"))[-1]

    def events_of(self, file: Path) -> list[Event]:
        return list(to_events(pq.read_table(file), str(file)))

    def rewrite(self, file: Path, events: list[Event], *, cover_up: bool = True) -> None:
        """Put other events into a data file; with `cover_up`, the log's size of it is made to fit."""
        self.rewrite_rows(file, to_table(events), cover_up=cover_up)

    def rewrite_rows(self, file: Path, rows: pa.Table, *, cover_up: bool = True) -> None:
        file.write_bytes(encode(rows))
        if cover_up:
            self.set_size(file, file.stat().st_size)

    def set_size(self, file: Path, size: int) -> None:
        for entry in self.entries():
            lines = [json.loads(line) for line in entry.read_text().splitlines()]
            for line in lines:
                if line.get("add", {}).get("path") == file.name:
                    line["add"]["size"] = size
            entry.write_text("\n".join(json.dumps(line) for line in lines))
