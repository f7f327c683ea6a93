"""memos cube export, import and revive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from serve.cli.memories import as_moment
from serve.cli.session import Failure, Session, as_json, pass_session, print_json, progress_console
from serve.client_archives import Progress as Report


@click.command("export")
@click.argument("cube_id", metavar="CUBE")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--as-of", help="A cube version or an RFC 3339 time.")
@click.option("--no-history", is_flag=True, help="The memories as they stood, without their earlier versions.")
@as_json
@pass_session
def export_cube(session: Session, cube_id: str, file: Path, as_of: str | None, no_history: bool, as_json: bool) -> None:
    """Write CUBE to FILE: a MemCube archive, a tar."""
    with session.client() as memos, _told(file), _shown("Exporting", None) as report:
        made = memos.export_cube(cube_id, file, as_of=as_moment(as_of), history=not no_history, progress=report)
    if as_json:
        print_json({"path": str(made.path), "bytes": made.size, "version": made.version, "history": made.history})
    else:
        click.echo(f"cube {cube_id} written to {file}: {made.version} events, {made.size} bytes")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--id", "cube_id", help="The new cube's id; else the one that the archive names.")
@click.option("--name", help="The new cube's name; else the archive's.")
@as_json
@pass_session
def import_cube(session: Session, file: Path, cube_id: str | None, name: str | None, as_json: bool) -> None:
    """Make a cube of FILE, a MemCube archive; it is yours."""
    with session.client() as memos, _told(file), _shown("Importing", file.stat().st_size) as report:
        made = memos.import_cube(file, cube_id, name, progress=report)
    if as_json:
        print_json(made)
    else:
        click.echo(f"cube {made.id} imported from {file}, at version {made.version}, owned by {made.owner}")


@click.command("revive")
@click.argument("cube_id", metavar="CUBE")
@as_json
@pass_session
def revive_cube(session: Session, cube_id: str, as_json: bool) -> None:
    """Have CUBE again, which was archived: with everything that it held, and the roles on it."""
    with session.client() as memos:
        found = memos.revive_cube(cube_id)
    if as_json:
        print_json(found)
    else:
        click.echo(f"cube {found.id} is there again, at version {found.version}")


@contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None


@contextmanager
def _shown(what: str, total: int | None) -> Iterator[Report]:
    """A bar on a terminal, nothing elsewhere."""
    console = progress_console()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda size: bar.update(task, completed=size)
