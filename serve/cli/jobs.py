"""memos job and bench."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from serve.cli.session import (
    Failure,
    Session,
    as_json,
    console,
    pass_session,
    print_json,
    progress_console,
    table,
    to_json,
)
from serve.client import MemosClient
from serve.client_types import Job

POLL_S = 1.0


@click.group("job")
def job() -> None:
    """Submit jobs and look at them."""


@job.command("submit")
@click.argument("name")
@click.option("--cube", default=None)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An argument; JSON, or text.")
@click.option("--follow", is_flag=True, help="Wait until it has ended.")
@as_json
@pass_session
def submit(
    session: Session, name: str, cube: str | None, settings: tuple[str, ...], follow: bool, as_json: bool
) -> None:
    """Submit the job NAME."""
    args = dict(_setting(text) for text in settings)
    with session.client() as memos:
        made = memos.submit_job(name, cube, args)
        if follow:
            made = _followed(memos, made)
    if as_json:
        print_json(made)
    else:
        click.echo(f"job {made.id} {made.status}")
    _fail_unless_succeeded(made)


@job.command("list")
@as_json
@pass_session
def list_jobs(session: Session, as_json: bool) -> None:
    """List jobs."""
    with session.client() as memos:
        found = list(memos.jobs())
    if as_json:
        print_json(found)
        return
    rows = table("id", "name", "cube", "status", "progress", "created")
    for item in found:
        rows.add_row(item.id, item.name, item.cube or "", item.status, f"{item.progress:.0%}", item.created_at)
    console().print(rows)


@job.command("show")
@click.argument("job_id", metavar="ID")
@pass_session
def show(session: Session, job_id: str) -> None:
    """Show a job and its result, as JSON."""
    with session.client() as memos:
        print_json(memos.job(job_id))


@job.command("logs")
@click.argument("job_id", metavar="ID")
@click.option("--follow", is_flag=True, help="Go on until it has ended.")
@pass_session
def logs(session: Session, job_id: str, follow: bool) -> None:
    """Show what a job has written."""
    shown = 0
    with session.client() as memos:
        while True:
            ended = memos.job(job_id).ended
            text = memos.job_logs(job_id)
            click.echo(text[shown:], nl=False)
            shown = len(text)
            if ended or not follow:
                return
            time.sleep(POLL_S)


@job.command("stop")
@click.argument("job_id", metavar="ID")
@pass_session
def stop(session: Session, job_id: str) -> None:
    """Stop a job."""
    with session.client() as memos:
        click.echo(f"job {job_id} {memos.stop_job(job_id).status}")


@click.command("bench")
@click.argument("name")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An argument; JSON, or text.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the report here.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw latency against load: an SVG.")
@pass_session
def bench(
    session: Session, name: str, path: Path | None, settings: tuple[str, ...], file: Path | None, picture: Path | None
) -> None:
    """Run the benchmark NAME as a job, follow it, and show its report."""
    args = dict(_setting(text) for text in settings)
    if path is not None:
        args["path"] = str(path.resolve())
    if picture is not None:
        args["picture"] = "svg"
    with session.client() as memos:
        ended = _followed(memos, memos.submit_job(f"bench_{name}", None, args))
    _fail_unless_succeeded(ended)
    report = dict(ended.result or {})
    drawn = report.pop("picture", None)
    if file is not None:
        file.write_text(json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = table("measure", "value")
    for measure, value in _flat(report):
        rows.add_row(measure, f"{value:.4g}" if isinstance(value, float) else str(value))
    console().print(rows)
    if picture is not None:
        if drawn is None:
            raise Failure(f"the benchmark {name} has nothing to draw; its report is above")
        picture.write_text(drawn, encoding="utf-8")
    if report.get("result", {}).get("passed") is False:
        raise Failure(f"the benchmark {name} did not pass; its report is above")


def _followed(memos: MemosClient, submitted: Job) -> Job:
    """The job once it has ended; shows its progress on stderr when that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"), TimeElapsedColumn())
    found = submitted
    with Progress(*columns, console=progress_console(), transient=True) as shown:
        bar = shown.add_task(submitted.name, total=1.0)
        while not found.ended:
            time.sleep(POLL_S)
            found = memos.job(submitted.id)
            shown.update(bar, completed=found.progress, description=f"{found.name} {found.status}")
    return found


def _fail_unless_succeeded(found: Job) -> None:
    if found.ended and found.status != "succeeded":
        raise Failure(f"job {found.id} {found.status}: {found.reason or 'see `memos job logs`'}")


def _setting(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise click.UsageError(f"--set takes KEY=VALUE, not {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _flat(report: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every value with its path; what is drawn as curves is left out."""
    rows: list[tuple[str, Any]] = []
    for name, value in report.items():
        if name == "curves":
            continue
        if isinstance(value, Sequence) and value and all(isinstance(part, Mapping) for part in value):
            value = {str(number): part for number, part in enumerate(value)}
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows
