"""memos cube."""

from __future__ import annotations

import click

from serve.cli.archives import export_cube, import_cube
from serve.cli.session import Failure, Session, as_json, console, pass_session, print_json, table
from serve.client_types import Cube


@click.group("cube")
def cube() -> None:
    """Create, list, inspect and delete cubes."""


@cube.command("create")
@click.argument("cube_id", metavar="CUBE")
@click.option("--name", default="")
@as_json
@pass_session
def create(session: Session, cube_id: str, name: str, as_json: bool) -> None:
    """Create CUBE."""
    with session.client() as memos:
        made = memos.create_cube(cube_id, name)
    if as_json:
        print_json(made)
    else:
        click.echo(f"cube {made.id} created, owned by {made.owner}")


@cube.command("list")
@as_json
@pass_session
def list_cubes(session: Session, as_json: bool) -> None:
    """List the cubes that you have a role on."""
    with session.client() as memos:
        found = list(memos.cubes())
    if as_json:
        print_json(found)
        return
    rows = table("id", "name", "owner", "version", "memories")
    for item in found:
        rows.add_row(item.id, item.name, item.owner, str(item.version), str(_count(item)))
    console().print(rows)


@cube.command("show")
@click.argument("cube_id", metavar="CUBE")
@as_json
@pass_session
def show(session: Session, cube_id: str, as_json: bool) -> None:
    """Show CUBE's manifest."""
    with session.client() as memos:
        found = memos.cube(cube_id)
    if as_json:
        print_json(found)
        return
    click.echo(f"id        {found.id}\nname      {found.name}\nowner     {found.owner}\nversion   {found.version}")
    click.echo(f"created   {found.created_at}")
    for form, states in found.counts.items():
        click.echo(f"{form:<9} " + ", ".join(f"{count} {state}" for state, count in states.items()))
    for who, role in found.grants.items():
        click.echo(f"grant     {who}: {role}")


@cube.command("log")
@click.argument("cube_id", metavar="CUBE")
@click.option("--only", "state", type=click.Choice(["generated", "activated", "merged", "archived", "frozen"]))
@click.option("--as-of", help="A cube version or an RFC 3339 time.")
@as_json
@pass_session
def log(session: Session, cube_id: str, state: str | None, as_of: str | None, as_json: bool) -> None:
    """List CUBE's memories in order of their first record."""
    with session.client() as memos:
        found = list(memos.memories(cube_id, state=state, as_of=as_of))
    if as_json:
        print_json(found)
        return
    for memory in found:
        click.echo(f"{memory.recorded_at}  {memory.id}  v{memory.version}  {memory.state:<9}  {memory.text}")


@cube.command("verify")
@click.argument("cube_id", metavar="CUBE")
@as_json
@pass_session
def verify(session: Session, cube_id: str, as_json: bool) -> None:
    """Check the chain of CUBE's events; exit code 1 when it is broken."""
    with session.client() as memos:
        report = memos.verify(cube_id)
    if as_json:
        print_json(report)
    if not report.ok:
        raise Failure(f"cube {cube_id}: {report.problems[0]}")
    if not as_json:
        click.echo(f"cube {cube_id}: {report.events} events, the chain holds")


@cube.command("delete")
@click.argument("cube_id", metavar="CUBE")
@click.option("--reason", default="")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, cube_id: str, reason: str, yes: bool) -> None:
    """Archive CUBE: nobody sees it any more."""
    if not yes and not click.confirm(f"Archive cube {cube_id}?", err=True):
        raise Failure("nothing was changed")
    with session.client() as memos:
        memos.delete_cube(cube_id, reason)
    click.echo(f"cube {cube_id} archived")


@cube.command("grant")
@click.argument("cube_id", metavar="CUBE")
@click.argument("principal")
@click.argument("role", type=click.Choice(["reader", "writer", "curator", "owner", "none"]))
@pass_session
def grant(session: Session, cube_id: str, principal: str, role: str) -> None:
    """Give PRINCIPAL a ROLE on CUBE; `none` takes it away."""
    with session.client() as memos:
        if role == "none":
            memos.remove_grant(cube_id, principal)
        else:
            memos.grant(cube_id, principal, role)
    click.echo(f"{principal}: {role} on {cube_id}")


cube.add_command(export_cube)
cube.add_command(import_cube)


def _count(item: Cube) -> int:
    return sum(count for states in item.counts.values() for count in states.values())
