"""Jobs, as the system host records them."""

from __future__ import annotations

import pytest

from actors.errors import CubeNotFound, Forbidden, JobNotFound, Unauthenticated
from actors.memory.requests import JobStatus, NewCube
from tests.unit.system_hosts import SystemBench


@pytest.fixture
def bench() -> SystemBench:
    return SystemBench()


def test_jobs_are_seen_by_who_submitted_them_and_governors(bench: SystemBench) -> None:
    ann, _ = bench.new_principal("ann")
    bob, _ = bench.new_principal("bob")
    bench.host.register_cube(ann, NewCube("c"))
    with pytest.raises(CubeNotFound):
        bench.host.create_job(bob, "demote", "c", {})
    with pytest.raises(Forbidden):
        bench.host.create_job(ann, "bench_locomo", "", {})
    job, secret = bench.host.create_job(ann, "demote", "c", {"days": 3})
    assert bench.caller(secret).principal == "ann"
    assert bench.host.read_job(bench.root, job.id).status is JobStatus.QUEUED
    with pytest.raises(JobNotFound):
        bench.host.read_job(bob, job.id)
    assert bench.host.list_jobs(bob, 10, None).items == ()
    assert [j.id for j in bench.host.list_jobs(ann, 10, None).items] == [job.id]


def test_the_key_of_a_job_ends(bench: SystemBench) -> None:
    _, secret = bench.host.create_job(bench.root, "bench_locomo", "", {})
    bench.clock.at_us += 24 * 3600 * 1_000_000
    with pytest.raises(Unauthenticated):
        bench.caller(secret)


def test_a_job_runs_and_stays_as_it_ended(bench: SystemBench) -> None:
    job, _ = bench.host.create_job(bench.root, "bench_locomo", "", {})
    bench.clock.at_us += 5
    running = bench.host.advance_job(job.id, JobStatus.RUNNING)
    assert running.started_at_us == bench.clock.at_us
    bench.host.report_progress(job.id, 0.4)
    assert bench.host.read_job(bench.root, job.id).progress == 0.4
    bench.clock.at_us += 5
    done = bench.host.advance_job(job.id, JobStatus.SUCCEEDED, "", {"recall": 0.7})
    assert (done.progress, done.result, done.ended_at_us) == (1.0, {"recall": 0.7}, bench.clock.at_us)
    bench.host.report_progress(job.id, 0.1)
    bench.host.advance_job(job.id, JobStatus.FAILED, "too late")
    assert bench.host.read_job(bench.root, job.id) == done
    with pytest.raises(JobNotFound):
        bench.host.advance_job("job_0", JobStatus.FAILED)


def test_newest_jobs_come_first(bench: SystemBench) -> None:
    made = []
    for _ in range(5):
        bench.clock.at_us += 1
        made.append(bench.host.create_job(bench.root, "demote", "", {})[0].id)
    first = bench.host.list_jobs(bench.root, 3, None)
    rest = bench.host.list_jobs(bench.root, 3, first.next)
    assert [j.id for j in (*first.items, *rest.items)] == made[::-1]
    assert rest.next is None
