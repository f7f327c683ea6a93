"""memos memory: one memory, where it came from, and the undoing of merges."""

from __future__ import annotations

import click

from serve.cli.session import Session, as_json, pass_session, print_json
from serve.client_types import Json, Memory


@click.group("memory")
def memory() -> None:
    """Look at a memory, where it came from, and undo merges."""


@memory.command("show")
@click.argument("cube_id", metavar="CUBE")
@click.argument("memory_id", metavar="ID")
@click.option("--as-of", help="A cube version or an RFC 3339 time.")
@as_json
@pass_session
def show(session: Session, cube_id: str, memory_id: str, as_of: str | None, as_json: bool) -> None:
    """Show the memory ID of CUBE."""
    with session.client() as memos:
        found = memos.memory(cube_id, memory_id, as_of)
    if as_json:
        print_json(found)
        return
    _line(found)
    if found.sources > 1:
        click.echo(f"  said {found.sources} times")
    if found.merged_into:
        click.echo(f"  {found.merged_as} of {found.merged_into}")
    for other in found.contradicts:
        click.echo(f"  contradicts {other}")


@memory.command("provenance")
@click.argument("cube_id", metavar="CUBE")
@click.argument("memory_id", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@click.option("--as-of", help="A cube version or an RFC 3339 time.")
@as_json
@pass_session
def provenance(session: Session, cube_id: str, memory_id: str, limit: int, as_of: str | None, as_json: bool) -> None:
    """Show where the memory ID of CUBE came from, and what became of it."""
    with session.client() as memos:
        found = memos.provenance(cube_id, memory_id, limit=limit, as_of=as_of)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.id}  v{found.version}  {found.state}  said {found.sources} times")
    for version in found.versions:
        click.echo(f"  v{version['version']}  {version['at']}  {_how(version)}")
    for tied in found.items:
        ref = tied.get("ref") or ""
        click.echo(f"  {tied['relation']:<13} {tied['cube']}/{tied['id']} v{tied['version']}  {ref}".rstrip())
    if found.next:
        click.echo("  … there is more: raise --limit, or use --json and the cursor in next", err=True)


def _how(version: Json) -> str:
    parts = [version["state"], version["method"], f"by {version['principal'] or 'unknown'}"]
    if version["model"]:
        parts.append(f"with {version['model']}")
    if version["reason"]:
        parts.append(f"({version['reason']})")
    return " ".join(parts)


@memory.command("split")
@click.argument("cube_id", metavar="CUBE")
@click.argument("memory_id", metavar="ID")
@click.option("--reason", default="")
@as_json
@pass_session
def split(session: Session, cube_id: str, memory_id: str, reason: str, as_json: bool) -> None:
    """Undo the merge of ID of CUBE; of a memory that others are merged into, those merges."""
    with session.client() as memos:
        done = memos.split(cube_id, memory_id, reason)
    if as_json:
        print_json(done)
        return
    for one in done.memories:
        _line(one)
    if done.remaining:
        click.echo(f"{done.remaining} are still merged: split again", err=True)


def _line(found: Memory) -> None:
    click.echo(f"{found.recorded_at}  {found.id}  v{found.version}  {found.state:<9}  {found.text}")
