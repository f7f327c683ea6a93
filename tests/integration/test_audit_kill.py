"""kill -9 while threads ask and write: every audit row that counted as kept is there once, and the chains hold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from actors.memory.auditing import AuditQuery
from actors.stores.audit import DeltaAuditTable
from actors.stores.location import StorageSpec
from tests.unit.hosts import KEY

ROUNDS = int(os.environ.get("MEMOS_KILL_ROUNDS", "2"))
THREADS = 4
KEPT = 60
REPOSITORY = Path(__file__).parents[2]


def _ask_until_killed(root: Path, label: str) -> tuple[set[str], int]:
    """What was answered, and how many rows were kept at least, by a child that was killed once it had kept some."""
    command = [sys.executable, "-m", "tests.integration.audit_child", str(root), label, str(THREADS)]
    answered, kept = set(), 0
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if not line.endswith("\n"):
                continue
            what, _, told = line.strip().partition(" ")
            if what == "answered":
                answered.add(told)
            elif (kept := max(kept, int(told))) >= KEPT:
                child.kill()
        assert child.wait() == -9
    return answered, kept


def test_what_counted_as_kept_is_there_after_each_kill(tmp_path: Path) -> None:
    before = 0
    for number in range(ROUNDS):
        answered, kept = _ask_until_killed(tmp_path, f"r{number}")
        found: Counter[str] = Counter()
        for shard in ("000", "001"):
            base = tmp_path / "shards" / shard
            table = DeltaAuditTable(StorageSpec(str(base / "audit")), StorageSpec(str(base / "audit-anchors")), KEY)
            assert table.verify(None).problems == ()
            found.update(row.request_id for row in table.newest(None, AuditQuery(limit=1_000_000)))
        assert set(found.values()) == {1}
        assert found.total() - before >= kept
        mine = {request for request in found if request.startswith(f"r{number}-")}
        assert len(mine - answered) <= THREADS  # recorded, and the answer still on its way
        before = found.total()
