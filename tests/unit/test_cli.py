"""The commands that talk to a server, against the application in process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from actors.errors import Unavailable
from actors.memory.requests import JobStatus
from serve.cli.main import memos
from serve.cli.session import Session
from tests.source_tree import ROOT
from tests.unit.edge import Edge
from tests.unit.in_process import InProcess


class Shell:
    """Runs commands as olga, or as another key's owner."""

    def __init__(self, state: Path) -> None:
        self.edge = Edge()
        self.state = state

    def __call__(self, *args: str, key: str = "olga-key", stdin: bytes | None = None) -> Result:
        session = Session("http://memos.test", key, self.state, InProcess(self.edge.api))
        return CliRunner().invoke(memos, args, obj=session, input=stdin)

    def ok(self, *args: str, key: str = "olga-key", stdin: bytes | None = None) -> str:
        done = self(*args, key=key, stdin=stdin)
        assert done.exit_code == 0, (args, done.output, done.exception)
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_cubes_life(shell: Shell) -> None:
    shell.ok("cube", "create", "home", "--name", "Home")
    assert json.loads(shell.ok("cube", "list", "--json"))[0]["id"] == "home"
    assert "home" in shell.ok("cube", "list")
    shell.ok("cube", "grant", "home", "rita", "reader")
    assert "grant     rita: reader" in shell.ok("cube", "show", "home")
    shell.ok("cube", "grant", "home", "rita", "none")
    assert "the chain holds" in shell.ok("cube", "verify", "home")
    assert shell("cube", "delete", "home", stdin=b"n\n").exit_code == 1
    shell.ok("cube", "delete", "home", "--yes", "--reason", "moved")
    gone = shell("cube", "show", "home")
    assert (gone.exit_code, gone.stderr) == (1, "memos: no cube 'home'\n")


def test_add_reads_messages_texts_and_documents(shell: Shell, tmp_path: Path) -> None:
    shell.ok("cube", "create", "home")
    lines = [
        {"role": "user", "name": "Olga", "content": "my dog is called Rex", "ref": "1"},
        {"text": "olga likes tea", "type": "preference"},
    ]
    chat = tmp_path / "chat.jsonl"
    chat.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")
    assert "2 memories added to home" in shell.ok("add", "home", str(chat))
    book = tmp_path / "book.md"
    book.write_text("# One\nfirst.\n\n# Two\nsecond.\n", encoding="utf-8")
    assert len(json.loads(shell.ok("add", "home", str(book), "--json"))["memories"]) == 2
    shell.ok("add", "home", "-", stdin=b"a note from stdin")
    shell.ok("add", "home", stdin=b'{"content": "a message from stdin"}\n')
    texts = [memory["text"] for memory in json.loads(shell.ok("cube", "log", "home", "--json"))]
    assert len(texts) == 6
    assert texts[0] == "my dog is called Rex" and texts[-1] == "a message from stdin"
    assert "activated" in shell.ok("cube", "log", "home", "--only", "activated")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b'{"content": "x"}\n{oops\n', "a.jsonl line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl line 1 is not an object"),
        ("a.txt", b"\xff\xfe", "a.txt is not UTF-8"),
        ("a.txt", b"  \n", "a.txt is empty"),
        ("a.jsonl", b'{"content": "x", "mood": "good"}', "messages.0.mood: unknown field"),
    ],
)
def test_add_says_what_is_wrong_in_one_line(
    shell: Shell, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    shell.ok("cube", "create", "home")
    (tmp_path / name).write_bytes(content)
    done = shell("add", "home", str(tmp_path / name))
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1 and reason in done.stderr
    assert shell("add", "home", str(tmp_path / "none.txt")).exit_code == 1


def test_search_shows_text_score_and_reasons(shell: Shell) -> None:
    shell.edge.cube("home", "my [bold]dog[/bold] is called Rex")
    out = shell.ok("search", "home", "--query", "dog called", "--explain")
    assert "my [bold]dog[/bold] is called Rex" in out and "shares words" in out
    assert json.loads(shell.ok("search", "home", "-q", "called", "--json"))["results"][0]["score"] == 1.0
    assert shell.ok("search", "home", "-q", "zebra") == "nothing found\n"
    assert shell("search", "home").exit_code == 2


def test_chat_answers_once_or_holds_a_conversation(shell: Shell) -> None:
    shell.edge.cube("home", "my dog is called Rex")
    done = shell("chat", "home", "--message", "what is my dog called")
    assert (done.exit_code, done.stdout) == (0, "On 7 May.\n")
    assert "[1 memories used]" in done.stderr
    assert json.loads(shell.ok("chat", "home", "-m", "dog", "--json"))["text"] == "On 7 May."
    adds = len(shell.edge.backend.adds)
    shell.ok("chat", "home", "--no-remember", stdin=b"hello\nand then\n\n")
    turns = shell.edge.chat.requests[-1].turns
    assert [(turn.role, turn.content) for turn in turns] == [
        ("user", "hello"),
        ("assistant", "On 7 May."),
        ("user", "and then"),
    ]
    assert len(shell.edge.backend.adds) == adds


def test_keys_are_shown_once_and_revoked(shell: Shell) -> None:
    done = shell("key", "create", "agent", "--name", "ci", key="root-key")
    assert done.stdout == "secret-4\n"
    listed = shell.ok("key", "list", key="root-key")
    assert "agent" in listed and "secret-4" not in listed
    key_id = json.loads(shell.ok("key", "list", "--json", key="root-key"))[-1]["id"]
    shell.ok("key", "revoke", key_id, key="root-key")
    assert shell("cube", "list", key="secret-4").exit_code == 1
    refused = shell("key", "list", key="rita-key")
    assert (refused.exit_code, refused.stderr) == (1, "memos: governors only\n")


def finish(shell: Shell, status: JobStatus, reason: str = "", **more: object) -> None:
    """The next look at a job finds it ended; `more` is added to its result."""
    read = shell.edge.backend.read_job

    async def ended(caller: object, job_id: str) -> object:
        view = shell.edge.backend.jobs[job_id]
        result = {"recall": {"at_10": 0.7}, "questions": 12, "loads": [{"clients": 4}], "picture": "<svg/>", **more}
        return replace(view, status=status, reason=reason, progress=1.0, result=result)

    shell.edge.backend.read_job = ended  # type: ignore[method-assign, assignment]
    assert read is not None


def test_a_benchmark_is_a_job_that_is_followed(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.cli.jobs.POLL_S", 0.0)
    finish(shell, JobStatus.SUCCEEDED)
    data, report = tmp_path / "locomo.json", tmp_path / "report.json"
    data.write_text("{}")
    out = shell.ok("bench", "locomo", str(data), "--set", "limit=3", "--json", str(report))
    assert "recall.at_10" in out and "0.7" in out and "loads.0.clients" in out
    assert json.loads(report.read_text())["questions"] == 12
    [job] = shell.edge.backend.jobs.values()
    assert (job.name, dict(job.args)) == ("bench_locomo", {"path": str(data), "limit": 3})
    assert shell("bench", "locomo", str(tmp_path / "none.json")).exit_code == 2


def test_the_picture_of_a_benchmark_goes_to_its_own_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.cli.jobs.POLL_S", 0.0)
    finish(shell, JobStatus.SUCCEEDED)
    drawn, report = tmp_path / "search.svg", tmp_path / "search.json"
    out = shell.ok("bench", "search", "--picture", str(drawn), "--json", str(report))
    assert drawn.read_text() == "<svg/>"
    assert "picture" not in json.loads(report.read_text()) and "<svg" not in out
    [job] = shell.edge.backend.jobs.values()
    assert dict(job.args) == {"picture": "svg"}


def test_a_benchmark_that_does_not_pass_fails_the_command(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.cli.jobs.POLL_S", 0.0)
    finish(shell, JobStatus.SUCCEEDED, result={"passed": False})
    done = shell("bench", "overload")
    assert done.exit_code == 1 and "result.passed" in done.stdout
    assert "overload did not pass" in done.stderr


def test_a_job_that_fails_fails_the_command(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.cli.jobs.POLL_S", 0.0)
    assert "queued" in shell.ok("job", "submit", "promote_kv", "--set", "top=5")
    assert "promote_kv" in shell.ok("job", "list")
    assert json.loads(shell.ok("job", "show", "job_0"))["args"] == {"top": 5}
    assert shell.ok("job", "logs", "job_0") == "line one\nline two\n"
    assert shell("job", "submit", "x", "--set", "novalue").exit_code == 2
    finish(shell, JobStatus.FAILED, "no such file")
    done = shell("job", "submit", "promote_kv", "--follow")
    assert done.exit_code == 1 and "no such file" in done.stderr
    assert shell.ok("job", "logs", "job_0", "--follow") == "line one\nline two\n"


def test_where_the_server_is_comes_from_options_the_environment_or_the_state(tmp_path: Path) -> None:
    run = CliRunner()
    none = run.invoke(memos, ["--state", str(tmp_path), "cube", "list"])
    assert none.exit_code == 1 and "memos up" in none.stderr
    (tmp_path / "url").write_text("http://127.0.0.1:1\n")
    (tmp_path / "key").write_text("k\n")
    session = Session("", "", tmp_path)
    assert (session.read_url(), session.read_key()) == ("http://127.0.0.1:1", "k")
    assert Session("http://other", "x", tmp_path).read_url() == "http://other"


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    class Refusing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.UnsupportedProtocol("Connection refused")

    session = Session("http://127.0.0.1:1", "k", tmp_path, Refusing())
    done = CliRunner().invoke(memos, ["key", "revoke", "x"], obj=session)
    assert done.exit_code == 1
    assert done.stderr.startswith("memos: no answer from http://127.0.0.1:1") and done.stderr.count("\n") == 1


def test_a_failure_of_the_server_is_one_line(shell: Shell) -> None:
    shell.edge.cube("home", "one")
    shell.edge.chat.failure = Unavailable("the model died")
    done = shell("chat", "home", "-m", "x")
    assert (done.exit_code, done.stderr) == (1, "memos: the model died\n")


def test_the_command_starts_without_ray_and_torch() -> None:
    code = (
        "import sys, serve.cli.main; "
        "heavy = {'ray', 'torch', 'transformers', 'fastapi', 'numpy'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("args", [("--state", "", "cube", "list"), ("cube", "list", "--state", "")])
def test_an_empty_state_folder_is_wrong_usage(args: tuple[str, ...]) -> None:
    done = CliRunner().invoke(memos, args)
    assert (done.exit_code, "name is empty" in done.stderr) == (2, True), done.output


def test_a_key_or_url_that_cannot_be_one_is_a_reason(shell: Shell) -> None:
    done = shell("cube", "list", key="\u00e9")
    assert (done.exit_code, done.stderr[:7], done.stderr.count("\n")) == (1, "memos: ", 1), done.exception
    done = CliRunner().invoke(memos, ["--url", "http://a:port", "--key", "k", "cube", "list"])
    assert (done.exit_code, "is not a URL" in done.stderr) == (1, True), done.exception
