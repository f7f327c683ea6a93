"""A process to be killed: imports an archive into a host on files, or backs a state up, and says how far it is."""

from __future__ import annotations

import sys
from pathlib import Path

from actors.memory.governance import CubeAccess
from cluster.backup import back_up
from cluster.settings import load_settings
from tests.unit.hosts import OWNER, Catalogue, HashEmbedder, file_host

COPY = CubeAccess("copy", "olga", importing="token")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def import_into(folder: Path, archive: bytes) -> None:
    """Import under the id "copy", as the gateway would."""
    host = file_host(folder, Catalogue(), HashEmbedder())
    host.begin_import(OWNER, COPY, None)
    for start in range(0, len(archive), 1 << 20):
        host.import_chunk(OWNER, "token", start, archive[start : start + (1 << 20)])
    say("sent")
    host.finish_import(OWNER, "token")
    while host.import_outcome(OWNER, "token", 1.0) is None:
        continue
    say("done")
    host.close()


def main() -> None:
    what, folder, other = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    say("begun")
    if what == "import":
        import_into(folder, other.read_bytes())
    else:
        back_up(load_settings(None, folder, None), other, say)
    say("ended")


if __name__ == "__main__":
    main()
