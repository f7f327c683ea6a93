"""Starting and ending real instances: loopback only, side by side, and nothing left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from actors.errors import ConfigError, MemosError, StateInUse
from cluster.bootstrap import Running, down, running, up
from cluster.inspection import doctor, status
from cluster.processes import MARKER, processes_of
from cluster.settings import Settings
from cluster.state_folder import StateFolder

pytestmark = pytest.mark.timeout(600)  # a start takes seconds, on a busy machine a minute

DEPLOY = "tests.integration.trivial_app:deploy"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def local(state: Path, port: int | None = None) -> Settings:
    return Settings.model_validate(
        {
            "state": {"folder": str(state)},
            "http": {"port": port or free_port()},
            "machine": {"memory_floor_bytes": 1},
            "ray": {"object_store_bytes": 96 << 20},
        }
    )


def silent(line: str) -> None:
    pass


def answer(url: str) -> str:
    return httpx.get(f"{url}/", trust_env=False, timeout=30).raise_for_status().text


def marked(instance: str) -> list[int]:
    """Pids that carry an instance's marker; found without the code under test."""
    found = []
    for process in psutil.process_iter():
        try:
            block = Path(f"/proc/{process.pid}/environ").read_bytes()  # psutil stops at a blank entry
            if process.status() != psutil.STATUS_ZOMBIE and f"{MARKER}={instance}".encode() in block:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def ended(processes: list[psutil.Process]) -> bool:
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="memos-test-") as folder:
        yield local(Path(folder) / "state")


@pytest.fixture(scope="module")
def shared(settings: Settings) -> Iterator[Running]:
    """One instance that most tests look at."""
    yield up(settings, DEPLOY, silent)
    down(settings.state_folder, silent)


def test_it_answers_and_leaves_its_address_and_key(shared: Running, settings: Settings) -> None:
    instance = running(settings.state_folder)
    assert instance is not None
    assert answer(shared.url) == instance.instance
    assert StateFolder(shared.state).url_file.read_text().strip() == shared.url
    key = StateFolder(shared.state).key_file
    assert key.read_text().startswith("memos_")
    for private in (key, StateFolder(shared.state).chain_key_file, StateFolder(shared.state).ray_token_file):
        assert private.stat().st_mode & 0o077 == 0


def test_everything_listens_on_loopback_alone(shared: Running) -> None:
    """Core Ray, the dashboard, HAProxy with its statistics and metrics, and the replicas' own servers."""
    found = status(shared.state)
    names = {p.name for p in found.processes if p.listens}
    assert {"gcs_server", "raylet", "haproxy"} <= names
    assert any("ServeReplica" in n for n in names)
    assert found.exposed == ()


def test_ray_asks_for_its_token(shared: Running) -> None:
    dashboard = status(shared.state).dashboard
    assert httpx.get(f"{dashboard}/api/jobs/", trust_env=False, timeout=30).status_code == 401


def test_starting_again_attaches(shared: Running, settings: Settings) -> None:
    again = up(settings, DEPLOY, silent)
    assert (again.attached, again.url) == (True, shared.url)


def test_a_taken_port_is_named_with_who_has_it(shared: Running, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"port {settings.http.port} is taken by haproxy.*--port"):
        up(local(tmp_path / "other", settings.http.port), DEPLOY, silent)
    assert running(tmp_path / "other") is None


def test_a_state_of_another_machine_is_in_use(shared: Running, settings: Settings) -> None:
    state = StateFolder(shared.state)
    record = state.instance_file.read_text()
    instance = state.read_instance()
    assert instance is not None
    try:
        state.instance_file.write_text(record.replace(f'"{instance.host}"', '"elsewhere"'))
        for action in (lambda: up(settings, DEPLOY, silent), lambda: down(shared.state, silent)):
            with pytest.raises(StateInUse, match="elsewhere"):
                action()
    finally:
        state.instance_file.write_text(record)


def test_the_doctor_finds_a_healthy_instance(shared: Running, settings: Settings) -> None:
    assert [c for c in doctor(settings) if c.problem] == []


def test_two_instances_live_side_by_side_and_end_apart(shared: Running) -> None:
    with tempfile.TemporaryDirectory(prefix="memos-test-") as folder:
        second = local(Path(folder) / "state")
        other = up(second, DEPLOY, silent)
        instance = running(second.state_folder)
        assert instance is not None
        assert answer(other.url) == instance.instance != answer(shared.url)
        assert status(other.state).exposed == ()
        its_own = processes_of(instance.instance, Path(instance.run_folder))
        assert "haproxy" in {p.name() for p in its_own}
        assert down(second.state_folder, silent)
        assert ended(its_own)
        assert marked(instance.instance) == []
        assert not Path(instance.run_folder).exists()
        assert (second.state_folder / "logs").is_dir()
        assert down(second.state_folder, silent) is False
    assert answer(shared.url)


def test_what_is_left_of_a_killed_instance_is_ended_and_the_key_still_opens_it() -> None:
    with tempfile.TemporaryDirectory(prefix="memos-test-") as folder:
        settings = local(Path(folder) / "state")
        up(settings, DEPLOY, silent)
        key = StateFolder(settings.state_folder).key_file.read_text()
        first = running(settings.state_folder)
        assert first is not None
        for process in processes_of(first.instance, Path(first.run_folder)):
            if process.name() in ("raylet", "gcs_server"):
                process.kill()
        assert running(settings.state_folder) is None
        assert status(settings.state_folder).phase == "broken"
        again = up(settings, DEPLOY, silent)  # ends what is left, then starts anew
        assert not again.attached
        assert marked(first.instance) == []
        assert StateFolder(settings.state_folder).key_file.read_text() == key
        second = running(settings.state_folder)
        assert second is not None
        for process in processes_of(second.instance, Path(second.run_folder)):
            if process.name() == "raylet":
                process.kill()
        assert down(settings.state_folder, silent)
        assert marked(second.instance) == []


def test_a_start_that_fails_leaves_nothing_and_says_why() -> None:
    with tempfile.TemporaryDirectory(prefix="memos-test-") as folder:
        settings = local(Path(folder) / "state")
        with pytest.raises(MemosError, match="no_such_module"):
            up(settings, "no_such_module:deploy", silent)
        record = StateFolder(settings.state_folder).read_instance()
        assert record is not None
        assert record.phase == "stopped"
        assert marked(record.instance) == []
        assert list((settings.state_folder / "logs").glob("placement-start.log"))


def test_a_start_that_is_killed_half_way_is_cleaned_up_by_down() -> None:
    with tempfile.TemporaryDirectory(prefix="memos-test-") as folder:
        state = Path(folder) / "state"
        program = (
            "import sys; from pathlib import Path\n"
            "from tests.integration.test_bootstrap import local, up, DEPLOY\n"
            "up(local(Path(sys.argv[1])), DEPLOY, lambda line: print(line, flush=True))"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(state)], stdout=subprocess.PIPE, text=True
        ) as starter:
            assert starter.stdout is not None
            while "hosts" not in starter.stdout.readline():
                pass
            with pytest.raises(StateInUse):
                down(state, silent)
            starter.kill()
        record = StateFolder(state).read_instance()
        assert record is not None
        assert (record.phase, bool(marked(record.instance))) == ("starting", True)
        assert down(state, silent)
        deadline = time.monotonic() + 5
        while marked(record.instance) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert marked(record.instance) == []


def test_ending_what_never_ran_is_fine(tmp_path: Path) -> None:
    assert down(tmp_path / "never", silent) is False
    assert not os.path.exists(tmp_path / "never")
