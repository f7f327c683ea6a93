"""memos cube fork, rollback and diff."""

from __future__ import annotations

from collections import Counter

import click

from serve.cli.session import Session, as_json, pass_session, print_json
from serve.client_types import Difference


def moment(text: str) -> int | str:
    """A cube version as a number; a time as it is."""
    return int(text) if text.isdecimal() else text


@click.command("fork")
@click.argument("cube_id", metavar="CUBE")
@click.argument("fork_id", metavar="NEW")
@click.option("--as-of", help="Begin as CUBE was then: a cube version or an RFC 3339 time. Now by default.")
@click.option("--name", help="CUBE's name when it is left out.")
@as_json
@pass_session
def fork(session: Session, cube_id: str, fork_id: str, as_of: str | None, name: str | None, as_json: bool) -> None:
    """Make a cube NEW that begins as CUBE is, or was."""
    with session.client() as memos:
        made = memos.fork(cube_id, fork_id, None if as_of is None else moment(as_of), name)
    if as_json:
        print_json(made)
    else:
        click.echo(f"cube {made.id} forked from {cube_id}, now at version {made.version}, owned by {made.owner}")


@click.command("rollback")
@click.argument("cube_id", metavar="CUBE")
@click.argument("to")
@click.option("--reason", default="")
@as_json
@pass_session
def rollback(session: Session, cube_id: str, to: str, reason: str, as_json: bool) -> None:
    """Give CUBE's memories the content and state of version (or time) TO. It can be rolled back itself."""
    with session.client() as memos:
        done = memos.rollback(cube_id, moment(to), reason)
    if as_json:
        print_json(done)
        return
    click.echo(
        f"cube {cube_id} is as at version {done.to}: {done.changed} memories changed, now version {done.version}"
    )
    for memory_id in done.frozen:
        click.echo(f"frozen, left as it is: {memory_id}", err=True)


@click.command("diff")
@click.argument("cube_id", metavar="CUBE")
@click.argument("first", metavar="FROM")
@click.argument("second", metavar="TO")
@as_json
@pass_session
def diff(session: Session, cube_id: str, first: str, second: str, as_json: bool) -> None:
    """Show which memories are different at TO from what they were at FROM: cube versions or RFC 3339 times."""
    with session.client() as memos:
        found = list(memos.diff(cube_id, moment(first), moment(second)))
    if as_json:
        print_json(found)
        return
    for difference in found:
        click.echo(_line(difference))
    counts = Counter(difference.change for difference in found)
    click.echo(", ".join(f"{number} {change}" for change, number in counts.items()) or "no difference", err=True)


def _line(difference: Difference) -> str:
    before, after = difference.before, difference.after
    there = after or before
    text = "" if there is None else there.text
    if difference.change == "moved" and before is not None and after is not None:
        text = f"{before.state} -> {after.state}  {text}"
    elif difference.change == "changed":
        text = f"[{', '.join(difference.fields)}]  {text}"
    return f"{difference.change:<8} {difference.id}  {text}"
