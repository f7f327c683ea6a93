"""memos cube."""

from __future__ import annotations

from collections import Counter

import click
from rich.progress import Progress

from serve.cli.archives import export_cube, import_cube, revive_cube
from serve.cli.memory import show_receipt
from serve.cli.session import (
    Failure,
    Session,
    as_json,
    console,
    pass_session,
    print_json,
    progress_console,
    table,
)
from serve.cli.times import diff, fork, rollback
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
    if found.forked_from is not None:
        origin = found.forked_from["cube"] or "a cube that you have no role on"
        click.echo(f"forked    from {origin} at version {found.forked_from['version']}")
    for form, states in found.counts.items():
        click.echo(f"{form:<9} " + ", ".join(f"{count} {state}" for state, count in states.items()))
    if found.policy["redaction"]["mode"] != "off":
        told = ", ".join(f"{number} {kind}" for kind, number in found.redaction["found"].items()) or "nothing found"
        click.echo(f"redaction {found.policy['redaction']['mode']}: {told}")
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
    """Check the chains of CUBE's events and of its audit; exit code 1 when it is broken."""
    with session.client() as memos:
        report = memos.verify(cube_id)
    if as_json:
        print_json(report)
    if not report.ok:
        raise Failure(f"cube {cube_id}: {report.problems[0]}")
    if not as_json:
        click.echo(f"cube {cube_id}: {report.events} events and {report.audit_rows} audit rows, the chain holds")


@cube.command("redaction")
@click.argument("cube_id", metavar="CUBE")
@click.argument("mode", type=click.Choice(["off", "mask", "redact", "block"]))
@click.option("--entity", "entities", multiple=True, metavar="KIND", help="Only this kind; may be given several times.")
@pass_session
def redaction(session: Session, cube_id: str, mode: str, entities: tuple[str, ...]) -> None:
    """Say what CUBE does with personal data: keep it, mask it by role, replace it, or take none."""
    with session.client() as memos:
        done = memos.change_cube(cube_id, policy={"redaction": {"mode": mode, "entities": list(entities)}})
    click.echo(f"cube {cube_id}: redaction {mode}, {', '.join(entities) or 'every kind'}")
    if done.redaction["unscreened"]:
        click.echo(f"{done.redaction['unscreened']} memories are withheld until: memos cube screen {cube_id}", err=True)


@cube.command("screen")
@click.argument("cube_id", metavar="CUBE")
@as_json
@pass_session
def screen(session: Session, cube_id: str, as_json: bool) -> None:
    """Look through the memories that CUBE held before its policy masked."""
    screened, found = 0, Counter[str]()
    with session.client() as memos, Progress(console=progress_console(), transient=True) as progress:
        task = progress.add_task("Screening", total=None)
        while True:
            done = memos.screen(cube_id)
            screened += done.screened
            found.update(done.redaction)
            progress.update(task, completed=screened, total=screened + done.remaining)
            if not done.remaining or not done.screened:
                break
    if as_json:
        print_json({"screened": screened, "remaining": done.remaining, "redaction": dict(found)})
        return
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(found.items())) or "nothing"
    click.echo(f"cube {cube_id}: {screened} memories looked through, found {told}; {done.remaining} left")


@cube.command("delete")
@click.argument("cube_id", metavar="CUBE")
@click.option("--reason", default="")
@click.option("--erase", is_flag=True, help="For good, with all that was derived from it; the id stays taken.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def delete(session: Session, cube_id: str, reason: str, erase: bool, yes: bool) -> None:
    """Archive CUBE: nobody sees it any more; with --erase, erase it."""
    if not yes and not click.confirm(f"{'Erase' if erase else 'Archive'} cube {cube_id}?", err=True):
        raise Failure("nothing was changed")
    with session.client() as memos:
        if erase:
            show_receipt(memos.erase_cube(cube_id, reason))
            return
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
cube.add_command(revive_cube)


def _count(item: Cube) -> int:
    return sum(count for states in item.counts.values() for count in states.values())


for _command in (fork, rollback, diff):
    cube.add_command(_command)
