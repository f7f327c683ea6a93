"""What every benchmark has in common: checked arguments, a framed report, a command line.

A module in jobs/bench/ declares its arguments and what it measures, and hands on `run` (what a job calls) and
`main` (what `python -m` calls):

    BENCHMARK = Benchmark("search", __doc__, SearchArguments, measure)
    run = BENCHMARK.run
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Generic, Literal, TypeVar

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from actors.errors import InvalidRequest, MemosError
from jobs.bench import picture, report
from jobs.bench.report import Json

Progress = Callable[[float], None]
"""Is told the part done, 0 to 1."""


def _listed(value: Any) -> Any:
    """One number, or numbers joined by commas, as a list: how a command line says it."""
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int | float) else value


Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Counts = Annotated[tuple[Count, ...], BeforeValidator(_listed), Field(min_length=1)]
Numbers = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed), Field(min_length=1)]


class Arguments(BaseModel):
    """`url` and `key` reach a running system. `picture` "svg": the report comes with one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = ""
    key: str = Field(default="", repr=False)
    picture: Literal["", "svg"] = ""

    def settings(self) -> Json:
        """What the report says of the arguments: not where the system is, nor its key, and of a file its name alone."""
        told = self.model_dump(mode="json", exclude={"url", "key", "picture"})
        return {name: PurePath(v).name if isinstance(v, str) and "/" in v else v for name, v in told.items()}


class ServerArguments(Arguments):
    """Arguments of a benchmark that measures a running system."""

    url: str = Field(min_length=1, description="where the system answers")
    key: str = Field(min_length=1, repr=False, description="a governor's key")


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True, slots=True)
class Benchmark(Generic[A]):
    """`measure` gives the figures as JSON values; with "curves" among them there can be a picture."""

    name: str
    summary: str | None
    arguments: type[A]
    measure: Callable[[A, Progress], Json]

    def run(self, args: Mapping[str, Any], progress: Progress = lambda part: None) -> Json:
        """The framed report. With a picture asked for and curves measured, "picture" holds it as SVG.

        Raises InvalidRequest for a wrong argument, and what measuring raises.
        """
        try:
            checked = self.arguments.model_validate(dict(args))
        except ValidationError as error:
            raise InvalidRequest(f"bench {self.name}: {_explained(error)}") from error
        made = report.framed(self.name, checked.settings(), self.measure(checked, progress))
        if checked.picture and made["result"].get("curves"):
            made["picture"] = picture.svg(made)
        return made

    def main(self) -> int:
        """`python -m jobs.bench.NAME`: exit code 1 when it failed, or when what it judges did not pass."""
        given = vars(self._parser().parse_args())
        files = {name: given.pop(name) for name in ("json", "picture")}
        args = {name: value for name, value in given.items() if value is not None}
        try:
            made = self.run({**args, "picture": "svg" if files["picture"] else ""})
        except (MemosError, httpx.HTTPError) as error:
            raise SystemExit(f"{self.name}: {error}") from error
        drawn = made.pop("picture", None)
        text = json.dumps(made, indent=2, ensure_ascii=False)
        print(text)
        if files["json"]:
            files["json"].write_text(text + "\n", encoding="utf-8")
        if files["picture"] and drawn:
            files["picture"].write_text(drawn, encoding="utf-8")
        return 0 if made["result"].get("passed", True) else 1

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m jobs.bench.{self.name}",
            description=self.summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, field in self.arguments.model_fields.items():
            if name == "picture":
                continue
            told = field.description or ""
            if not field.is_required():
                told += f" ({_shown(field.get_default())})"
            parser.add_argument(f"--{name.replace('_', '-')}", required=field.is_required(), help=told.strip())
        parser.add_argument("--json", type=Path, help="write the report here, too")
        parser.add_argument("--picture", type=Path, help="draw latency against load into this SVG file")
        return parser


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _explained(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'arguments'}: {p['msg']}" for p in error.errors())
