"""What every benchmark reports, and how its arguments are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import jobs.run
from actors.errors import InvalidRequest
from actors.memory.requests import JobStatus, JobView
from jobs.bench import picture, report
from jobs.bench.contract import Arguments, Benchmark, Counts, Progress
from jobs.bench.report import Curve, Json, Point


class Sizes(Arguments):
    sizes: Counts = (1, 10)
    path: str = ""


def measure(args: Sizes, progress: Progress) -> Json:
    points = tuple(Point(str(size), size * 10.0, 1.0 * size, 2.0 * size, 3.0 * size) for size in args.sizes)
    return {"largest": max(args.sizes), "curves": [Curve("made up", "things/s", points).as_json()]}


BENCHMARK = Benchmark("made_up", None, Sizes, measure)


def test_a_report_names_machine_commit_packages_and_settings_but_no_key_and_no_path() -> None:
    made = BENCHMARK.run(
        {"url": "http://127.0.0.1:1", "key": "memos_secret", "sizes": [3], "path": "/home/me/data.json"}
    )
    assert set(made) == {"benchmark", "date", "commit", "machine", "versions", "settings", "result"}
    assert made["settings"] == {"sizes": [3], "path": "data.json"}
    assert made["machine"]["cores"] >= 1
    assert "torch" in made["versions"]
    assert "secret" not in json.dumps(made)


@pytest.mark.parametrize("said", ["1,8,32", [1, 8, 32], "1, 8, 32"])
def test_several_numbers_come_as_a_list_or_joined_by_commas(said: object) -> None:
    assert BENCHMARK.run({"sizes": said})["settings"]["sizes"] == [1, 8, 32]


def test_a_single_number_stands_for_a_list_of_one() -> None:
    assert BENCHMARK.run({"sizes": 5})["settings"]["sizes"] == [5]


@pytest.mark.parametrize(
    ("args", "named"), [({"size": [1]}, "size"), ({"sizes": [0]}, "sizes"), ({"sizes": ""}, "sizes")]
)
def test_a_wrong_argument_is_refused_by_name(args: Json, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        BENCHMARK.run(args)


def test_percentiles_of_a_hundred_durations() -> None:
    seconds = [n / 1000 for n in range(101)]
    assert report.percentiles(seconds) == {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0}
    assert report.percentiles([]) == {"p50_ms": 0.0, "p95_ms": 0.0, "p99_ms": 0.0}


def test_there_is_no_ratio_to_nothing() -> None:
    assert report.ratio(3.0, 4.0) == 0.75
    assert report.ratio(3.0, 0.0) is None


def test_outside_of_a_repository_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "__file__", str(tmp_path / "report.py"))
    assert report.commit() == "unknown"


def test_the_same_report_gives_the_same_picture() -> None:
    made = BENCHMARK.run({"picture": "svg"})
    drawn = made.pop("picture")
    assert drawn == picture.svg(made)
    assert all(text in drawn for text in ("<svg", "made up", "things/s", "milliseconds"))


def test_without_curves_there_is_no_picture() -> None:
    flat = Benchmark("flat", None, Arguments, lambda args, progress: {"value": 1})
    assert "picture" not in flat.run({"picture": "svg"})


def test_a_module_beside_the_benchmarks_is_no_job() -> None:
    job = JobView("job_0", "bench_report", "", "governor", JobStatus.RUNNING, {}, 0)
    with pytest.raises(InvalidRequest, match="bench_report is no job"):
        jobs.run._run(job, lambda part: None)
