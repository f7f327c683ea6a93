"""memos key."""

from __future__ import annotations

import click

from serve.cli.session import Session, as_json, console, pass_session, print_json, table


@click.group("key")
def key() -> None:
    """Create, list and revoke API keys."""


@key.command("create")
@click.argument("principal")
@click.option("--name", default=None, help="What the key is for.")
@click.option("--governor", is_flag=True, help="It may do everything.")
@click.option("--default-cube", default=None, help="Used by chats that name no cube.")
@click.option("--expires-at", default=None, help="An RFC 3339 time.")
@as_json
@pass_session
def create(
    session: Session,
    principal: str,
    name: str | None,
    governor: bool,
    default_cube: str | None,
    expires_at: str | None,
    as_json: bool,
) -> None:
    """Create a key for PRINCIPAL; the secret is shown once."""
    with session.client() as memos:
        made = memos.create_key(
            principal, name=name, governor=governor, default_cube=default_cube, expires_at=expires_at
        )
    if as_json:
        print_json(made)
        return
    click.echo(f"key {made.id} for {made.principal}; it is shown only now:", err=True)
    click.echo(made.key)


@key.command("list")
@as_json
@pass_session
def list_keys(session: Session, as_json: bool) -> None:
    """List every key, without secrets."""
    with session.client() as memos:
        found = list(memos.keys())
    if as_json:
        print_json(found)
        return
    rows = table("id", "principal", "name", "governor", "default cube", "expires", "revoked")
    for item in found:
        governor = "yes" if item.governor else ""
        dates = (item.expires_at or "", item.revoked_at or "")
        rows.add_row(item.id, item.principal, item.name, governor, item.default_cube or "", *dates)
    console().print(rows)


@key.command("revoke")
@click.argument("key_id", metavar="ID")
@pass_session
def revoke(session: Session, key_id: str) -> None:
    """Revoke a key; it is refused everywhere when this returns."""
    with session.client() as memos:
        memos.revoke_key(key_id)
    click.echo(f"key {key_id} revoked")
