"""memos backup and restore."""

from __future__ import annotations

from pathlib import Path

import click

from serve.cli.session import Session, pass_session
from serve.cli.system import config_option, load, reporting, told


@click.command("backup")
@click.argument("target", metavar="DEST", type=click.Path(path_type=Path))
@config_option
@pass_session
def backup(session: Session, target: Path, config: Path | None) -> None:
    """Copy the whole state into the new folder DEST, while the system runs or not, and check the copy."""
    from cluster.backup import back_up

    settings = load(config, session.state, None)
    with told(), reporting() as report:
        made = back_up(settings, target.expanduser().absolute(), report)
    click.echo(
        f"{sum(made.positions.values())} events of {len(made.positions)} shards in {target}, {_size(made.size_bytes)}"
    )


@click.command("restore")
@click.argument("source", metavar="SRC", type=click.Path(exists=True, file_okay=False, path_type=Path))
@pass_session
def restore(session: Session, source: Path) -> None:
    """Make the new state folder (--state DIR) of the backup SRC, every file checked."""
    from cluster.backup import restore as restored

    target = session.folder.expanduser().absolute()
    with told(), reporting() as report:
        made = restored(source.expanduser().absolute(), target, report)
    click.echo(f"{sum(made.positions.values())} events restored to {target}; `memos --state {target} up` starts it")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB"
