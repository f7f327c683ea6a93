"""Archives through HTTP, the SDK and the command line, over the plain backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.memory.requests import ExportCube, Moment
from serve.client import MemosClient, MemosConnectionError, MemosHTTPError
from tests.unit.edge import Edge, check_problem
from tests.unit.in_process import InProcess
from tests.unit.plain_archives import archive
from tests.unit.test_cli import Shell

ARCHIVE = archive()
TAR = {"content-type": "application/x-tar"}


@pytest.fixture
def edge() -> Edge:
    edge = Edge()
    edge.cube("home")
    edge.backend.exports["home"] = [ARCHIVE[:1000], ARCHIVE[1000:]]
    return edge


def client(edge: Edge) -> MemosClient:
    return MemosClient("http://memos.test", "olga-key", transport=InProcess(edge.api))


def test_an_export_is_a_tar_that_a_browser_saves(edge: Edge) -> None:
    answer = edge.call("GET", "/v1/cubes/home/export?as_of=3&history=false")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/x-tar", ARCHIVE)
    assert answer.headers["content-disposition"] == 'attachment; filename="home.memcube.tar"'
    assert edge.backend.requested == [ExportCube(Moment(version=3), history=False)]
    assert edge.backend.closed == 1


def test_an_export_takes_a_role_and_hides_what_one_has_none_on(edge: Edge) -> None:
    check_problem(edge.call("GET", "/v1/cubes/home/export", key="nobody-key"), 404, "cube-not-found")
    edge.call("PUT", "/v1/cubes/home/grants/rita", json={"role": "writer"})
    check_problem(edge.call("GET", "/v1/cubes/home/export", key="rita-key"), 403, "forbidden")
    check_problem(edge.call("GET", "/v1/cubes/home/export?compress=1"), 422, "invalid-request")


def test_an_import_is_sent_as_it_is(edge: Edge) -> None:
    made = edge.call("POST", "/v1/cubes/import?id=copy&name=Copy", content=ARCHIVE, headers=TAR)
    assert made.status_code == 201, made.text
    assert {name: made.json()[name] for name in ("id", "name", "owner")} == {
        "id": "copy",
        "name": "Copy",
        "owner": "olga",
    }
    check_problem(edge.call("POST", "/v1/cubes/import", content=ARCHIVE), 409, "already-exists")


def test_what_is_no_archive_is_refused_though_it_is_large(edge: Edge) -> None:
    refused = check_problem(
        edge.call("POST", "/v1/cubes/import", content=b"x" * (9 << 20), headers=TAR), 422, "archive-refused"
    )
    assert refused["reason"] == "tar"
    check_problem(edge.call("POST", "/v1/cubes/import", content=b""), 422, "archive-refused")
    check_problem(edge.call("POST", "/v1/cubes/import", content=archive(size=17 << 20)), 413, "too-large")
    check_problem(edge.call("POST", "/v1/cubes/import?id=../x", content=ARCHIVE), 422, "invalid-request")
    check_problem(edge.call("POST", "/v1/cubes/import", files={"file": ARCHIVE}), 400, "malformed-body")
    check_problem(edge.call("POST", "/v1/cubes/import", key="", content=ARCHIVE), 401, "unauthenticated")


def test_the_client_writes_a_file_that_appears_whole(edge: Edge, tmp_path: Path) -> None:
    target, seen = tmp_path / "home.tar", []
    with client(edge) as memos:
        made = memos.export_cube("home", target, progress=seen.append)
        assert (made.size, made.exported_cube, made.version, made.history) == (len(ARCHIVE), "home", 1, True)
        assert target.read_bytes() == ARCHIVE and seen[-1] == len(ARCHIVE)
        assert memos.import_cube(target, "copy").name == "Home"
        with pytest.raises(MemosHTTPError, match="already"):
            memos.import_cube(target)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("damaged", [[ARCHIVE[:5000]], [ARCHIVE.replace(b"eeee", b"eexe", 1)], [b""]])
def test_the_client_keeps_what_it_has_when_what_comes_is_damaged(
    edge: Edge, tmp_path: Path, damaged: list[bytes]
) -> None:
    target = tmp_path / "home.tar"
    target.write_text("before")
    edge.backend.exports["home"] = damaged
    with client(edge) as memos, pytest.raises(MemosConnectionError):
        memos.export_cube("home", target)
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


@pytest.fixture
def shell(edge: Edge, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    shell.edge = edge
    yield shell


def test_the_command_line_exports_and_imports(shell: Shell, tmp_path: Path) -> None:
    file = str(tmp_path / "home.tar")
    assert "1 events" in shell.ok("cube", "export", "home", file, "--no-history", "--as-of", "2")
    assert shell.edge.backend.requested == [ExportCube(Moment(version=2), history=False)]
    assert "cube copy imported" in shell.ok("cube", "import", file, "--id", "copy")
    again = shell("cube", "import", file)
    assert again.exit_code == 1 and "already" in again.output


def test_backup_and_restore_tell_what_is_wrong(shell: Shell, tmp_path: Path) -> None:
    done = shell("backup", str(tmp_path / "backup"))
    assert done.exit_code == 1 and "holds no state" in done.output
    (tmp_path / "nothing").mkdir()
    done = shell("restore", str(tmp_path / "nothing"))
    assert done.exit_code == 1 and "is no backup" in done.output
