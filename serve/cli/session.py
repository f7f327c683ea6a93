"""What every command uses: where the server is, the client, output, and how a failure ends the process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import click
import httpx
from rich.console import Console
from rich.table import Table

from serve.client import MemosClient, MemosConnectionError, MemosHTTPError

DEFAULT_STATE = ".memos"


class StatePath(click.Path):
    """A folder; not the empty text of a variable that was not set, which would mean the current folder."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        if value == "":
            self.fail("the state folder's name is empty", param, context)
        return super().convert(value, param, context)


class Failure(click.ClickException):
    """Ends the command with exit code 1 and one line on stderr."""

    def show(self, file: Any = None) -> None:
        click.echo(f"memos: {self.format_message()}", err=True)


@dataclass(frozen=True, slots=True)
class Session:
    """Where the server is to be found. `url` and `key` are empty when they are to be read from the state folder.

    `state` None: none was named, so the settings' own. `transport` is for tests.
    """

    url: str
    key: str
    state: Path | None = None
    transport: httpx.BaseTransport | None = None

    @property
    def folder(self) -> Path:
        return self.state or Path(DEFAULT_STATE)

    def read_url(self) -> str:
        return self.url or self._read("url", "MEMOS_URL")

    def read_key(self) -> str:
        return self.key or self._read("key", "MEMOS_API_KEY")

    def _read(self, name: str, variable: str) -> str:
        path = self.folder / name
        try:
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise Failure(f"no {path}: start one with `memos up`, or set {variable}") from None
        except OSError as error:
            raise Failure(f"cannot read {path}: {error.strerror}") from None

    @contextmanager
    def client(self) -> Iterator[MemosClient]:
        """A client; what the server refuses becomes a Failure with its reason."""
        try:
            with MemosClient(self.read_url(), self.read_key(), transport=self.transport) as memos:
                yield memos
        except MemosConnectionError as error:
            raise Failure(f"no answer from {self.read_url()} ({error.detail}); is it up?") from None
        except MemosHTTPError as error:
            raise Failure(error.detail) from None


def console() -> Console:
    """A console on the current stdout."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def progress_console() -> Console:
    """A console on the current stderr: where progress goes, so that stdout stays clean."""
    return Console(file=sys.stderr, highlight=False)


def print_json(value: Any) -> None:
    click.echo(json.dumps(to_json(value), indent=2, ensure_ascii=False))


def to_json(value: Any) -> Any:
    """Dataclasses, and containers of them, as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def table(*columns: str) -> Table:
    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        found.add_column(column, overflow="fold")
    return found


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _use_state(context: click.Context, option: click.Parameter, state: Path | None) -> None:
    session = context.find_object(Session)
    if state is not None and session is not None:
        context.obj = replace(session, state=state)


def pass_session(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command its Session first; `--state` may also come after the command's name."""
    option = click.option(
        "--state",
        type=StatePath(),
        callback=_use_state,
        expose_value=False,
        help="The state folder.",
    )
    return option(click.make_pass_decorator(Session)(command))
