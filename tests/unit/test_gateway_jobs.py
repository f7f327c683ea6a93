"""Jobs through the gateway: started with a key of their submitter, and their end is found out."""

from __future__ import annotations

import asyncio

import pytest

from actors.errors import InvalidRequest, JobNotFound, Unavailable
from actors.memory.requests import JobStatus
from tests.unit.gateway_rig import GatewayRig, runs


@runs
async def test_a_job_is_started_with_a_key_of_its_submitter(rig: GatewayRig) -> None:
    job = await rig.gateway.submit_job(rig.root, "bench_locomo", "", {"path": "x"})
    environment = rig.processes.started[job.id]
    assert environment["MEMOS_URL"] == "http://127.0.0.1:8000"
    assert (await rig.gateway.authenticate(environment["MEMOS_API_KEY"], "r")).caller.principal == "root"
    assert (await rig.gateway.job_logs(rig.root, job.id)) == f"log of {job.id}"
    ann = await rig.principal("ann")
    for call in (rig.gateway.read_job, rig.gateway.job_logs, rig.gateway.stop_job):
        with pytest.raises(JobNotFound):
            await call(ann, job.id)


@pytest.mark.parametrize("name", ["", "nope", "bench_nope", "run", "../x", "os", "bench.locomo", "x" * 100])
def test_a_job_that_does_not_exist_is_refused(name: str) -> None:
    async def submit(rig: GatewayRig) -> None:
        with pytest.raises(InvalidRequest):
            await rig.gateway.submit_job(rig.root, name, "", {})
        assert (await rig.gateway.list_jobs(rig.root, 10, None)).items == ()

    asyncio.run(submit(GatewayRig()))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ((JobStatus.FAILED, "killed"), (JobStatus.FAILED, "killed")),
        ((JobStatus.STOPPED, "by hand"), (JobStatus.STOPPED, "by hand")),
        ((JobStatus.RUNNING, ""), (JobStatus.QUEUED, "")),
        (None, (JobStatus.QUEUED, "")),
    ],
)
def test_the_end_of_a_process_that_did_not_tell_is_found_out(
    known: tuple[JobStatus, str] | None, expected: tuple[JobStatus, str]
) -> None:
    async def look(rig: GatewayRig) -> None:
        job = await rig.gateway.submit_job(rig.root, "bench_locomo", "", {})
        rig.processes.states[job.id] = known
        found = await rig.gateway.read_job(rig.root, job.id)
        assert (found.status, found.reason) == expected
        assert (await rig.gateway.list_jobs(rig.root, 10, None)).items == (found,)
        if known is None:
            rig.system.clock.at_us += 120 * 1_000_000
            assert (await rig.gateway.read_job(rig.root, job.id)).status is JobStatus.FAILED

    asyncio.run(look(GatewayRig()))


@runs
async def test_a_job_that_cannot_be_started_has_failed(rig: GatewayRig) -> None:
    rig.processes.broken = True
    with pytest.raises(Unavailable):
        await rig.gateway.submit_job(rig.root, "bench_locomo", "", {})
    (job,) = (await rig.gateway.list_jobs(rig.root, 10, None)).items
    assert job.status is JobStatus.FAILED


@runs
async def test_a_stopped_job_stays_stopped(rig: GatewayRig) -> None:
    job = await rig.gateway.submit_job(rig.root, "bench_locomo", "", {})
    stopped = await rig.gateway.stop_job(rig.root, job.id)
    assert (stopped.status, rig.processes.stopped) == (JobStatus.STOPPED, [job.id])
    assert await rig.gateway.stop_job(rig.root, job.id) == stopped
    assert rig.processes.stopped == [job.id]
