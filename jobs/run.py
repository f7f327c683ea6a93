"""The process of one job: `python -m jobs.run JOB_ID`. Runs its module and reports how it went."""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import ray

from actors.errors import InvalidRequest, MemosError
from actors.memory.requests import JobStatus, JobView
from actors.remote_actor import ActorAddress, RemoteCalls
from cluster.directory import NAMESPACE, SYSTEM
from cluster.jobs import module_of
from cluster.settings import job_environment

log = logging.getLogger("jobs")

PROGRESS_EVERY_S = 0.5


def main(job_id: str) -> int:
    """Run the job: exit code 0 when it succeeded. Its record says why when it did not."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ray.init(address="auto", namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    system = RemoteCalls(ActorAddress(NAMESPACE, SYSTEM), timeout_s=30)
    job: JobView | None = system.call("job_record", job_id)
    if job is None:
        log.error("there is no job %s", job_id)
        return 2
    system.call("advance_job", job_id, JobStatus.RUNNING)
    try:
        result = _run(job, _reporter(system, job_id))
    except MemosError as error:
        return _ended(system, job_id, JobStatus.FAILED, error.detail)
    except Exception as error:  # a job's outer loop: whatever it raised is its result
        log.exception("job %s failed", job.name)
        return _ended(system, job_id, JobStatus.FAILED, f"{type(error).__name__}: {error}"[:500])
    return _ended(system, job_id, JobStatus.SUCCEEDED, "", result)


def _run(job: JobView, progress: Callable[[float], None]) -> Mapping[str, Any]:
    run = getattr(import_module(module_of(job.name)), "run", None)
    if run is None:
        raise InvalidRequest(f"{job.name} is no job: its module has nothing to run", job=job.name)
    url, key = job_environment()
    args = {**job.args, "url": url, "key": key}
    if job.cube_id:
        args["cube"] = job.cube_id
    takes_progress = "progress" in inspect.signature(run).parameters
    result: Mapping[str, Any] = run(args, progress) if takes_progress else run(args)
    return result


def _reporter(system: RemoteCalls, job_id: str) -> Callable[[float], None]:
    last = 0.0

    def report(part: float) -> None:
        nonlocal last
        if time.monotonic() - last < PROGRESS_EVERY_S:
            return
        last = time.monotonic()
        try:
            system.call("report_progress", job_id, part)
        except MemosError as error:
            log.warning("progress could not be reported: %s", error)

    return report


def _ended(
    system: RemoteCalls, job_id: str, status: JobStatus, reason: str, result: Mapping[str, Any] | None = None
) -> int:
    system.call("advance_job", job_id, status, reason, result)
    log.info("job %s %s %s", job_id, status, reason)
    return 0 if status is JobStatus.SUCCEEDED else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
