"""How the guided run looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from serve.demo.claims import Asked, Claim
from serve.demo.conversation import Conversation

NEXT = """\
[bold]memos up[/]                           start it for yourself, state in ./.memos
[bold]memos cube create notes[/]            make a cube
[bold]memos add notes FILE[/]               fill it from JSONL, text or Markdown
[bold]memos search notes -q "…"[/]           see what is found; --explain says why
[bold]memos chat notes[/]                   talk; what you say is remembered

README.md has the tour: command line, HTTP, Python.
docs/architecture.md has the picture."""


def opening(console: Console, conversation: Conversation) -> None:
    first, last = conversation.dates
    text = (
        f"{escape(conversation.title)} talked {len(conversation.sessions)} times between {first} and {last}: "
        f"{conversation.turns} turns. The system remembers every turn. A small language model, SmolLM2-135M, then "
        "answers questions about things said long before, first alone, then with what the system finds. After that "
        "the system is stopped and started again. Everything runs on this machine; nothing leaves it."
    )
    console.print(Panel(text, title="memos demo", width=min(console.width, 100)), soft_wrap=False)


def side_by_side(console: Console, asked: Asked) -> None:
    """A question, its evidence with the scores of each channel, and both answers."""
    console.print(f"[bold]{escape(asked.question.text)}[/]")
    found = Table("score", "dense", "words", "when", "who", "said", box=None, pad_edge=False, header_style="dim")
    for result in asked.results[:3]:
        parts = result.explain or {}
        scores = (f"{result.score:.2f}", *(_score(parts.get(name)) for name in ("dense", "lexical")))
        style = "green" if result.ref in asked.question.evidence else None
        found.add_row(
            *scores, (result.occurred_at or "")[:10], escape(result.speaker), escape(result.text), style=style
        )
    console.print(found, soft_wrap=False)
    answers = Table("without memory", "with memory", expand=True)
    answers.add_row(_marked(asked.without or "", asked.right_without), _marked(asked.answer, asked.right))
    console.print(answers, soft_wrap=False)
    console.print()


def again(console: Console, asked: Asked) -> None:
    console.print(f"[bold]{escape(asked.question.text)}[/]\n  {_marked(asked.answer, asked.right)}\n")


def closing(console: Console, claims: Sequence[Claim], numbers: Mapping[str, str]) -> None:
    lines = [f"[green]held[/]    {escape(c.text)}" if c.holds else f"[red]failed[/]  {escape(c.text)}" for c in claims]
    console.print(Panel("\n".join(lines), title="What this showed", expand=False), soft_wrap=False)
    measured = Table(box=None, pad_edge=False, show_header=False)
    for name, value in numbers.items():
        measured.add_row(escape(name), escape(value))
    console.print(measured)
    console.print(Panel(NEXT, title="Where to go next", expand=False), soft_wrap=False)


def _score(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float | int) else "-"


def _marked(answer: str, right: bool) -> str:
    return f"[{'green' if right else 'red'}]{'✓' if right else '✗'}[/] {escape(' '.join(answer.split()))}"
