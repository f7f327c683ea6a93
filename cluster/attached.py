"""An instance on a Ray cluster that runs already: `up` puts its parts there, `down` takes them off, Ray stays.

What Ray itself needs to be told, its token for one, is in the environment of `memos`, as for every client of Ray.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cluster.placing import PLACEMENT_TIMEOUT_S, STOP_TIMEOUT_S, Report, Running, run_placement, wait_until_ready
from cluster.plan import Plan
from cluster.preflight import check_storage
from cluster.settings import Settings, process_environment
from cluster.state_folder import StateFolder, write_private


def up(settings: Settings, deploy: str, report: Report) -> Running:
    """Attach to the Ray of `ray.address`, place what is missing, and return once it answers. STATE/url and STATE/key
    are written where the folder allows it.

    Raises ConfigError (more parts than room, another number of shards, ...), StorageUnavailable, StateInUse naming the
    owner of the storage, or MemosError when a part does not start; what this call placed is then taken off again.
    """
    state = StateFolder(settings.state_folder)
    writable = state.prepare_shared()
    if writable:
        state.make_secrets()
    report("checking the storage")
    check_storage(settings)
    report(f"placing the hosts on the Ray at {settings.ray.address}")
    placed = _run("start", Plan("", settings, "", "", deploy), PLACEMENT_TIMEOUT_S)
    if placed["fenced"]:
        report(f"fenced {placed['fenced']}: its hosts write no more")
    if deploy:
        report("waiting until all of it answers")
        wait_until_ready(placed["url"])
    if writable:
        write_private(state.url_file, placed["url"] + "\n")
    return Running(placed["url"], state.path, attached=True)


def down(settings: Settings, deploy: str, report: Report) -> bool:
    """Take the application off, drain the hosts, end the actors and free the storage. False when none was there."""
    report("draining")
    stopped = _run("stop", Plan("", settings, "", "", deploy), STOP_TIMEOUT_S)
    state = StateFolder(settings.state_folder)
    if os.access(state.path, os.W_OK):
        state.url_file.unlink(missing_ok=True)
    return bool(stopped["instance"])


def _run(action: str, plan: Plan, timeout_s: float) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="memos-placement-") as folder:
        return run_placement(action, plan, _environment(plan.settings), Path(folder), timeout_s)


def _environment(settings: Settings) -> dict[str, str]:
    inherited = {k: v for k, v in process_environment().items() if not k.startswith("MEMOS_")}
    source = str(Path(__file__).parents[1])
    paths = [source, *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    address = {} if settings.ray.address == "auto" else {"RAY_ADDRESS": settings.ray.address}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "TOKENIZERS_PARALLELISM": "false",
        **address,
    }
