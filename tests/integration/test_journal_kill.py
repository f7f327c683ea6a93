"""kill -9 while 8 threads write and the committer compacts: nothing acknowledged is lost, nothing is half there.

MEMOS_KILL_ROUNDS sets how many times (5 by default; an acceptance run takes 20).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from actors.memory.events import EventType
from tests.contracts.shard_folder import ShardFolder
from tests.integration.journal_child import BATCH

ROUNDS = int(os.environ.get("MEMOS_KILL_ROUNDS", "5"))
THREADS = 8
REPOSITORY = Path(__file__).parents[2]


def _write_until_killed(root: Path, label: str, after_acks: int, then_s: float) -> list[tuple[str, int, str]]:
    """Acknowledged (ref, cube version, cube) of a child that was killed a moment after `after_acks` answers."""
    command = [sys.executable, "-m", "tests.integration.journal_child", str(root), label, str(THREADS)]
    lines = []
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            if len(lines) == after_acks:
                time.sleep(then_s)
                child.kill()
        assert child.wait() == -9
    whole = [line.split() for line in lines if line.endswith("\n")]
    return [(ref, int(version), cube) for ref, version, cube in whole]


def test_every_acknowledged_memory_is_there_once_after_each_kill(tmp_path: Path) -> None:
    chance = random.Random(20)
    acknowledged: list[tuple[str, int, str]] = []
    shard = ShardFolder(tmp_path)
    for number in range(ROUNDS):
        acknowledged += _write_until_killed(tmp_path, f"r{number}", chance.randrange(1, 250), chance.uniform(0, 0.06))
        journal = shard.open(appends=5)
        assert journal.verify() == []
        parts: dict[str, set[str]] = defaultdict(set)
        places: dict[str, tuple[int, str]] = {}
        times_seen: Counter[str] = Counter()
        for event in journal.read():
            assert event.type is EventType.MEMORY_ADDED
            whole_ref = event.payload()["ref"]
            ref, _, part = whole_ref.partition("/")
            times_seen[whole_ref] += 1
            parts[ref].add(part)
            places[ref] = (event.version, event.cube_id)
        assert set(times_seen.values()) == {1}
        assert {len(found) for found in parts.values()} == {BATCH}
        missing = [ref for ref, version, cube in acknowledged if places.get(ref) != (version, cube)]
        assert missing == []
        unanswered = len(parts) - len(acknowledged)
        assert 0 <= unanswered <= THREADS * (number + 1)
        assert len(shard.data_files()) < 40
        left = [
            path.name for path in shard.table.rglob("*") if path.is_file() and path.suffix not in (".parquet", ".json")
        ]
        assert left in ([], ["_last_checkpoint"])
