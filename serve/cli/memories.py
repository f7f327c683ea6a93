"""memos add, search and chat."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.progress import track

from serve.cli.inputs import read_batches
from serve.cli.session import Failure, Session, as_json, console, pass_session, print_json, progress_console
from serve.client import MemosClient
from serve.client_types import ChatDelta, Result


@click.command("add")
@click.argument("cube")
@click.argument("file", default="-", type=click.Path(allow_dash=True, dir_okay=False, path_type=str))
@click.option("--wait", type=click.Choice(["journal", "index"]), default="index", help="What to wait for.")
@as_json
@pass_session
def add(session: Session, cube: str, file: str, wait: str, as_json: bool) -> None:
    """Add FILE to CUBE: JSONL of messages or texts, or a document (text, HTML, PDF, Office); `-` reads stdin."""
    batches = read_batches(file if file == "-" else Path(file).name, _content(file))
    ids: list[str] = []
    version, found = 0, Counter[str]()
    with session.client() as memos:
        shown = track(batches, "Adding", console=progress_console(), disable=len(batches) < 2, transient=True)
        for batch in shown:
            done = memos.add(cube, wait=wait, **batch)
            ids += [memory.id for memory in done.memories]
            version = done.version
            found.update(done.redaction)
    if as_json:
        print_json({"version": version, "memories": ids, "redaction": dict(found)})
    else:
        click.echo(f"{len(ids)} memories added to {cube}, now at version {version}")
        if found:
            click.echo("found " + ", ".join(f"{number} {kind}" for kind, number in sorted(found.items())))


FILE_BYTES = 1 << 30
"""A file that is read into memory whole."""


def _content(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        if Path(file).stat().st_size > FILE_BYTES:
            raise Failure(f"{file} is over {FILE_BYTES >> 20} MB: split it")
        return Path(file).read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}") from None


@click.command("search")
@click.argument("cubes", nargs=-1, required=True)
@click.option("--query", "-q", required=True)
@click.option("--top-k", type=click.IntRange(1, 200), default=10, show_default=True)
@click.option("--as-of", help="A cube version or an RFC 3339 time.")
@click.option("--explain", is_flag=True, help="Show the score of each channel, and why.")
@as_json
@pass_session
def search(
    session: Session, cubes: tuple[str, ...], query: str, top_k: int, as_of: str | None, explain: bool, as_json: bool
) -> None:
    """Search CUBES for what answers the query."""
    with session.client() as memos:
        answer = memos.search(query, cubes, top_k=top_k, as_of=as_moment(as_of), explain=explain)
    if as_json:
        print_json(answer)
        return
    for rank, result in enumerate(answer.results, start=1):
        _show(rank, result)
    if not answer.results:
        click.echo("nothing found")
    for part in answer.degraded:
        click.echo(f"degraded: {part['part']}: {part['reason']}", err=True)


def _show(rank: int, result: Result) -> None:
    facts = [result.occurred_at or "", result.speaker, result.ref, result.id]
    console().print(f"{rank:>3}  {result.score:.3f}  ", end="", style="bold")
    click.echo(result.text)
    click.echo("            " + "  ".join(fact for fact in facts if fact))
    for name, value in (result.explain or {}).items():
        click.echo(f"            {name}: {value}")


def as_moment(text: str | None) -> int | str | None:
    """A version or a time as `--as-of` gives it."""
    return int(text) if text is not None and text.isdecimal() else text


@click.command("chat")
@click.argument("cubes", nargs=-1)
@click.option("--message", "-m", help="One message; without it the chat is interactive.")
@click.option("--top-k", type=click.IntRange(0, 200), default=8, show_default=True)
@click.option("--no-remember", is_flag=True, help="Do not remember this chat.")
@click.option("--max-tokens", type=click.IntRange(1), default=256, show_default=True)
@as_json
@pass_session
def chat(
    session: Session,
    cubes: tuple[str, ...],
    message: str | None,
    top_k: int,
    no_remember: bool,
    max_tokens: int,
    as_json: bool,
) -> None:
    """Chat with the memories of CUBES, or of the key's default cube."""
    memory: dict[str, Any] = {"top_k": top_k, "remember": not no_remember}
    if cubes:
        memory["cubes"] = list(cubes)
    with session.client() as memos:
        if message is None:
            _converse(memos, memory, max_tokens)
        elif as_json:
            turns = [{"role": "user", "content": message}]
            print_json(memos.chat(turns, memory, max_tokens=max_tokens))
        else:
            _answer(memos, [{"role": "user", "content": message}], memory, max_tokens)


def _converse(memos: MemosClient, memory: dict[str, Any], max_tokens: int) -> None:
    click.echo("Ask away; an empty line or Ctrl-D ends.", err=True)
    turns: list[dict[str, Any]] = []
    while True:
        try:
            said = click.prompt("you", prompt_suffix="> ", default="", show_default=False, err=True)
        except (click.Abort, EOFError):
            return
        if not said.strip():
            return
        turns.append({"role": "user", "content": said})
        turns.append({"role": "assistant", "content": _answer(memos, turns, memory, max_tokens)})


def _answer(memos: MemosClient, turns: list[dict[str, Any]], memory: dict[str, Any], max_tokens: int) -> str:
    """Prints the answer as it comes, and what it was made of; returns its text."""
    text = ""
    last = ChatDelta("")
    for last in memos.chat_stream(turns, memory, max_tokens=max_tokens):
        click.echo(last.text, nl=False)
        text += last.text
    click.echo()
    used = (last.memory or {}).get("used", [])
    click.echo(f"[{len(used)} memories used]", err=True)
    reason = (last.memory or {}).get("reason")
    if reason:
        click.echo(f"[not remembered: {reason}]", err=True)
    return text
