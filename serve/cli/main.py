"""The `memos` command. Imports neither Ray nor a model: `up`, `down` and `demo` load theirs when they run."""

from __future__ import annotations

from pathlib import Path

import click

from serve.cli.audit import audit
from serve.cli.backups import backup, restore
from serve.cli.cubes import cube
from serve.cli.jobs import bench, job
from serve.cli.keys import key
from serve.cli.memories import add, chat, search
from serve.cli.memory import memory
from serve.cli.session import Session, StatePath
from serve.cli.status import status
from serve.cli.system import demo, doctor, down, up


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--state",
    envvar="MEMOS_STATE",
    type=StatePath(),
    help="The folder that `up` keeps everything in; its URL and key are found there. Default: .memos.",
)
@click.option("--url", envvar="MEMOS_URL", default="", help="The server, in place of STATE/url.")
@click.option("--key", envvar="MEMOS_API_KEY", default="", help="The API key, in place of STATE/key.")
@click.pass_context
def memos(context: click.Context, state: Path | None, url: str, key: str) -> None:
    """A memory operating system for LLM applications and agents."""
    if not isinstance(context.obj, Session):
        context.obj = Session(url, key, state)


for _command in (
    up,
    down,
    backup,
    restore,
    status,
    doctor,
    demo,
    key,
    add,
    search,
    chat,
    memory,
    cube,
    audit,
    job,
    bench,
):
    memos.add_command(_command)


def main() -> None:
    """The console script."""
    memos()
