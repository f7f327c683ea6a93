"""memos up, down, doctor and demo."""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from serve.cli.session import Failure, Session, as_json, console, pass_session, print_json, progress_console
from serve.client import MemosClient

if TYPE_CHECKING:
    from cluster.settings import Settings

DEPLOY = "serve.app:deploy"

config_option = click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="A YAML file of settings."
)
port_option = click.option("--port", type=click.IntRange(1, 65535), help="Where HTTP answers; 8000 by default.")


@click.command("up")
@config_option
@port_option
@click.option("--detach", is_flag=True, help="Leave it running, and return once it answers.")
@pass_session
def up(session: Session, config: Path | None, port: int | None, detach: bool) -> None:
    """Start the system on this machine and wait until it answers; Ctrl-C ends it."""
    settings = load(config, session.state, port)
    with _interruptible():
        url, attached = _start(settings)
        again = attached and not settings.ray.address
        click.echo(f"{'Running already' if again else 'Ready'} at {url}; the governor's key is in {_key(settings)}")
        if detach or attached:
            return
        click.echo("Ctrl-C ends it.", err=True)
        _hold(settings)


@click.command("down")
@config_option
@pass_session
def down(session: Session, config: Path | None) -> None:
    """Drain the system of this state folder and end every process of it.

    With the profile of a cluster: take the application and its actors off; Ray itself goes on.
    """
    settings = load(config, session.state, None)
    if settings.ray.address:
        stopped = _take_off(settings)
    else:
        stopped = _stop(settings.state_folder if config else session.folder.expanduser().absolute())
    click.echo("stopped" if stopped else "nothing was running")


@click.command("doctor")
@config_option
@port_option
@as_json
@pass_session
def doctor(session: Session, config: Path | None, port: int | None, as_json: bool) -> None:
    """Check what `up` needs: folder, memory, disk, ports, models. Exit code 1 when something is missing."""
    from cluster.bootstrap import running
    from cluster.preflight import examine

    settings = load(config, session.state, port)
    with told():
        instance = running(settings.state_folder)
        checks = [c for c in examine(settings) if instance is None or "port" not in c.name]
    found = [{"name": c.name, "detail": c.detail, "problem": c.problem} for c in checks]
    found.append({"name": "instance", "detail": instance.url if instance else "none is running", "problem": ""})
    if as_json:
        print_json(found)
    else:
        for check in found:
            click.echo(
                f"{'FAIL' if check['problem'] else 'ok':<5} {check['name']}: {check['problem'] or check['detail']}"
            )
    broken = [check["name"] for check in found if check["problem"]]
    if broken:
        raise Failure(f"{len(broken)} of {len(found)} checks failed: {', '.join(broken)}")


@click.command("demo")
@config_option
def demo(config: Path | None) -> None:
    """A guided run of the main job on a real conversation, on a state of its own that is removed afterwards."""
    from serve.demo.conversation import load_conversation
    from serve.demo.scenario import run

    with _interruptible(), tempfile.TemporaryDirectory(prefix="memos-demo-", ignore_cleanup_errors=True) as folder:
        settings = load(config, Path(folder), _free_port())

        @contextmanager
        def start() -> Iterator[MemosClient]:
            url, _ = _start(settings)
            try:
                with Session(url, "", Path(folder)).client() as memos:
                    yield memos
            finally:
                _stop(settings.state_folder)

        if not run(start, load_conversation(), console()):
            raise Failure("the demo did not show all that it claims")


def load(config: Path | None, state: Path | None, port: int | None) -> Settings:
    from cluster.settings import load_settings

    with told():
        return load_settings(config, state, port)


def _start(settings: Settings) -> tuple[str, bool]:
    """URL of the instance, and whether it ran before."""
    from cluster.bootstrap import up as start

    with told(), reporting() as report:
        running = start(settings, DEPLOY, report)
        return running.url, running.attached


def _stop(state: Path) -> bool:
    from cluster.bootstrap import down as stop

    with told(), reporting() as report:
        return stop(state, report)


def _take_off(settings: Settings) -> bool:
    from cluster.attached import down as take_off

    with told(), reporting() as report:
        return take_off(settings, DEPLOY, report)


def _hold(settings: Settings) -> None:
    """Waits for Ctrl-C, then ends the instance; one that ends by itself is a failure."""
    from cluster.bootstrap import wait

    try:
        wait(settings.state_folder)
    except KeyboardInterrupt:
        click.echo("", err=True)
        _stop(settings.state_folder)
        return
    _stop(settings.state_folder)
    raise Failure("the system ended by itself or was ended; `memos up` starts it again")


def _key(settings: Settings) -> Path:
    return settings.state_folder / "key"


@contextmanager
def told() -> Iterator[None]:
    """Our errors become one line and exit code 1."""
    from actors.errors import MemosError

    try:
        yield
    except MemosError as error:
        raise Failure(error.detail) from None


@contextmanager
def reporting() -> Iterator[Callable[[str], None]]:
    """A line on stderr that tells what is being done: one that changes on a terminal, else one each."""
    shown = progress_console()
    if not shown.is_terminal:
        yield lambda text: click.echo(text, err=True)
        return
    with shown.status("") as line:
        yield lambda text: line.update(f"{text} …")


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does: what it started is taken down."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    kinds = [signal.SIGTERM] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGHUP]
    before = {kind: signal.signal(kind, interrupt) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
