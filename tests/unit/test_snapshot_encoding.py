"""A state is the same when it comes back from the bytes of its snapshot, large or small, or of before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import orjson
import pyarrow as pa
import pytest

from actors import snapshot_encoding
from actors.memory.cube import CubeState
from actors.memory.cube_snapshots import snapshot_of, state_of
from actors.memory.events import GENESIS, EventType, seal
from actors.snapshot_encoding import decoded, encoded
from actors.stores.location import StorageSpec
from actors.stores.snapshots import SnapshotFolder
from jobs.bench.state_search import find

KEY = b"k" * 32


def _state(memories: int, chars: int, filler: Callable[[int], str] = "x".__mul__) -> CubeState:
    state = CubeState("c")
    for version in range(1, memories + 2):
        first = version == 1
        text = {
            "form": "plaintext",
            "type": "note",
            "state": "activated",
            "text": f"{version} tea \n \u2028 " + filler(chars),
        }
        event = seal(
            KEY,
            cube_id="c",
            version=version,
            type=EventType.CUBE_CREATED if first else EventType.MEMORY_ADDED,
            memory_id="" if first else f"mem_{version:032x}",
            memory_version=0 if first else 1,
            recorded_at_us=version,
            principal="olga",
            request_id="r",
            idempotency="",
            payload={"owner": "olga", "name": "C", "policy": {}} if first else text,
            salt=b"s" * 16,
            previous_hash=state.head if state.version else GENESIS,
        )
        state.apply(event)
    return state


@pytest.mark.parametrize(("memories", "chars", "large"), [(0, 0, False), (3, 10, False), (300, 5000, True)])
def test_it_comes_back_as_it_was(memories: int, chars: int, large: bool) -> None:
    state = _state(memories, chars)
    stored = encoded(state)
    assert stored.startswith(b"\x28\xb5\x2f\xfd") is large
    again = state_of(decoded(stored))
    assert snapshot_of(again) == snapshot_of(state)
    assert [m.text for m in again.memories(None)] == [m.text for m in state.memories(None)]
    assert state_of(decoded(orjson.dumps(snapshot_of(state)))) == again


def test_a_search_through_a_state_folder_reads_it(tmp_path: Path) -> None:
    noise = Random(1).randbytes(1 << 20).hex()
    places = iter(range(0, len(noise), 5000))
    snapshots = SnapshotFolder(StorageSpec(str(tmp_path)), KEY)
    snapshots.write(9, [("c", encoded(_state(300, 5000, lambda chars: noise[(at := next(places)) : at + chars])))])
    found = find(tmp_path, {"a text": b"300 tea"})
    assert found and all("zstd" in place for place in found)


def test_of_a_large_one_no_whole_copy_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    state = _state(2000, 5000)
    text_bytes = 2000 * 5000
    monkeypatch.setattr(snapshot_encoding, "snapshot_of", lambda state: pytest.fail("the whole state at once"))
    before = pa.total_allocated_bytes()
    stored = encoded(state)
    assert len(stored) < text_bytes / 10
    assert pa.total_allocated_bytes() - before < text_bytes / 5
    history = decoded(stored)["history"]
    assert not isinstance(history, list) and next(history)[0] == f"mem_{2:032x}"
