"""memos memory delete."""

from __future__ import annotations

import click

from serve.cli.lineage import memory
from serve.cli.session import Failure, Session, as_json, pass_session, print_json
from serve.client_types import Receipt

__all__ = ["memory"]


@memory.command("delete")
@click.argument("cube_id", metavar="CUBE")
@click.argument("memory_id", metavar="MEMORY")
@click.option("--reason", default="", help="Kept; with --erase it must not repeat what is erased.")
@click.option("--erase", is_flag=True, help="For good, with all that was derived from it, instead of archiving it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@pass_session
def delete(session: Session, cube_id: str, memory_id: str, reason: str, erase: bool, yes: bool, as_json: bool) -> None:
    """Archive MEMORY of CUBE; with --erase, erase it."""
    if erase and not yes and not click.confirm(f"Erase memory {memory_id} for good?", err=True):
        raise Failure("nothing was changed")
    with session.client() as memos:
        if not erase:
            memos.delete_memory(cube_id, memory_id, reason)
            click.echo(f"memory {memory_id} archived")
            return
        receipt = memos.erase_memory(cube_id, memory_id, reason)
    if as_json:
        print_json(receipt)
    else:
        show_receipt(receipt)


def show_receipt(receipt: Receipt) -> None:
    """What went, and where it was looked for."""
    click.echo(
        f"{len(receipt.erased)} memories erased, {len(receipt.derived)} that were derived from them, {receipt.at}"
    )
    for place in receipt.places:
        note = f"  ({place['note']})" if place.get("note") else ""
        click.echo(f"  {place['kind']:<16} {place['checked']:>8} checked  {place['removed']:>6} removed{note}")
