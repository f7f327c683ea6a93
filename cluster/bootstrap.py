"""Starts and ends an instance on this machine: `up`, `down`, and what runs now.

An instance is Ray's head node and everything below it, HAProxy included, for one state folder. Several may
run side by side. Every process carries the instance's marker, so `down` finds all of them and no other.
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from actors.clock import SystemClock
from actors.errors import MemosError, StateInUse
from cluster import attached
from cluster.placing import PLACEMENT_TIMEOUT_S, STOP_TIMEOUT_S, Report, Running, run_placement, wait_until_ready
from cluster.plan import Plan
from cluster.preflight import check_machine
from cluster.processes import end_processes, processes_of
from cluster.ray_head import choose_ports, head_environment, prepare_run_folder, run_folder_of, start_head
from cluster.settings import Settings
from cluster.state_folder import Instance, StateFolder, write_private

log = logging.getLogger("memos")


def up(settings: Settings, deploy: str, report: Report) -> Running:
    """Start an instance and return once it answers; attach to the one that runs on this state already.

    `deploy` names what deploys the Serve application ("module:function", called with a Plan). Raises
    ConfigError, StateInUse, StorageUnavailable, NewerFormat, Corrupted, or MemosError when a part does not
    start; then nothing is left running. With `ray.address` set, as `cluster.attached.up`.
    """
    if settings.ray.address:
        return attached.up(settings, deploy, report)
    state = StateFolder(settings.state_folder)
    state.prepare()
    with state.locked():
        found = state.read_instance()
        if found is not None and found.phase != "stopped":
            _check_same_machine(found, state)
            if found.phase == "ready" and _alive(found):
                return Running(found.url, state.path, attached=True)
            report("ending what an earlier start left over")
            end_processes(found.instance, Path(found.run_folder))
        state.settle_format(settings.cluster.shards)
        report("checking the machine")
        check_machine(settings)
        with _ended_on_failure(settings, state) as instance:
            url = _start(settings, state, instance, "" if found is None else found.instance, deploy, report)
    return Running(url, state.path, attached=False)


def _start(settings: Settings, state: StateFolder, instance: Instance, before: str, deploy: str, report: Report) -> str:
    folder = Path(instance.run_folder)
    state.make_secrets()
    state.secret(state.ray_token_file)
    prepare_run_folder(folder, state)
    ports = choose_ports(settings.ray.dashboard_port)
    instance = replace(instance, ray_address=f"127.0.0.1:{ports.gcs}", dashboard_port=ports.dashboard, deploy=deploy)
    state.write_instance(instance)
    environment = head_environment(settings, state, instance.instance, folder, ports)
    report("starting Ray")
    start_head(settings, folder, ports, environment)
    report("starting the hosts and loading the models")
    plan = Plan(instance.instance, settings, instance.url, f"http://127.0.0.1:{ports.dashboard}", deploy, before)
    write_private(folder / "environment.json", json.dumps(environment))
    write_private(folder / "plan.json", plan.to_json())
    placed = run_placement("start", plan, environment, folder, PLACEMENT_TIMEOUT_S)
    if placed["fenced"]:
        report(f"fenced {placed['fenced']}")
    if deploy:
        wait_until_ready(instance.url)
    write_private(state.url_file, instance.url + "\n")
    state.write_instance(replace(instance, phase="ready"))
    return instance.url


def down(state_folder: Path, report: Report) -> bool:
    """End the instance of a state, its journals drained, and every process of it. False when none was running.

    Raises StateInUse while another process starts or stops it, or when it runs on another machine.
    """
    state = StateFolder(state_folder)
    if not state.instance_file.exists():
        return False
    with state.locked():
        found = state.read_instance()
        if found is None:
            return False
        if found.phase != "stopped":
            _check_same_machine(found, state)
        folder = Path(found.run_folder)
        ran = bool(processes_of(found.instance, folder))
        if found.phase == "ready" and _alive(found):
            report("draining")
            try:
                environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
                plan = Plan.from_json((folder / "plan.json").read_text(encoding="utf-8"))
                run_placement("stop", plan, environment, folder, STOP_TIMEOUT_S)
            except MemosError as error:
                log.warning("not everything was drained (%s); the journals hold what was acknowledged", error)
        if ran:
            report("ending the processes")
        end_processes(found.instance, folder)
        _stopped(state, found)
    return ran


def wait(state_folder: Path) -> None:
    """Return when the instance of a state has ended, whoever ended it."""
    state = StateFolder(state_folder)
    while True:
        found = state.read_instance()
        if found is None or found.phase == "stopped" or not _alive(found):
            return
        time.sleep(1.0)


def running(state_folder: Path) -> Instance | None:
    """The instance that runs on a state now, None when none does."""
    found = StateFolder(state_folder).read_instance()
    return found if found is not None and found.phase == "ready" and _alive(found) else None


@contextmanager
def _ended_on_failure(settings: Settings, state: StateFolder) -> Iterator[Instance]:
    """A new instance, on record before its first process; its processes are ended when the block fails."""
    folder = run_folder_of(settings)
    instance = Instance(
        instance=uuid.uuid4().hex,
        phase="starting",
        host=platform.node(),
        boot=boot_id(),
        url=f"http://127.0.0.1:{settings.http.port}",
        ray_address="",
        dashboard_port=0,
        run_folder=str(folder),
        started_at_us=SystemClock().now_us(),
    )
    state.write_instance(instance)
    try:
        yield instance
    except BaseException:
        end_processes(instance.instance, folder)
        _stopped(state, instance)
        raise


def _stopped(state: StateFolder, instance: Instance) -> None:
    """Record the end, keep the logs in the state folder, and remove the run folder."""
    state.write_instance(replace(instance, phase="stopped"))
    state.url_file.unlink(missing_ok=True)
    folder = Path(instance.run_folder)
    kept = state.path / "logs"
    if kept.is_symlink():
        kept.unlink()
    if folder.is_dir():
        shutil.rmtree(kept, ignore_errors=True)
        session = (folder / "ray" / "session_latest").resolve() / "logs"
        if session.is_dir():
            shutil.copytree(session, kept, symlinks=True, ignore_dangling_symlinks=True)
        kept.mkdir(exist_ok=True)
        for log_file in folder.glob("placement-*.log"):
            shutil.copy(log_file, kept)
        shutil.rmtree(folder, ignore_errors=True)


def _check_same_machine(found: Instance, state: StateFolder) -> None:
    if found.host != platform.node():
        raise StateInUse(
            f"the state {state.path} is in use by an instance on {found.host}, started there and not stopped; "
            f"stop it there, or remove {state.instance_file} if that machine is gone",
            uri=str(state.path),
        )


def _alive(found: Instance) -> bool:
    """Whether Ray's two central processes of an instance both run."""
    if found.boot != boot_id():
        return False
    names = {p.name() for p in _running(found)}
    return {"gcs_server", "raylet"} <= names


def _running(found: Instance) -> list[psutil.Process]:
    return [p for p in processes_of(found.instance, Path(found.run_folder)) if p.is_running()]


def boot_id() -> str:
    """Names the machine's boot: pids and sockets of an earlier one mean nothing."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text(encoding="ascii").strip() if file.exists() else str(int(psutil.boot_time()))
