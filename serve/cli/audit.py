"""memos audit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from serve.cli.session import Failure, Session, as_json, pass_session, to_json
from serve.client_types import AuditRow


@click.command("audit")
@click.argument("cube_id", metavar="[CUBE]", required=False)
@click.option("--principal", help="Rows of this principal alone.")
@click.option("--action", help="create, change, transition, read, search, chat, export, grant, job, erase or denied.")
@click.option("--memory", help="Rows about this memory, or that showed it.")
@click.option("--request", help="Rows of this request.")
@click.option("--since", help="An RFC 3339 time.")
@click.option("--until", help="An RFC 3339 time.")
@click.option("--limit", type=click.IntRange(min=1), help="So many rows at most. Default: 50, with --export all.")
@click.option(
    "--export", "export", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON lines into this new file."
)
@as_json
@pass_session
def audit(
    session: Session, cube_id: str | None, limit: int | None, export: Path | None, as_json: bool, **narrowed: str | None
) -> None:
    """Show who did, read or tried what on CUBE, newest first; without CUBE, on the system (governors only).

    --json prints a JSON object a line.
    """
    with session.client() as memos:
        rows = _first(memos.audit(cube_id, narrowed), limit or (None if export else 50))
        if export is not None:
            click.echo(f"{_write(export, rows)} rows written to {export}")
            return
        for row in rows:
            click.echo(json.dumps(to_json(row), ensure_ascii=False) if as_json else _line(row))


def _first(rows: Iterator[AuditRow], limit: int | None) -> Iterator[AuditRow]:
    for number, row in enumerate(rows, start=1):
        yield row
        if number == limit:
            return


def _write(path: Path, rows: Iterator[AuditRow]) -> int:
    """Page by page: the file grows while rows come, and memory does not."""
    count = 0
    try:
        with path.open("x", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(to_json(row), ensure_ascii=False) + "\n")
                count += 1
    except FileExistsError:
        raise Failure(f"{path} exists already; name another file") from None
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None
    return count


def _line(row: AuditRow) -> str:
    about = " ".join(part for part in (row.cube, row.memory) if part)
    told = " ".join(f"{name}={_short(value)}" for name, value in row.detail.items())
    return f"{row.at}  {row.principal or '-':<12}  {row.action:<10}  {about}  {told}  {row.request}"


def _short(value: object) -> str:
    return str(len(value)) if isinstance(value, list) else str(value)
